"""Questions of their own: closed ones by their answer, open ones by text or by a number within a tolerance."""

from collections.abc import Sequence
from typing import Any

from finetune.config.schema import TaskConfig
from finetune.example import Example
from finetune.recompute import formulas, numbers, texts

POLAR = ("yes", "no")
"""The closed answers where none are declared."""


def right(task: TaskConfig, gold: str, answer: str) -> bool:
    """Whether the text is the gold one in its normal form or, with a tolerance, the number is."""
    if texts.same(gold, answer):
        return True
    absolute, relative = task.options.get("absolute"), task.options.get("relative")
    if absolute is None and relative is None:
        return False
    return numbers.near(gold, answer, absolute or 0.0, relative or 0.0, task.options.get("unit", ""))


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether an item may carry a verdict: where its question lists its answers, or has one of `labels`."""
    column = task.options.get("choices")
    listed = example.meta.get(column, "") if column else ""
    return bool(listed.replace("|", "").strip()) or example.target in labels


def metrics(
    golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str], closed: Sequence[str] = POLAR
) -> dict[str, Any]:
    """Share of right answers where the gold one is closed; of the others, exact match and token F1."""
    shut = [place for place, gold in enumerate(golds) if gold in closed]
    free = [place for place, gold in enumerate(golds) if gold not in closed]
    found = {}
    if shut:
        hits = [golds[place] == answers[place] for place in shut]
        found["closed_accuracy"] = formulas.proportion(hits, [groups[place] for place in shut])
    if free:
        columns = [[column[place] for place in free] for column in (golds, groups)]
        found |= texts.scores(columns[0], [answers[place] for place in free], columns[1])
    return found


def extras(
    task: TaskConfig, golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]
) -> dict[str, Any]:
    """What stands beside the accuracy of closed questions."""
    found = metrics(golds, answers, groups, task.labels or POLAR)
    return {name: score for name, score in found.items() if name != "closed_accuracy"}
