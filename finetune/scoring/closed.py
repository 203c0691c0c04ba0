"""Closed sets: an answer is right or it is not; no answer counts as wrong."""

from collections.abc import Sequence

from finetune.example import Score
from finetune.stats.proportions import clustered_wilson


def accuracy(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> Score:
    """Share of exact answers, Wilson's interval with the effective number of groups."""
    return clustered_wilson([gold == answer for gold, answer in zip(golds, answers, strict=True)], groups)
