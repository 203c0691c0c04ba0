"""From predictions to numbers: metrics, pairs, decision. Pure functions of the prediction files; no model, no torch."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import get_args

import numpy as np

from finetune import stats
from finetune.config import EvaluateConfig
from finetune.errors import IntegrityError
from finetune.example import Example, Outcome, Prediction, Score
from finetune.report import words
from finetune.rundir import Json, canonical_digest

SCHEMA = 1
ORDER = ("tuned", "base", "majority")
"""Pairs are formed in this order: the first of two is the one that should be better."""


@dataclass(frozen=True)
class Test:
    """The test split that all models answered.

    Attributes:
        labels: the closed answers.
        examples: all of them, folds pooled, in file order.
        folds: name of the fold of each example, all "" without cross-validation.
        metric: the primary metric.
        positive: label whose sensitivity and specificity are shown, or None.
        seed: of the resamples.
    """

    __test__ = False  # not a test class, whatever its name makes pytest think

    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    folds: tuple[str, ...]
    metric: str
    positive: str | None
    seed: int


def check_pairing(
    who: str, predictions: Sequence[Prediction], examples: Sequence[Example], twin: Sequence[Prediction]
) -> None:
    """Checks that predictions answer exactly these examples, in order, on the pixels that `twin` saw.

    Raises:
        IntegrityError: an answer is missing, double or foreign, or question, gold, group or pixels differ; names ids.
    """
    ids = [p.id for p in predictions]
    double = [key for key, count in Counter(ids).items() if count > 1]
    wanted = [example.id for example in examples]
    missing, foreign = sorted(set(wanted) - set(ids)), sorted(set(ids) - set(wanted))
    for what, found in (("twice", double), ("missing", missing), ("not of this test split", foreign)):
        if found:
            raise IntegrityError(f"predictions of {who}: {len(found)} ids {what}: {_some(found)}. Evaluate it again.")
    if ids != wanted:
        raise IntegrityError(f"predictions of {who} are in another order than the test split. Evaluate it again.")
    for what, pairs in (
        ("gold", [(p.gold, e.target) for p, e in zip(predictions, examples, strict=True)]),
        ("question", [(p.question, e.question) for p, e in zip(predictions, examples, strict=True)]),
        ("group", [(p.group, e.group) for p, e in zip(predictions, examples, strict=True)]),
        ("image_sha256", [(p.image_sha256, t.image_sha256) for p, t in zip(predictions, twin, strict=True)]),
    ):
        differing = [key for key, (got, expected) in zip(ids, pairs, strict=True) if got != expected]
        if differing:
            raise IntegrityError(
                f"predictions of {who}: {what} differs for {len(differing)} ids: {_some(differing)}. "
                "Data and predictions are of different versions; run evaluate again."
            )


def _some(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:5])) + (", ..." if len(ids) > 5 else "")


def outcomes(predictions: Sequence[Prediction]) -> dict[str, int]:
    """Counts of every outcome, zeros included, so that they add up to the number asked."""
    counts = Counter(p.outcome for p in predictions)
    return {name: counts[name] for name in get_args(Outcome)}


def metrics(test: Test, predictions: Sequence[Prediction]) -> dict[str, Json]:
    """Metric -> value, low, high. Proportions with Wilson's interval for groups, means over classes by resampling."""
    gold, answers = [p.gold for p in predictions], [_counted(p) for p in predictions]
    groups = [p.group for p in predictions]
    balanced, f1 = stats.bootstrap(
        (stats.balanced_accuracy, stats.macro_f1), gold, answers, groups, test.labels, test.seed
    )
    found = {"accuracy": _accuracy(predictions), "balanced_accuracy": balanced, "macro_f1": f1}
    if test.positive is not None:
        found["sensitivity"] = stats.sensitivity(gold, answers, groups, test.positive)
        found["specificity"] = stats.specificity(gold, answers, groups, test.positive)
    return {name: asdict(score) for name, score in found.items()}


def _accuracy(predictions: Sequence[Prediction]) -> Score:
    return stats.clustered_wilson([p.outcome == "correct" for p in predictions], [p.group for p in predictions])


def _counted(prediction: Prediction) -> str | None:
    """The answer as far as it counts: a reply that was cut off or refused is none, whatever it begins with."""
    return prediction.answer if prediction.outcome in ("correct", "wrong") else None


def detail(test: Test, predictions: Sequence[Prediction]) -> Json:
    """Confusion table, per class, per fold and time of one model, for `metrics.json`."""
    gold, answers = [p.gold for p in predictions], [_counted(p) for p in predictions]
    table = stats.confusion(gold, answers, test.labels)
    classes = {}
    for i, label in enumerate(test.labels):
        answered = sum(row[i] for row in table)
        classes[label] = {
            "n": sum(table[i]),
            "recall": asdict(stats.wilson(table[i][i], sum(table[i]))),
            "precision": asdict(stats.wilson(table[i][i], answered)) if answered else None,
        }
    return {
        "n": len(predictions),
        "outcomes": outcomes(predictions),
        "confusion": {"labels": [*test.labels, None], "rows": table},
        "classes": classes,
        "folds": {name: _fold(test, predictions, name) for name in dict.fromkeys(test.folds) if name},
        "seconds_per_item": sum(p.seconds for p in predictions) / len(predictions),
    }


def _fold(test: Test, predictions: Sequence[Prediction], name: str) -> Json:
    own = [p for p, fold in zip(predictions, test.folds, strict=True) if fold == name]
    table = stats.confusion([p.gold for p in own], [_counted(p) for p in own], test.labels)
    return {
        "n": len(own),
        "groups": len({p.group for p in own}),
        "accuracy": asdict(_accuracy(own)),
        "balanced_accuracy": float(stats.balanced_accuracy(np.asarray(table))),
    }


def pair(test: Test, first: Sequence[Prediction], second: Sequence[Prediction], metric: str) -> Json:
    """Paired difference of a metric, first minus second."""
    weights = stats.class_weights([p.gold for p in first]) if metric == "balanced_accuracy" else None
    sides = [[p.outcome == "correct" for p in side] for side in (first, second)]
    found = stats.paired_difference(sides[0], sides[1], [p.group for p in first], weights, test.seed)
    return {"metric": metric, **asdict(found), "p_noninferiority": None}


def pairs(test: Test, answers: Mapping[str, Sequence[Prediction]], metric: str) -> dict[str, Json]:
    """All pairs of models that are there, each named `better-than`."""
    present = [who for who in ORDER if who in answers]
    return {f"{a}-{b}": pair(test, answers[a], answers[b], metric) for a, b in combinations(present, 2)}


def agreement(deployed: Sequence[Prediction], other: Sequence[Prediction]) -> Json:
    """Share of the items that get the same answer in both answering modes."""
    same = sum(a.answer == b.answer for a, b in zip(deployed, other, strict=True))
    return asdict(stats.wilson(same, len(deployed)))


def compare(
    test: Test,
    deployed: Mapping[str, Sequence[Prediction]],
    generated: Mapping[str, Sequence[Prediction]],
    evaluate: EvaluateConfig,
    looks: int,
) -> Json:
    """The whole of `comparison.json`.

    Args:
        test: what was asked.
        deployed: model -> predictions in the answering mode that it would be deployed in.
        generated: model -> predictions in the other mode.
        evaluate: the rule, whose digest is recorded.
        looks: how often this test split has been looked at, this time included.
    """
    found = pairs(test, deployed, test.metric)
    return {
        "schema": SCHEMA,
        "n": len(test.examples),
        "groups": len({example.group for example in test.examples}),
        "folds": len({fold for fold in test.folds if fold}),
        "labels": list(test.labels),
        "models": {who: metrics(test, rows) for who, rows in deployed.items()},
        "outcomes": {who: outcomes(rows) for who, rows in deployed.items()},
        "pairs": found,
        "modes": {
            who: {
                "metrics": metrics(test, rows),
                "outcomes": outcomes(rows),
                "agreement": agreement(deployed[who], rows),
            }
            for who, rows in generated.items()
        },
        "decision": {
            "rule_sha256": canonical_digest({"decision": asdict(evaluate.decision), "models": list(evaluate.models)}),
            "verdict": "not_enough_evidence",
            "reason": _reason(found.get("tuned-base")),
            "looks": looks,
        },
    }


def _reason(pair: Json | None) -> str:
    """Why there is no verdict on replacing anything, and what can be said instead."""
    missing = "No proprietary baseline was evaluated, so whether the tuned model may replace one is left open."
    if pair is None:
        return missing
    weak = ""
    if pair["groups"] != pair["n"] and pair["discordant_groups"] < words.ENOUGH_GROUPS:
        weak = (
            f" The two models disagree in only {pair['discordant_groups']} of {pair['groups']} groups; below "
            f"{words.ENOUGH_GROUPS} such an interval can be too narrow."
        )
    return missing + weak
