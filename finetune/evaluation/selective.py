"""Letting people decide what the model is unsure of: risk against coverage, at a threshold frozen on validation."""

from collections.abc import Sequence

from finetune import stats
from finetune.evaluation.pairing import ANSWERED
from finetune.example import Prediction
from finetune.rundir import Json

POINTS = 200
"""Points of a curve that are kept for drawing."""


def confidence(row: Prediction) -> float:
    """Probability of the answer given; -1 where the model gave none, so that it is handed over first.

    It need not be the likeliest label: a threshold may have decided, or a training that evened labels out.
    """
    return row.probabilities.get(str(row.answer), 0.0) if row.probabilities and row.outcome in ANSWERED else -1.0


def curve(rows: Sequence[Prediction]) -> list[list[float]]:
    """Pairs of coverage and risk, the surest answers first, thinned to `POINTS`; empty without probabilities."""
    if not any(row.probabilities for row in rows):
        return []
    points = stats.risk_coverage(list(map(confidence, rows)), [row.outcome == "correct" for row in rows])
    step = max(1, -(-len(points) // POINTS))
    kept = [*points[::step], *([points[-1]] if (len(points) - 1) % step else [])]
    return [[float(share), float(risk)] for share, risk in kept]


def judge(rows: Sequence[Prediction], validation: Sequence[Prediction], target: float) -> Json:
    """Whether the error among the answers that are not handed over is below `target` for certain.

    The threshold is the lowest confidence at which validation stays within the target; it is not touched afterwards.
    The bounds are one-sided, 97.5 %, Clopper-Pearson with groups: of the risk from above, of the coverage from below.
    """
    found: Json = {"threshold": None, "coverage": 0.0, "coverage_low": 0.0, "risk": None, "upper": 1.0}
    found |= {"target": target, "status": "inconclusive"}
    if not any(row.probabilities for row in validation) or not any(row.probabilities for row in rows):
        return found | {"detail": "there are no probabilities on validation and test to choose a threshold by"}
    sure, right = list(map(confidence, validation)), [row.outcome == "correct" for row in validation]
    threshold = stats.choose_threshold(sure, right, target)
    if threshold is None:
        return found | {"detail": f"no threshold keeps the error on validation within {100 * target:g} %"}
    kept = [row for row in rows if confidence(row) >= threshold and row.outcome in ANSWERED]
    found["threshold"] = threshold
    if not kept:
        return found | {"detail": "no answer of the test reaches the threshold"}
    hits = [row.outcome == "correct" for row in kept]
    upper = 1 - stats.guard_bound(hits, [row.group for row in kept], "lower").lower
    share = [confidence(row) >= threshold and row.outcome in ANSWERED for row in rows]
    bound = stats.guard_bound(share, [row.group for row in rows], "lower")
    risk = 1 - sum(hits) / len(hits)
    status = "pass" if upper <= target else "fail" if risk > target else "inconclusive"
    detail = (
        f"{100 * bound.value:.1f} % are answered by the model (at least {100 * bound.lower:.1f} %), with an error of "
        f"{100 * risk:.1f} % (at most {100 * upper:.1f} %) against a target of {100 * target:g} %"
    )
    found |= {"coverage": bound.value, "coverage_low": bound.lower, "risk": risk, "upper": upper}
    return found | {"status": status, "detail": detail}
