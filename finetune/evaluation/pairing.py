"""What was asked, and answers of two models laid side by side: checked for slips, then as hits and misses."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from finetune import stats
from finetune.errors import IntegrityError
from finetune.example import Example, Outcome, Prediction

ANSWERED = ("correct", "wrong")
MISSING = "api_error"
"""Missing data: nobody knows what would have been answered. Every other failure is the model's own, and wrong."""


@dataclass(frozen=True)
class Test:
    """The test split that all models answered.

    Attributes:
        labels: the closed answers; empty where answers are open.
        examples: all of them, folds pooled, in file order.
        folds: name of the fold of each example, all "" without cross-validation.
        metric: the primary metric.
        positive: label whose sensitivity and specificity are shown, or None.
        seed: of the resamples.
        task: kind of the task.
        negative: the answer of a tile that shows nothing (`data.tiles.empty`), or None.
    """

    __test__ = False  # not a test class, whatever its name makes pytest think

    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    folds: tuple[str, ...]
    metric: str
    positive: str | None
    seed: int
    task: str = "classify"
    negative: str | None = None


@dataclass(frozen=True)
class Sides:
    """Two models on the items that count for one metric.

    Attributes:
        first: per item, whether the first model is right in the sense of the metric.
        second: the same for the second model.
        groups: per item, what it is not independent of.
        weights: per item, summing to 1, or None where all weigh the same.
        excluded: items left out because an answer is missing (`api_error`).
    """

    first: list[bool]
    second: list[bool]
    groups: list[str]
    weights: list[float] | None
    excluded: int


def check_pairing(
    who: str, predictions: Sequence[Prediction], examples: Sequence[Example], twin: Sequence[Prediction]
) -> None:
    """Checks that predictions answer exactly these examples, in order, on the pixels that `twin` saw.

    Raises:
        IntegrityError: an answer is missing, double or foreign, or question, gold, group or pixels differ; names ids.
    """
    ids = [p.id for p in predictions]
    check_ids(who, ids, [example.id for example in examples])
    for what, pairs in (
        ("gold", [(p.gold, e.target) for p, e in zip(predictions, examples, strict=True)]),
        ("question", [(p.question, e.question) for p, e in zip(predictions, examples, strict=True)]),
        ("group", [(p.group, e.group) for p, e in zip(predictions, examples, strict=True)]),
        ("image_sha256", [(p.image_sha256, t.image_sha256) for p, t in zip(predictions, twin, strict=True)]),
    ):
        differing = [key for key, (got, expected) in zip(ids, pairs, strict=True) if got != expected]
        if differing:
            raise IntegrityError(
                f"predictions of {who}: {what} differs for {len(differing)} ids: {some(differing)}. "
                "Data and predictions are of different versions; run evaluate again."
            )


def check_ids(who: str, ids: Sequence[str], wanted: Sequence[str]) -> None:
    """Checks that `ids` are exactly those wanted, in order.

    Raises:
        IntegrityError: an id is missing, double, foreign or out of order; names ids.
    """
    double = [key for key, count in Counter(ids).items() if count > 1]
    missing, foreign = sorted(set(wanted) - set(ids)), sorted(set(ids) - set(wanted))
    for what, found in (("twice", double), ("missing", missing), ("not of this test split", foreign)):
        if found:
            raise IntegrityError(f"predictions of {who}: {len(found)} ids {what}: {some(found)}. Evaluate it again.")
    if list(ids) != list(wanted):
        raise IntegrityError(f"predictions of {who} are in another order than the test split. Evaluate it again.")


def some(ids: Sequence[str]) -> str:
    """The first five ids, quoted."""
    return ", ".join(map(repr, ids[:5])) + (", ..." if len(ids) > 5 else "")


def counted(prediction: Prediction) -> str | None:
    """The answer as far as it counts: a reply that was cut off or refused is none, whatever it begins with."""
    return prediction.answer if prediction.outcome in ANSWERED else None


def outcomes(predictions: Sequence[Prediction]) -> dict[str, int]:
    """Counts of every outcome, zeros included, so that they add up to the number asked."""
    counts = Counter(p.outcome for p in predictions)
    return {name: counts[name] for name in get_args(Outcome)}


def relevant(gold: str, metric: str, positive: str | None) -> bool:
    """Whether an item counts for a metric: sensitivity looks at positives only, specificity at the others."""
    return {"sensitivity": gold == positive, "specificity": gold != positive}.get(metric, True)


def hit(prediction: Prediction, metric: str, positive: str | None) -> bool:
    """Whether an item that counts was answered right in the sense of the metric."""
    if prediction.outcome not in ANSWERED:
        return False
    correct = prediction.outcome == "correct"
    said = prediction.answer == positive
    return {"sensitivity": said, "specificity": not said}.get(metric, correct)


def sides(
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    metric: str,
    positive: str | None = None,
    failures_right: bool = False,
) -> Sides:
    """Lays two models side by side for one metric.

    Items that the service of either model never answered (`api_error`) are left out and counted. With `failures_right`
    nothing is left out: whatever the second model failed to answer counts as right, so that a claim against it holds
    however its failures would have ended.
    """
    rows = [(a, b) for a, b in zip(first, second, strict=True) if relevant(a.gold, metric, positive)]
    kept = rows if failures_right else [(a, b) for a, b in rows if MISSING not in (a.outcome, b.outcome)]
    return Sides(
        first=[hit(a, metric, positive) for a, _ in kept],
        second=[hit(b, metric, positive) or (failures_right and b.outcome not in ANSWERED) for _, b in kept],
        groups=[a.group for a, _ in kept],
        weights=stats.class_weights([a.gold for a, _ in kept]) if metric == "balanced_accuracy" else None,
        excluded=len(rows) - len(kept),
    )
