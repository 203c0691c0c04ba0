"""Guards: shares that must lie above a floor for certain, each with Clopper-Pearson bounds that know groups."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from finetune import stats
from finetune.evaluation.pairing import ANSWERED, MISSING, Test, hit, relevant
from finetune.example import Prediction
from finetune.rundir import Json

Status = Literal["pass", "fail", "inconclusive", "not_asked"]


def declared(tree: Mapping[str, object], where: str = "") -> dict[str, float]:
    """`METRIC` or `METRIC.LABEL` -> lowest acceptable lower bound; keys may be nested or dotted.

    What is no guard is left to the checks at the door (`finetune.config.checks`).
    """
    found: dict[str, float] = {}
    for name, value in tree.items():
        here = f"{where}.{name}" if where else name
        if isinstance(value, Mapping):
            found |= {here: float(value["min_lower"])} if "min_lower" in value else declared(value, here)
    return found


def check(test: Test, who: str, asked: Sequence[Prediction], name: str, floor: float) -> Json:
    """One guard: a share that must lie above a floor for certain, by a one-sided bound of 97.5 %."""
    metric, _, label = name.partition(".")
    positive = label or test.positive
    if metric == "coverage":
        own, right = list(asked), [row.outcome in ANSWERED for row in asked]
    elif metric == "precision":
        own = [row for row in asked if row.outcome in ANSWERED and row.answer == positive]
        right = [row.outcome == "correct" for row in own]
    else:
        own = [row for row in asked if row.outcome != MISSING and relevant(row.gold, metric, positive)]
        right = [hit(row, metric, positive) for row in own]
    groups = [row.group for row in own]
    head = {"name": name, "who": who, "floor": floor, "n": len(own), "groups": len(set(groups))}
    if not own:
        return head | {"value": None, "lower": 0.0, "upper": 1.0, "status": "inconclusive", "needed": None}
    bound = stats.guard_bound(right, groups)
    status = held(bound.lower, bound.upper, floor)
    wanted = None if status == "pass" else stats.guard_n(floor, bound.value)
    needed = None if wanted is None else math.ceil(wanted * len(own) / bound.n_effective)
    return head | {
        "value": bound.value,
        "lower": bound.lower,
        "upper": bound.upper,
        "n_effective": bound.n_effective,
        "status": status,
        "needed": needed,
    }


def held(low: float, high: float, floor: float) -> Status:
    """Where an interval stands against a floor."""
    return "pass" if low >= floor else "fail" if high < floor else "inconclusive"


def bounds(rows: Sequence[Prediction], test: Test) -> tuple[float, float, float]:
    """Estimate and guard bounds of the primary metric; the bounds of a mean over classes are the mean of theirs.

    Each of K classes gets its bound at 1 - 0.025 / K, so that all hold together (Bonferroni) and so does their mean.
    """
    kept = [row for row in rows if row.outcome != MISSING and relevant(row.gold, test.metric, test.positive)]
    several = test.metric == "balanced_accuracy"
    classes: list[str | None] = [*sorted({row.gold for row in kept})] if several else [None]
    parts = []
    for label in classes:
        own = [row for row in kept if label in (None, row.gold)]
        right = [hit(row, test.metric, test.positive) for row in own]
        parts.append(stats.guard_bound(right, [row.group for row in own], confidence=1 - 0.025 / len(classes)))
    if not parts:
        return 0.0, 0.0, 1.0
    columns = zip(*((part.value, part.lower, part.upper) for part in parts), strict=True)
    value, low, high = (sum(column) / len(parts) for column in columns)
    return value, low, high
