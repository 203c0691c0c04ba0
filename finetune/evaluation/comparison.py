"""From predictions to numbers: metrics, pairs, decision. Pure functions of the prediction files; no model, no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from typing import Any

from finetune import plugins, stats
from finetune.config.schema import EvaluateConfig
from finetune.errors import ConfigError
from finetune.evaluation import criteria, decision, decision_units
from finetune.evaluation.pairing import ANSWERED, MISSING, Test, check_pairing, counted, hit, outcomes, relevant, sides
from finetune.example import Prediction, Score
from finetune.rundir import Json, canonical_digest

__all__ = ["SCHEMA", "Test", "check_pairing", "compare", "metrics", "outcomes", "pair", "pairs"]

SCHEMA = 3
LAST = ("linear", "base", "majority")
"""Pairs are formed in the order tuned, the others as given, then these: the first of two should be the better."""

Rows = Mapping[str, Sequence[Prediction]]


def flow(predictions: Sequence[Prediction]) -> dict[str, int]:
    """What became of the questions to one model: asked = the sum of all outcomes; answered = correct + wrong."""
    counts = outcomes(predictions)
    answered = sum(counts[name] for name in ANSWERED)
    return {"asked": len(predictions), "answered": answered, **counts, "left_out_of_pairs": counts[MISSING]}


def metrics(test: Test, predictions: Sequence[Prediction]) -> dict[str, Json]:
    """Metric -> value, low, high. Proportions with Wilson's interval for groups, means over classes by resampling.

    Items whose answer is missing (`api_error`) are left out; every other failure is wrong. Open answers have the
    metrics of their task instead of those of classes.
    """
    kept = [p for p in predictions if p.outcome != MISSING]
    answered = [p for p in predictions if p.outcome in ANSWERED]
    found = {"accuracy": proportion([p.outcome == "correct" for p in kept], kept)}
    found |= _of_classes(test, kept) if test.labels else _of_task(test, kept)
    found["answered_accuracy"] = proportion([p.outcome == "correct" for p in answered], answered)
    found["coverage"] = proportion([p.outcome in ANSWERED for p in predictions], predictions)
    return {name: asdict(score) for name, score in found.items()}


def proportion(right: Sequence[bool], rows: Sequence[Prediction]) -> Score:
    """A share of the rows, with an interval that knows their groups."""
    return stats.clustered_wilson(right, [row.group for row in rows])


def _of_classes(test: Test, rows: Sequence[Prediction]) -> dict[str, Score]:
    gold, answers, groups = [p.gold for p in rows], [counted(p) for p in rows], [p.group for p in rows]
    if rows:
        several = (stats.balanced_accuracy, stats.macro_f1)
        balanced, f1 = stats.bootstrap(several, gold, answers, groups, test.labels, test.seed)
    else:
        balanced = f1 = Score(0.0, 0.0, 1.0)
    found = {"balanced_accuracy": balanced, "macro_f1": f1}
    if test.positive is not None:
        found["sensitivity"] = stats.sensitivity(gold, answers, groups, test.positive)
        found["specificity"] = stats.specificity(gold, answers, groups, test.positive)
    return found


def _of_task(test: Test, rows: Sequence[Prediction]) -> dict[str, Score]:
    """Metrics that a task with open answers declares (`METRICS`); none where it declares none."""
    module: Any = plugins.load("task", test.task)
    if "METRICS" not in vars(module) or not rows:
        return {}
    scores: dict[str, Score] = module.metrics(
        [p.gold for p in rows], [counted(p) for p in rows], [p.group for p in rows]
    )
    return scores


def band(test: Test, predictions: Sequence[Prediction]) -> Json:
    """The primary metric with everything unanswered counted as wrong, and as right; missing answers included."""
    rows = [p for p in predictions if relevant(p.gold, test.metric, test.positive)]
    weights = stats.class_weights([p.gold for p in rows]) if test.metric == "balanced_accuracy" else None
    if not rows:
        return {"low": 0.0, "high": 1.0}
    each = [1 / len(rows)] * len(rows) if weights is None else weights
    low = sum(w for w, p in zip(each, rows, strict=True) if hit(p, test.metric, test.positive))
    unknown = sum(w for w, p in zip(each, rows, strict=True) if p.outcome not in ANSWERED)
    return {"low": low, "high": min(1.0, low + unknown)}


def pair(
    test: Test, first: Sequence[Prediction], second: Sequence[Prediction], metric: str, margin: float | None = None
) -> Json:
    """Paired difference of a metric, first minus second; with a margin also the test of non-inferiority.

    Items that either never answered (`api_error`) are left out and counted as `excluded`.
    """
    laid = sides(first, second, metric, test.positive)
    head = {"metric": metric, "excluded": laid.excluded, "p_noninferiority": None}
    if not laid.first:
        none = asdict(stats.Difference(0.0, -1.0, 1.0, 0, 0, 1.0, 0, 0, 0, "no item that both answered"))
        return head | none | {"enough": False}
    found = stats.paired_difference(laid.first, laid.second, laid.groups, laid.weights, test.seed)
    against = stats.noninferiority(laid.first, laid.second, laid.groups, margin or 0.0, laid.weights)
    row = head | asdict(found) | {"enough": against.enough}
    return row if margin is None else row | {"p_noninferiority": against.p}


def pairs(test: Test, answers: Rows, metric: str) -> dict[str, Json]:
    """All pairs of models that are there, each named `better-than`."""
    return {f"{a}-{b}": pair(test, answers[a], answers[b], metric) for a, b in combinations(_order(answers), 2)}


def _order(answers: Rows) -> list[str]:
    middle = [who for who in answers if who != "tuned" and who not in LAST]
    return [who for who in ("tuned", *middle, *LAST) if who in answers]


def agreement(deployed: Sequence[Prediction], other: Sequence[Prediction]) -> Json:
    """Share of the items that get the same answer in both answering modes."""
    same = sum(a.answer == b.answer for a, b in zip(deployed, other, strict=True))
    return asdict(stats.wilson(same, len(deployed)))


def modes(test: Test, deployed: Rows, generated: Rows) -> dict[str, Json]:
    """The other answering mode of each model; for tuned, what training bought in format and in perception apart."""
    found: dict[str, Json] = {
        who: {"metrics": metrics(test, rows), "outcomes": outcomes(rows), "agreement": agreement(deployed[who], rows)}
        for who, rows in generated.items()
    }
    if {"tuned", "base"} <= set(found):
        perception, whole = (
            pair(test, side["tuned"], side["base"], test.metric)["difference"] for side in (deployed, generated)
        )
        found["tuned"] |= {"perception_gain": perception, "format_gain": whole - perception}
    return found


def rule(evaluate: EvaluateConfig, baseline: str | None) -> Json:
    """Everything that was settled before inference and decides the verdict; its digest tells one rule from another."""
    own = asdict(evaluate)
    names = ("decision", "guards", "positive", "threshold", "risk_target", "unit", "aggregate", "models")
    return {name: own[name] for name in names} | {"baseline": baseline}


def compare(
    test: Test,
    deployed: Rows,
    generated: Rows,
    evaluate: EvaluateConfig,
    looks: int = 1,
    *,
    baseline: str | None = None,
    candidate: str = "tuned",
    validation: Rows | None = None,
    fairness: Sequence[Json] = (),
    scope: Json | None = None,
    history: Sequence[Json] = (),
) -> Json:
    """The whole of `comparison.json`.

    Args:
        test: what was asked.
        deployed: model -> predictions in the answering mode that it would be deployed in, one an example, in order.
        generated: model -> predictions in the other mode.
        evaluate: the rule, whose digest is recorded.
        looks: how often this test has been looked at, this time included.
        baseline: the model to be replaced (`rivals.replaced`); None = there is none.
        candidate: the model that would replace it.
        validation: model -> its answers on validation, where thresholds of abstention are frozen.
        fairness: rows `{check, status: pass|fail|unknown, detail}` of the fair-baseline check.
        scope: what the verdict holds for (`decision.scope`); `expires` and `test_sha256` in it are moved up.
        history: former looks at this test.

    Raises:
        ConfigError: the primary metric needs `evaluate.positive`.
    """
    if test.metric in ("sensitivity", "specificity") and test.positive is None:
        raise ConfigError(f"evaluate.decision.metric={test.metric} needs evaluate.positive=LABEL: whose {test.metric}?")
    case = criteria.Case(
        test=decision_units.by_unit(test, evaluate),
        deployed=operated(test, deployed, evaluate, baseline),
        generated=operated(test, generated, evaluate, baseline),
        evaluate=evaluate,
        baseline=baseline,
        candidate=candidate,
        validation=operated(test, validation or {}, evaluate, baseline),
        fairness=tuple(fairness),
    )
    told = _numbers(test, deployed, case)
    verdict = told.pop("verdict")
    return told | {"fairness": list(fairness), "decision": _decision(case, verdict, looks, history, scope)}


def _numbers(test: Test, deployed: Rows, case: criteria.Case) -> Json:
    """Everything but the decision; the verdict comes along under a key of its own."""
    own, evaluate = case.test, case.evaluate
    found, verdict = pairs(own, case.deployed, own.metric), decision.decide(case)
    if case.replaced is not None:
        name = f"{case.candidate}-{case.baseline}"
        found[name] = pair(own, case.tuned, case.replaced, own.metric, evaluate.decision.margin)
    return {
        "schema": SCHEMA,
        "n": len(own.examples),
        "groups": len({example.group for example in own.examples}),
        "folds": len({fold for fold in test.folds if fold}),
        "labels": list(test.labels),
        "positive": test.positive,
        "task": test.task,
        "estimand": {
            "unit": evaluate.unit,
            "aggregate": evaluate.aggregate,
            "text": decision_units.describe(test, evaluate),
            "images": len(test.examples),
        },
        "models": {who: metrics(own, rows) for who, rows in case.deployed.items()},
        "bands": {who: band(own, rows) for who, rows in case.deployed.items()},
        "outcomes": {who: outcomes(rows) for who, rows in deployed.items()},
        "flow": {who: flow(rows) for who, rows in deployed.items()},
        "pairs": found,
        "modes": modes(own, case.deployed, case.generated),
        "guards": verdict.guards,
        "verdict": verdict,
    }


def _decision(
    case: criteria.Case, verdict: decision.Verdict, looks: int, history: Sequence[Json], scope: Json | None
) -> Json:
    settled = rule(case.evaluate, case.baseline)
    return {
        "rule": settled,
        "rule_sha256": canonical_digest(settled),
        "verdict": verdict.verdict,
        "qualifier": verdict.qualifier,
        "reason": verdict.reason,
        "criteria": [asdict(row) for row in verdict.criteria],
        "needed": verdict.needed,
        "looks": looks,
        "looks_history": list(history),
        "rules": len({row["rule_sha256"] for row in history} | {canonical_digest(settled)}),
        "scope": scope or {},
    }


def operated(test: Test, answers: Rows, evaluate: EvaluateConfig, baseline: str | None) -> dict[str, list[Prediction]]:
    """Rows as they decide: own models at `evaluate.threshold`, then one row a unit. The files keep what was said."""
    told = decision_units.acted(answers, test.positive, evaluate, baseline)
    return {who: decision_units.aggregate(rows, test, evaluate) for who, rows in told.items()}
