"""Boxes of a run: F1 at half in common, how far the count is off, and average precision where all boxes have scores."""

from collections.abc import Sequence
from typing import Any

from finetune.config.schema import TaskConfig
from finetune.example import Example
from oracle import boxes, ratios


def right(task: TaskConfig, gold: str, answer: str) -> bool:
    """Whether all boxes are found and none is invented."""
    return boxes.exact(gold, answer)


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether an item may carry a verdict: always."""
    return True


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Any]:
    """All metrics; an item without an answer has no boxes said."""
    wanted, said = ([boxes.read(text or "[]") for text in side] for side in (golds, answers))
    items = list(zip(wanted, said, strict=True))
    parts = [(2.0 * boxes.found(gold, told), float(len(gold) + len(told))) for gold, told in items]
    most = max([1, *(len(side) for pair in items for side in pair)])
    result = {
        "f1_iou50": ratios.ratio(parts, groups),
        "count_error": ratios.mean([float(abs(len(gold) - len(told))) for gold, told in items], groups, float(most)),
    }
    missed = [(float(sum(not any(box[1]) for box in told)), float(len(told))) for told in said]
    result["unreadable_boxes"] = ratios.ratio(missed, groups)
    if any(box[2] is not None for told in said for box in told):
        result["map_50"], result["map_50_95"] = boxes.mean_average_precisions(wanted, said, groups)
    return result
