"""What one decision is about: an answer at the declared threshold, and several images of one part as one unit."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from finetune.config.schema import EvaluateConfig
from finetune.data import tiles as tiles_of
from finetune.evaluation.pairing import ANSWERED, MISSING, Test
from finetune.example import Example, Outcome, Prediction
from finetune.scoring import box_metrics as scored

RULES = {
    "any": "{one} is {positive} when any of its {parts} is answered {positive}, else {otherwise}",
    "max": "{one} is {positive} when the largest probability of {positive} among its {parts} reaches {threshold:g}",
    "vote": "{one} is what most of its {parts} are answered; a tie is no answer",
    "nms": "{one} has the boxes of all its {parts}; of those in two of them that share half of the smaller one, one",
}
"""How answers about several images, or about the tiles of one, become one answer."""


def describe(test: Test, evaluate: EvaluateConfig) -> str:
    """The estimand in words: what one unit is and how its images or tiles make one answer."""
    tiled = is_tiled(test)
    if evaluate.unit == "image" and not tiled:
        return "each image, with its question, counts once"
    whole = evaluate.unit == "image"
    rest = "what most of them are" if test.negative is None else f"what most that are not {test.negative!r} are, if any"
    return RULES[evaluate.aggregate or "vote"].format(
        one="each image counts once: it" if whole else "a group",
        parts="tiles" if tiled else "images",
        positive=repr(test.positive) if test.positive is not None else "a label",
        otherwise=rest,
        threshold=_threshold(evaluate),
    )


def is_tiled(test: Test) -> bool:
    """Whether its examples are tiles (`data.tiles`)."""
    return any(example.whole is not None for example in test.examples)


def _threshold(evaluate: EvaluateConfig) -> float:
    return 0.5 if evaluate.threshold is None else evaluate.threshold


def at_threshold(rows: Sequence[Prediction], positive: str | None, threshold: float | None) -> list[Prediction]:
    """Answers at an operating point: `positive` where its probability reaches the threshold, else the likeliest other.

    Rows without probabilities, and rows of models that failed, stay as they are.
    """
    if positive is None or threshold is None:
        return list(rows)
    return [_decided(row, positive, threshold) for row in rows]


def acted(
    answers: Mapping[str, Sequence[Prediction]], positive: str | None, evaluate: EvaluateConfig, baseline: str | None
) -> dict[str, list[Prediction]]:
    """Answers image by image as they are acted on: own models at `evaluate.threshold`, others as they say."""
    fixed = (baseline, "majority")  # a service answers as it answers; the floor is what it is
    return {
        who: list(rows) if who in fixed else at_threshold(rows, positive, evaluate.threshold)
        for who, rows in answers.items()
    }


def _decided(row: Prediction, positive: str, threshold: float) -> Prediction:
    chances = row.probabilities
    if not chances or positive not in chances or len(chances) < 2 or row.outcome not in ANSWERED:
        return row
    others = {label: chance for label, chance in chances.items() if label != positive}
    answer = positive if chances[positive] >= threshold else max(others, key=others.__getitem__)
    outcome: Outcome = "correct" if answer == row.gold else "wrong"
    return replace(row, answer=answer, outcome=outcome, even_probabilities=None)  # the threshold decided


def by_unit(test: Test, evaluate: EvaluateConfig) -> Test:
    """The test with one example a unit, in order of first appearance: an image of its tiles, a group, or itself."""
    if evaluate.unit == "image" and not is_tiled(test):
        return test
    keys = _keys([(example.id, example.group) for example in test.examples], evaluate)
    examples, folds = [], []
    for indices in _members(keys).values():
        own = [test.examples[i] for i in indices]
        first, whole = own[0], own[0].whole
        boxes = evaluate.aggregate == "nms" and whole is not None
        gold = str(whole and whole.target) if boxes else _gold([row.target for row in own], test, evaluate)
        examples.append(replace(first, target=gold))
        folds.append(test.folds[indices[0]])
    return replace(test, examples=tuple(examples), folds=tuple(folds))


def aggregate(rows: Sequence[Prediction], test: Test, evaluate: EvaluateConfig) -> list[Prediction]:
    """One prediction a unit, in order of first appearance; the rows as they are where each is a unit of its own.

    A unit of which an image or tile failed has the answer that the others settle for certain (one positive under `any`
    and `max`, an absolute majority under `vote`); where they settle none, the outcome of its first failure. Under
    `nms` a tile that failed found nothing, and the image cannot be right.
    """
    if evaluate.unit == "image" and not is_tiled(test):
        return list(rows)
    members = _members(_keys([(row.id, row.group) for row in rows], evaluate))
    if evaluate.aggregate == "nms":
        tiles = {example.id: example for example in test.examples}
        return [_boxes([rows[i] for i in indices], tiles) for indices in members.values()]
    return [_unit([rows[i] for i in indices], test, evaluate) for indices in members.values()]


def _keys(rows: Sequence[tuple[str, str]], evaluate: EvaluateConfig) -> list[str]:
    """What each (id, group) belongs to."""
    return [group if evaluate.unit == "group" else tiles_of.whole_of(own) for own, group in rows]


def _boxes(rows: Sequence[Prediction], tiles: Mapping[str, Example]) -> Prediction:
    examples = [tiles[row.id] for row in rows]
    failed = [row.outcome for row in rows if row.outcome not in ANSWERED]
    answer = tiles_of.joined({row.id: row.answer if row.outcome in ANSWERED else None for row in rows}, examples)
    gold = str(examples[0].whole and examples[0].whole.target)
    outcome: Outcome = "wrong" if failed or not scored.exact(gold, answer) else "correct"
    if len(failed) == len(rows) or MISSING in failed:
        outcome = MISSING if MISSING in failed else failed[0]
    said = answer if outcome in ANSWERED else None
    return replace(rows[0], gold=gold, answer=said, outcome=outcome, seconds=sum(row.seconds for row in rows))


def _members(groups: Sequence[str]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, group in enumerate(groups):
        found.setdefault(group, []).append(index)
    return found


def _gold(golds: Sequence[str], test: Test, evaluate: EvaluateConfig) -> str:
    """A unit with a positive image is positive; else what most of its images are, the first in case of a tie."""
    if evaluate.aggregate == "vote":
        return Counter(golds).most_common(1)[0][0]
    return _commonest(Counter(golds), test)


def _commonest(answers: Counter[str], test: Test) -> str:
    """The positive one where it is there; else the commonest, of those that say that something is there if any does."""
    if test.positive in answers:
        return str(test.positive)
    telling = Counter({answer: count for answer, count in answers.items() if answer != test.negative})
    return (telling or answers).most_common(1)[0][0]


def _unit(rows: Sequence[Prediction], test: Test, evaluate: EvaluateConfig) -> Prediction:
    gold = _gold([row.gold for row in rows], test, evaluate)
    failed = [row.outcome for row in rows if row.outcome not in ANSWERED]
    answers = Counter(row.answer for row in rows if row.outcome in ANSWERED and row.answer is not None)
    answer, chances = {"any": _any, "max": _max, "vote": _vote}[evaluate.aggregate or "vote"](
        rows, answers, len(failed), test, evaluate
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
        even_probabilities=None,
        seconds=sum(row.seconds for row in rows),
    )


Settled = tuple[str | None, dict[str, float] | None]


def _any(
    rows: Sequence[Prediction], answers: Counter[str], failed: int, test: Test, evaluate: EvaluateConfig
) -> Settled:
    certain = test.positive in answers or not failed
    return (_commonest(answers, test) if answers and certain else None), None


def _max(
    rows: Sequence[Prediction], answers: Counter[str], failed: int, test: Test, evaluate: EvaluateConfig
) -> Settled:
    positive = test.positive
    given = [row.probabilities for row in rows if row.probabilities and row.outcome in ANSWERED]
    if positive is None or len(given) + failed < len(rows) or not given:  # a model without probabilities: as `any`
        return _any(rows, answers, failed, test, evaluate)
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
    rows: Sequence[Prediction], answers: Counter[str], failed: int, test: Test, evaluate: EvaluateConfig
) -> Settled:
    ranked = [*answers.most_common(2), ("", 0), ("", 0)]
    (first, most), (_, next_most) = ranked[0], ranked[1]
    settled = most > next_most + failed  # whatever the failed images would have been
    return (first if settled else None), None
