"""What lies behind the headline, for `metrics.json` and the subgroups of `comparison.json`: exploratory."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from finetune import stats
from finetune.config.schema import EvaluateConfig
from finetune.evaluation import decision_units
from finetune.evaluation import selective as abstention
from finetune.evaluation.pairing import ANSWERED, MISSING, Test, counted, outcomes
from finetune.example import Prediction
from finetune.rundir import Json

SMALL = 30
"""Items below which a subgroup is flagged: its interval spans tens of points."""
SUSPECTS = 50
"""Suspected label errors that are listed."""

Rows = Mapping[str, Sequence[Prediction]]


def detail(test: Test, predictions: Sequence[Prediction]) -> Json:
    """Counts of outcomes, confusion table, per class, per fold and time of one model."""
    found: Json = {"n": len(predictions), "outcomes": outcomes(predictions)}
    rows = [p for p in predictions if p.outcome != MISSING]
    if test.labels:
        found |= _classes(test, rows)
    found["folds"] = {name: _fold(test, predictions, name) for name in dict.fromkeys(test.folds) if name}
    return found | {"seconds_per_item": sum(p.seconds for p in predictions) / len(predictions)}


def _classes(test: Test, rows: Sequence[Prediction]) -> Json:
    table = stats.confusion([p.gold for p in rows], [counted(p) for p in rows], test.labels)
    classes = {}
    for i, label in enumerate(test.labels):
        answered = sum(row[i] for row in table)
        classes[label] = {
            "n": sum(table[i]),
            "recall": asdict(stats.wilson(table[i][i], sum(table[i]))),
            "precision": asdict(stats.wilson(table[i][i], answered)) if answered else None,
        }
    return {"confusion": {"labels": [*test.labels, None], "rows": table}, "classes": classes}


def _fold(test: Test, predictions: Sequence[Prediction], name: str) -> Json:
    own = [p for p, fold in zip(predictions, test.folds, strict=True) if fold == name and p.outcome != MISSING]
    found: Json = {"n": len(own), "groups": len({p.group for p in own}), "accuracy": asdict(_accuracy(own))}
    if test.labels and own:
        table = stats.confusion([p.gold for p in own], [counted(p) for p in own], test.labels)
        found["balanced_accuracy"] = float(stats.balanced_accuracy(np.asarray(table)))
    return found


def _accuracy(rows: Sequence[Prediction]) -> Any:
    return stats.clustered_wilson([p.outcome == "correct" for p in rows], [p.group for p in rows])


def subgroups(test: Test, answers: Rows, columns: Sequence[str]) -> list[Json]:
    """Accuracy, sensitivity and specificity of every model for each value of each declared column of `meta`."""
    found = []
    for column in columns:
        members: dict[str, list[int]] = defaultdict(list)
        for index, example in enumerate(test.examples):
            members[example.meta.get(column, "")].append(index)
        found += [_subgroup(test, answers, column, value, members[value]) for value in sorted(members)]
    return found


def _subgroup(test: Test, answers: Rows, column: str, value: str, indices: Sequence[int]) -> Json:
    row: Json = {"column": column, "value": value or None, "n": len(indices)}
    row["groups"] = len({test.examples[i].group for i in indices})
    for who, predictions in answers.items():
        own = [predictions[i] for i in indices if predictions[i].outcome != MISSING]
        gold, said, groups = [p.gold for p in own], [counted(p) for p in own], [p.group for p in own]
        scores = {"accuracy": _accuracy(own)}
        if test.positive is not None:
            scores["sensitivity"] = stats.sensitivity(gold, said, groups, test.positive)
            scores["specificity"] = stats.specificity(gold, said, groups, test.positive)
        row[who] = {name: asdict(score) for name, score in scores.items()}
    return row | {"small": len(indices) < SMALL}


def in_use(test: Test, rows: Sequence[Prediction], evaluate: EvaluateConfig) -> Json:
    """Predictive values, overkill, misses and cost at the declared prevalence and costs; nothing is invented.

    The test's rates of each class are re-weighted by `evaluate.prevalence`. An unanswered item goes to review: it is
    neither a miss nor a false alarm, and costs `review` where that is declared.
    """
    positive, shares = test.positive, evaluate.prevalence
    if positive is None or not shares:
        return {}
    kept = [p for p in rows if p.outcome != MISSING]
    weight = _weights(kept, shares)
    flagged = [counted(p) == positive for p in kept]
    silent = [counted(p) is None for p in kept]
    true = [p.gold == positive for p in kept]

    def share(*conditions: Sequence[bool]) -> float:
        return float(sum(w for w, *held in zip(weight, *conditions, strict=True) if all(held)))

    passed = [not f and not s for f, s in zip(flagged, silent, strict=True)]
    good = [not t for t in true]
    found, missed, alarms, cleared = (
        share(true, flagged),
        share(true, passed),
        share(good, flagged),
        share(good, passed),
    )
    review = share(silent)
    told: Json = {
        "shares": dict(shares),
        "ppv": found / (found + alarms) if found + alarms else None,
        "npv": cleared / (cleared + missed) if cleared + missed else None,
        "overkill": alarms,
        "miss": missed,
        "review": review,
    }
    return {"prevalence": told} | _cost(evaluate.costs, missed, alarms, review)


def _weights(rows: Sequence[Prediction], shares: Mapping[str, float]) -> list[float]:
    """Weight of each item so that each class has its share in real use; classes without a share weigh nothing."""
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        counts[row.gold] += 1
    total = sum(shares.get(label, 0.0) for label in counts) or 1.0
    return [shares.get(row.gold, 0.0) / total / counts[row.gold] for row in rows]


def _cost(costs: Mapping[str, float], missed: float, alarms: float, review: float) -> Json:
    """Expected cost of a thousand items, by what causes it; kinds without a declared price are left out."""
    events = {"miss": missed, "false_alarm": alarms, "review": review, "item": 1.0}
    parts = {kind: 1000 * events[kind] * price for kind, price in costs.items() if kind in events}
    return {"cost": {"per_thousand": sum(parts.values()), "parts": parts}} if parts else {}


def calibration(test: Test, rows: Sequence[Prediction], validation: Sequence[Prediction]) -> Json:
    """Whether probabilities mean what they say, after one temperature was fitted on validation.

    Without answers on validation the probabilities are shown as they are, with `temperature` null.
    """
    own = [p for p in rows if p.probabilities and p.outcome in ANSWERED and p.gold in p.probabilities]
    if not own or len(test.labels) < 2:
        return {}
    labels = test.labels
    fitted = [p for p in validation if p.probabilities and p.gold in p.probabilities]
    temperature = (
        stats.fit_temperature(logs(fitted, labels), [labels.index(p.gold) for p in fitted]) if fitted else None
    )
    scaled = stats.apply_temperature(logs(own, labels), temperature if temperature is not None else 1.0)
    gold = [labels.index(p.gold) for p in own]
    top = scaled.max(axis=1)
    hits = [int(row.argmax()) == truth for row, truth in zip(scaled, gold, strict=True)]
    line, error = stats.slope_intercept(top, hits), stats.ece(top, hits, seed=test.seed)
    slope, intercept = line if line is not None else (None, None)
    return {
        "calibration": {
            "n": len(own),
            "temperature": temperature,
            "brier": stats.brier(scaled, gold),
            "log_loss": stats.log_loss(scaled, gold),
            "slope": slope,
            "intercept": intercept,
            "ece": error.plain,
            "ece_debiased": error.debiased,
            "ece_null": [error.null.low, error.null.high],
            "bins": [
                {"n": bar.n, "confidence": bar.confidence, "accuracy": asdict(bar.right)}
                for bar in stats.reliability(top, hits)
            ],
        }
    }


def logs(rows: Sequence[Prediction], labels: Sequence[str]) -> Any:
    """Log-probabilities `[items, labels]`; a probability of 0 becomes the smallest that a float can tell from it."""
    table = np.array([[(row.probabilities or {}).get(label, 0.0) for label in labels] for row in rows])
    return np.log(np.clip(table.reshape(-1, len(labels)), 1e-12, 1.0))


def selective(rows: Sequence[Prediction], validation: Sequence[Prediction], target: float | None) -> Json:
    """Risk-coverage curve and, with a target, the threshold that validation gives and what it does on the test."""
    points = abstention.curve(rows)
    if not points:
        return {}
    found: Json = {"curve": points}
    return {"selective": found | (abstention.judge(rows, validation, target) if target is not None else {})}


def regressions(answers: Rows, candidate: str, baseline: str | None) -> list[Json]:
    """Items that the candidate has wrong and its base, or the model to be replaced, has right."""
    if candidate not in answers:
        return []
    found = []
    for other, kind in (("base", f"{candidate}_wrong_base_right"), (baseline, f"{candidate}_wrong_baseline_right")):
        for own, theirs in zip(answers[candidate], answers.get(str(other), ()), strict=False):
            if own.outcome not in ("correct", MISSING) and theirs.outcome == "correct":
                found.append({"id": own.id, "kind": kind})
    return found


def suspects(rows: Sequence[Prediction]) -> list[Json]:
    """Items whose gold label the model finds least likely, the least likely first: look at these labels again."""
    doubted = [
        {"id": p.id, "gold": p.gold, "answer": p.answer, "probability": p.probabilities[p.gold]}
        for p in rows
        if p.probabilities and p.outcome == "wrong" and p.gold in p.probabilities
    ]
    return sorted(doubted, key=lambda row: (row["probability"], row["id"]))[:SUSPECTS]


def usage(rows: Sequence[Prediction]) -> Json:
    """Tokens and cost that a service charged, summed over the rows that say so."""
    told: dict[str, float] = defaultdict(float)
    for row in rows:
        for name, value in (vars(row).get("usage") or {}).items():
            told[name] += value
    return {"usage": dict(told)} if told else {}


def everything(
    test: Test,
    deployed: Rows,
    generated: Rows,
    evaluate: EvaluateConfig,
    *,
    baseline: str | None = None,
    candidate: str = "tuned",
    validation: Rows | None = None,
) -> Json:
    """The whole of `metrics.json`, image by image at the declared threshold; arguments as those of `compare`.

    Regressions and suspected labels are of what the models said, as the gallery shows it.
    """
    models: dict[str, Json] = {}
    known = decision_units.acted(validation or {}, test.positive, evaluate, baseline)
    for who, rows in decision_units.acted(deployed, test.positive, evaluate, baseline).items():
        models[who] = detail(test, rows) | in_use(test, rows, evaluate) | usage(rows)
        if who != "majority":
            models[who] |= calibration(test, rows, known.get(who, ()))
            models[who] |= selective(rows, known.get(who, ()), evaluate.risk_target)
        if who in generated:
            models[who]["generated"] = detail(test, generated[who])
    return {
        "schema": 2,
        "models": models,
        "regressions": regressions(deployed, candidate, baseline),
        "suspects": suspects(deployed.get(candidate, ())),
    }
