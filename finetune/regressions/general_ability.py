"""Forgetting: is the tuned model worse than its base at what it could do before?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import get_args

from finetune import stats
from finetune.example import Outcome, Prediction
from finetune.rundir import Json

PAIR = ("base", "tuned")
Replies = Mapping[str, Sequence[Prediction]]
"""base and tuned -> their predictions of the same questions, in order."""


def row(name: str, replies: Replies, left_out: Mapping[str, int], files: Sequence[str]) -> Json:
    """One line of the forgetting panel.

    Args:
        name: of the set.
        replies: predictions of base and tuned model.
        left_out: reason -> number of questions that were not asked.
        files: what was read; empty for the set that the package draws itself.

    Returns:
        `set`, `n`, accuracy of `base` and `tuned` with intervals, `difference` (tuned minus base, paired), `reading`,
        `outcomes`, `left_out`, `files`.
    """
    right = {who: [p.outcome == "correct" for p in replies[who]] for who in PAIR}
    groups = [p.group for p in replies["base"]]
    difference = stats.paired_difference(right["tuned"], right["base"], groups)
    return {
        "set": name,
        "n": len(groups),
        **{who: asdict(stats.clustered_wilson(right[who], groups)) for who in PAIR},
        "difference": asdict(difference),
        "reading": reading(difference.low, difference.high),
        "outcomes": {
            who: {kind: sum(p.outcome == kind for p in replies[who]) for kind in get_args(Outcome)} for who in PAIR
        },
        "left_out": dict(left_out),
        "files": list(files),
    }


def reading(low: float, high: float) -> str:
    """What an interval of tuned minus base says: `lower`, `higher`, or `open` where it holds 0."""
    return "lower" if high < 0 else "higher" if low > 0 else "open"
