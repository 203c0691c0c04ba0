"""What one decision is about: an answer at the declared threshold, and several images of one part as one unit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from finetune.config import EvaluateConfig
from finetune.evaluation.pairing import ANSWERED, Test
from finetune.example import Outcome, Prediction

RULES = {
    "any": "a group is {positive} when any of its images is answered {positive}, else what most of its images are",
    "max": "a group is {positive} when the largest probability of {positive} among its images reaches {threshold:g}",
    "vote": "a group is what most of its images are answered; a tie is no answer",
}


def describe(test: Test, evaluate: EvaluateConfig) -> str:
    """The estimand in words: what one unit is and how its images make one answer."""
    if evaluate.unit == "image":
        return "each image, with its question, counts once"
    rule = RULES[evaluate.aggregate or "vote"]
    return rule.format(positive=repr(test.positive), threshold=_threshold(evaluate))


def _threshold(evaluate: EvaluateConfig) -> float:
    return 0.5 if evaluate.threshold is None else evaluate.threshold


def at_threshold(rows: Sequence[Prediction], positive: str | None, threshold: float | None) -> list[Prediction]:
    """Answers at an operating point: `positive` where its probability reaches the threshold, else the likeliest other.

    Rows without probabilities, and rows of models that failed, stay as they are.
    """
    if positive is None or threshold is None:
        return list(rows)
    return [_decided(row, positive, threshold) for row in rows]


def _decided(row: Prediction, positive: str, threshold: float) -> Prediction:
    chances = row.probabilities
    if not chances or positive not in chances or len(chances) < 2 or row.outcome not in ANSWERED:
        return row
    others = {label: chance for label, chance in chances.items() if label != positive}
    answer = positive if chances[positive] >= threshold else max(others, key=others.__getitem__)
    return replace(row, answer=answer, outcome="correct" if answer == row.gold else "wrong")


def by_unit(test: Test, evaluate: EvaluateConfig) -> Test:
    """The test with one example a group where `evaluate.unit=group`, in order of first appearance; else itself."""
    if evaluate.unit == "image":
        return test
    members = _members([example.group for example in test.examples])
    examples, folds = [], []
    for indices in members.values():
        gold = _gold([test.examples[i].target for i in indices], test, evaluate)
        examples.append(replace(test.examples[indices[0]], target=gold))
        folds.append(test.folds[indices[0]])
    return replace(test, examples=tuple(examples), folds=tuple(folds))


def aggregate(rows: Sequence[Prediction], test: Test, evaluate: EvaluateConfig) -> list[Prediction]:
    """One prediction a group where `evaluate.unit=group`, in order of first appearance; else the rows as they are.

    A group of which an image failed has the answer that its other images settle for certain (one positive image under
    `any` and `max`, an absolute majority under `vote`); where they settle none, the outcome of its first failure.
    """
    if evaluate.unit == "image":
        return list(rows)
    members = _members([row.group for row in rows])
    return [_unit([rows[i] for i in indices], test, evaluate) for indices in members.values()]


def _members(groups: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        found.setdefault(group, []).append(index)
    return found


def _gold(golds: Sequence[str], test: Test, evaluate: EvaluateConfig) -> str:
    """A group with a positive image is positive; else what most of its images are, the first in case of a tie."""
    if evaluate.aggregate != "vote" and test.positive in golds:
        return str(test.positive)
    return Counter(golds).most_common(1)[0][0]


def _unit(rows: Sequence[Prediction], test: Test, evaluate: EvaluateConfig) -> Prediction:
    gold = _gold([row.gold for row in rows], test, evaluate)
    failed = [row.outcome for row in rows if row.outcome not in ANSWERED]
    answers = Counter(row.answer for row in rows if row.outcome in ANSWERED and row.answer is not None)
    answer, chances = {"any": _any, "max": _max, "vote": _vote}[evaluate.aggregate or "vote"](
        rows, answers, len(failed), test.positive, evaluate
    )
    outcome: Outcome = failed[0] if failed and answer is None else "unparsed"
    if answer is not None:
        outcome = "correct" if answer == gold else "wrong"
    return replace(
        rows[0],
        gold=gold,
        answer=answer,
        outcome=outcome,
        probabilities=chances,
        seconds=sum(row.seconds for row in rows),
    )


Settled = tuple[str | None, dict[str, float] | None]


def _any(
    rows: Sequence[Prediction], answers: Counter[str], failed: int, positive: str | None, evaluate: EvaluateConfig
) -> Settled:
    if positive in answers:
        return positive, None
    return (None if failed or not answers else answers.most_common(1)[0][0]), None


def _max(
    rows: Sequence[Prediction], answers: Counter[str], failed: int, positive: str | None, evaluate: EvaluateConfig
) -> Settled:
    given = [row.probabilities for row in rows if row.probabilities and row.outcome in ANSWERED]
    if positive is None or len(given) + failed < len(rows) or not given:  # a model without probabilities: as `any`
        return _any(rows, answers, failed, positive, evaluate)
    highest = max(chances.get(positive, 0.0) for chances in given)
    if highest >= _threshold(evaluate):
        return positive, _two(given, positive, highest)
    if failed:
        return None, None
    return _likeliest_other(given, positive), _two(given, positive, highest)


def _two(given: Sequence[Mapping[str, float]], positive: str, highest: float) -> dict[str, float] | None:
    """Probabilities of a unit; only two labels leave no question who has the rest."""
    others = [label for label in given[0] if label != positive]
    return {positive: highest, others[0]: 1 - highest} if len(others) == 1 else None


def _likeliest_other(given: Sequence[Mapping[str, float]], positive: str) -> str:
    sums: Counter[str] = Counter()
    for chances in given:
        sums.update({label: chance for label, chance in chances.items() if label != positive})
    return max(sums, key=sums.__getitem__)


def _vote(
    rows: Sequence[Prediction], answers: Counter[str], failed: int, positive: str | None, evaluate: EvaluateConfig
) -> Settled:
    ranked = [*answers.most_common(2), ("", 0), ("", 0)]
    (first, most), (_, next_most) = ranked[0], ranked[1]
    settled = most > next_most + failed  # whatever the failed images would have been
    return (first if settled else None), None
