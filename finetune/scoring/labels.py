"""Ordered labels: how far an answer is off counts."""

from collections.abc import Sequence

from finetune.example import Score
from finetune.scoring.ratio import ratio
from finetune.stats.agreement import weighted_kappa
from finetune.stats.proportions import clustered_wilson


def metrics(
    golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str], order: Sequence[str]
) -> dict[str, Score]:
    """Quadratic weighted kappa, mean distance in steps, and the share that is at most one step off.

    No answer counts as the label farthest from the gold one.

    Args:
        golds: one of `order` each.
        answers: one of `order` each, or None.
        groups: what an item is not independent of.
        order: the labels, least first.
    """
    steps = [_steps(gold, answer, order) for gold, answer in zip(golds, answers, strict=True)]
    ones = [1.0] * len(steps)
    return {
        "weighted_kappa": weighted_kappa(golds, answers, order, groups),
        "mean_steps_off": ratio(steps, ones, groups, top=float(len(order) - 1)),
        "within_one_step": ratio([float(step <= 1) for step in steps], ones, groups),
    }


def _steps(gold: str, answer: str | None, order: Sequence[str]) -> int:
    place = order.index(gold)
    return max(place, len(order) - 1 - place) if answer is None else abs(order.index(answer) - place)


def accuracy(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> Score:
    """Share of exact answers, Wilson's interval with the effective number of groups."""
    return clustered_wilson([gold == answer for gold, answer in zip(golds, answers, strict=True)], groups)
