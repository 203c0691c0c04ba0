"""Closed answers; of ordered ones also how far an answer is off."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from finetune.config.schema import TaskConfig
from finetune.example import Example
from finetune.recompute import formulas, ratios

Array = NDArray[np.float64]


def right(task: TaskConfig, gold: str, answer: str) -> bool:
    """Whether it is the gold label."""
    return answer == gold


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether an item may carry a verdict: always."""
    return True


def extras(
    task: TaskConfig, golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]
) -> dict[str, Any]:
    """Of ordered labels: quadratic kappa, mean steps off, share at most one step off; no answer is the farthest one."""
    if not task.options.get("ordered", False):
        return {}
    place, top = {label: at for at, label in enumerate(task.labels)}, len(task.labels) - 1
    rows = [place[gold] for gold in golds]
    columns = [_farthest(row, top) if said is None else place[said] for row, said in zip(rows, answers, strict=True)]
    steps = [float(abs(row - column)) for row, column in zip(rows, columns, strict=True)]
    return {
        "weighted_kappa": kappa(rows, columns, groups, top),
        "mean_steps_off": ratios.mean(steps, groups, float(top)),
        "within_one_step": ratios.mean([float(step <= 1) for step in steps], groups),
    }


def _farthest(row: int, top: int) -> int:
    """The end of the scale that lies farther away; the lower one from the middle."""
    return 0 if row >= top - row else top


def kappa(rows: Sequence[int], columns: Sequence[int], groups: Sequence[str], top: int) -> dict[str, float]:
    """Cohen's kappa with squared steps; interval from leaving out one group at a time (t, one degree less than groups).

    Without an error, the lower bound is that of the table in which only Wilson's lower bound, with the groups as n, of
    each label is certain and the rest as far off as can be. Where only one label occurs, 0 in -1..1.

    Args:
        rows: place of each gold label.
        columns: place of each answer.
        groups: per item.
        top: place of the last label.
    """
    own, count = formulas.index(groups)
    table = _table(rows, columns, top)
    value = _agreement(table)
    if value is None or count < 2:
        return {"value": value or 0.0, "low": -1.0, "high": 1.0}
    if not np.any(table - np.diag(np.diag(table))):
        sure = formulas.wilson(count, count)[0]
        doubted = np.diag(np.diag(table) * sure)
        for row in range(top + 1):
            doubted[row, _farthest(row, top)] += (1 - sure) * table[row, row]
        return {"value": 1.0, "low": _agreement(doubted) or 0.0, "high": 1.0}
    without = {group: table.copy() for group in range(count)}
    for group, row, column in zip(own.tolist(), rows, columns, strict=True):
        without[group][row, column] -= 1
    left = [value if (one := _agreement(rest)) is None else one for rest in without.values()]
    mean = sum(left) / count
    spread = sum((one - mean) ** 2 for one in left) * (count - 1) / count
    half = float(special.stdtrit(count - 1, 0.975)) * spread**0.5
    return {"value": value, "low": max(-1.0, value - half), "high": min(1.0, value + half)}


def _table(rows: Sequence[int], columns: Sequence[int], top: int) -> Array:
    table = np.zeros((top + 1, top + 1))
    for row, column in zip(rows, columns, strict=True):
        table[row, column] += 1
    return table


def _agreement(table: Array) -> float | None:
    """1 - disagreement over that of independent answers, None where there is none of the latter."""
    cost = np.array([[(i - j) ** 2 for j in range(len(table))] for i in range(len(table))], float)
    chance = float(table.sum(axis=1) @ cost @ table.sum(axis=0))
    return 1 - float((table * cost).sum()) * float(table.sum()) / chance if chance > 0 else None
