"""Predictions as they count: one row a unit of decision at the declared threshold, and two models side by side."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune.config.schema import EvaluateConfig
from finetune.example import Example
from finetune.recompute import boxes, formulas

Row = dict[str, Any]
FAILED = ("unparsed", "refused", "filtered", "api_error", "truncated")


@dataclass(frozen=True)
class Setting:
    """What the numbers are made from, besides the rows.

    Attributes:
        labels: the closed answers.
        evaluate: the rule.
        baseline: the model to be replaced, or None.
        seed: of resamples and sign flips.
        folds: fold of each item, "" without cross-validation.
        meta: columns for subgroups of each item.
        task: kind of the task.
        negative: the answer of a tile that shows nothing, or None.
        tiles: id -> example, where the items are tiles of images.
    """

    labels: tuple[str, ...]
    evaluate: EvaluateConfig
    baseline: str | None
    seed: int
    folds: Sequence[str]
    meta: Sequence[Mapping[str, str]]
    task: str
    negative: str | None = None
    tiles: Mapping[str, Example] = field(default_factory=dict)

    @property
    def metric(self) -> str:
        """The primary metric."""
        return self.evaluate.decision.metric


def decisive(who: str, rows: Sequence[Row], setting: Setting) -> list[Row]:
    """Rows at the threshold, aggregated to units."""
    evaluate, rows = setting.evaluate, acted(who, rows, setting)
    if evaluate.unit == "image" and not setting.tiles:
        return list(rows)
    members: dict[str, list[Row]] = {}
    for row in rows:
        key = row["group"] if evaluate.unit == "group" else row["id"][: row["id"].rindex("@")]
        members.setdefault(key, []).append(row)
    unit = _boxes if evaluate.aggregate == "nms" else _unit
    return [unit(own, setting) for own in members.values()]


def _boxes(rows: Sequence[Row], setting: Setting) -> Row:
    """Boxes of the tiles of an image, put together and held against those of the whole image."""
    own = [setting.tiles[row["id"]] for row in rows]
    gold, size = next((example.whole.target, example.whole.size) for example in own if example.whole)
    told = [None if row["outcome"] in FAILED else row["answer"] for row in rows]
    joined = boxes.joined(told, [example.images[0].tile or () for example in own], size)
    failed = [row["outcome"] for row in rows if row["outcome"] in FAILED]
    right = not failed and boxes.exact(gold, joined)
    outcome = "correct" if right else "wrong"
    if "api_error" in failed or len(failed) == len(rows):
        outcome = "api_error" if "api_error" in failed else failed[0]
    seconds = sum(row["seconds"] for row in rows)
    return rows[0] | {
        "gold": gold,
        "answer": None if outcome in FAILED else joined,
        "outcome": outcome,
        "seconds": seconds,
    }


def acted(who: str, rows: Sequence[Row], setting: Setting) -> list[Row]:
    """Rows at the threshold, of own models only, image by image."""
    evaluate = setting.evaluate
    if evaluate.threshold is None or evaluate.positive is None or who in (setting.baseline, "majority"):
        return list(rows)
    return [_decided(row, evaluate.positive, evaluate.threshold) for row in rows]


def _decided(row: Row, positive: str, threshold: float) -> Row:
    chances = row["probabilities"] or {}
    if positive not in chances or len(chances) == 1 or row["outcome"] in FAILED:
        return row
    ranked = sorted((label for label in chances if label != positive), key=lambda label: -chances[label])
    return _answered(row, positive if chances[positive] >= threshold else ranked[0])


def _answered(row: Row, answer: str) -> Row:
    return row | {"answer": answer, "outcome": "correct" if answer == row["gold"] else "wrong"}


def _unit(rows: Sequence[Row], setting: Setting) -> Row:
    how, positive = setting.evaluate.aggregate or "vote", setting.evaluate.positive
    golds = [row["gold"] for row in rows]
    gold = Counter(golds).most_common(1)[0][0] if how == "vote" else _strongest(golds, setting)
    good = [row for row in rows if row["outcome"] not in FAILED]
    failed = [row["outcome"] for row in rows if row["outcome"] in FAILED]
    whole = rows[0] | {"gold": gold, "seconds": sum(row["seconds"] for row in rows), "probabilities": None}
    answer = _settled(good, len(failed), setting, how, positive)
    if how == "max" and answer is not None:
        whole["probabilities"] = _highest(good, str(positive))
    if answer is None:
        return whole | {"answer": None, "outcome": failed[0] if failed else "unparsed"}
    return _answered(whole, answer)


def _strongest(answers: Sequence[str], setting: Setting) -> str:
    """The positive label, else the commonest that is not the negative one, else the negative one."""
    ranked = [label for label, _ in Counter(answers).most_common()]
    ranked.sort(key=lambda label: (label != setting.evaluate.positive, label == setting.negative))
    return ranked[0]


def _highest(good: Sequence[Row], positive: str) -> dict[str, float] | None:
    chances = [row["probabilities"] for row in good]
    if not all(chances) or len(chances[0]) != 2 or positive not in chances[0]:
        return None
    top = max(row[positive] for row in chances)
    return {positive: top} | {label: 1 - top for label in chances[0] if label != positive}


def _settled(good: Sequence[Row], failed: int, setting: Setting, how: str, positive: str | None) -> str | None:
    votes = Counter(row["answer"] for row in good)
    if how == "vote":
        ranked = votes.most_common(2)
        lead = ranked[0][1] - (ranked[1][1] if len(ranked) > 1 else 0) if ranked else 0
        return ranked[0][0] if lead > failed else None
    chances = [row["probabilities"] for row in good if row["probabilities"]]
    if how == "max" and positive is not None and chances and len(chances) == len(good):
        threshold = setting.evaluate.threshold
        if max(row.get(positive, 0.0) for row in chances) >= (0.5 if threshold is None else threshold):
            return positive
        others = {label: sum(row[label] for row in chances) for label in chances[0] if label != positive}
        return None if failed else max(others, key=lambda label: others[label])
    if not votes or (failed and positive not in votes):
        return None
    return _strongest([row["answer"] for row in good], setting)


def counts(row: Row, metric: str, positive: str | None) -> bool:
    """Whether an item belongs to the denominator of a metric."""
    if metric in ("sensitivity", "specificity"):
        return bool(row["gold"] == positive) == (metric == "sensitivity")
    return True


def right(row: Row, metric: str, positive: str | None) -> bool:
    """Whether it belongs to the numerator as well."""
    if row["outcome"] in FAILED:
        return False
    if metric in ("sensitivity", "specificity"):
        return bool((row["answer"] == positive) == (metric == "sensitivity"))
    return bool(row["outcome"] == "correct")


def difference(
    first: Sequence[Row],
    second: Sequence[Row],
    setting: Setting,
    metric: str,
    margin: float = 0.0,
    lenient: bool = False,
) -> dict[str, Any]:
    """Paired difference of two models; `lenient` counts every failure of the second as right."""
    positive = setting.evaluate.positive
    both = [(a, b) for a, b in zip(first, second, strict=True) if counts(a, metric, positive)]
    kept = [(a, b) for a, b in both if lenient or "api_error" not in (a["outcome"], b["outcome"])]
    if not kept:
        none = {"difference": 0.0, "low": -1.0, "high": 1.0, "b": 0, "c": 0, "p": 1.0, "n": 0, "groups": 0}
        return none | {"discordant_groups": 0, "enough": False, "p_noninferiority": None, "excluded": len(both)}
    found = formulas.difference(
        [right(a, metric, positive) for a, _ in kept],
        [right(b, metric, positive) or (lenient and b["outcome"] in FAILED) for _, b in kept],
        [a["group"] for a, _ in kept],
        formulas.balanced_weights([a["gold"] for a, _ in kept]) if metric == "balanced_accuracy" else None,
        setting.seed,
        margin,
    )
    return found | {"excluded": len(both) - len(kept)}
