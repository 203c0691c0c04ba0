"""Tags: every (item, tag) is a decision of its own, and the whole set another."""

import json
from collections.abc import Sequence
from typing import Any

from finetune.config.schema import TaskConfig
from finetune.example import Example
from finetune.recompute import formulas, ratios


def right(task: TaskConfig, gold: str, answer: str) -> bool:
    """Whether the same tags are named, in any order."""
    return set(json.loads(gold)) == set(json.loads(answer))


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether an item may carry a verdict: always."""
    return True


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Any]:
    """F1 over all decisions, mean share of tags in common, share of whole sets; no answer shares and hits nothing."""
    parts, jaccard, whole = [], [], []
    for gold, answer in zip(golds, answers, strict=True):
        wanted, said = set(json.loads(gold)), set(json.loads(answer or "[]"))
        hits, missed, invented = (len(side) for side in (wanted & said, wanted - said, said - wanted))
        parts.append((2.0 * hits, 2.0 * hits + missed + invented))
        either = hits + missed + invented
        jaccard.append(0.0 if answer is None else hits / either if either else 1.0)
        whole.append(answer is not None and not missed and not invented)
    return {
        "tag_f1": ratios.ratio(parts, groups),
        "jaccard": ratios.mean(jaccard, groups),
        "exact_set": formulas.proportion(whole, groups),
    }
