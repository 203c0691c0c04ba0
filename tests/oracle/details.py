"""The numbers of `metrics.json` from rows."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import special

from oracle import calibration, formulas
from oracle.headline import outcomes, share, tabulated
from oracle.rows import FAILED, Row, Setting, acted

Tree = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]


def expected(deployed: Rows, generated: Rows, validation: Rows, setting: Setting) -> Tree:
    """Everything of every model, regressions and suspects."""
    models: Tree = {}
    known = {who: acted(who, rows, setting) for who, rows in validation.items()}
    for who, said in deployed.items():
        rows = acted(who, said, setting)
        models[who] = counted(rows, setting) | in_use(rows, setting) | usage(rows)
        if who != "majority":
            models[who] |= calibration.expected(rows, known.get(who, ()), setting.labels, setting.seed)
            models[who] |= selective(rows, known.get(who, ()), setting.evaluate.risk_target)
        if who in generated:
            models[who]["generated"] = counted(generated[who], setting)
    return {"models": models, "regressions": regressions(deployed, setting), "suspects": suspects(deployed)}


def counted(rows: Sequence[Row], setting: Setting) -> Tree:
    """Counts, confusion, classes, folds, seconds."""
    known = [row for row in rows if row["outcome"] != "api_error"]
    seconds = sum(row["seconds"] for row in rows) / len(rows)
    found: Tree = {"n": len(rows), "outcomes": outcomes(rows), "seconds_per_item": seconds}
    if setting.labels:
        table = _table(known, setting)
        found["confusion"] = {"labels": [*setting.labels, None], "rows": table.astype(int).tolist()}
        found["classes"] = _classes(table, setting.labels)
    found["folds"] = {}
    for name in sorted({fold for fold in setting.folds if fold}):
        own = [row for row, fold in zip(rows, setting.folds, strict=True) if fold == name]
        own = [row for row in own if row["outcome"] != "api_error"]
        fold: dict[str, Any] = {"n": len(own), "groups": len({row["group"] for row in own})}
        fold |= {"accuracy": share([row["outcome"] == "correct" for row in own], own)}
        if setting.labels and own:
            fold["balanced_accuracy"] = float(formulas.recalls(_table(own, setting)[None])[0])
        found["folds"][name] = fold
    return found


def _table(rows: Sequence[Row], setting: Setting) -> Any:
    return tabulated(rows, setting.labels).sum(axis=0)


def _classes(table: Any, labels: Sequence[str]) -> Tree:
    found = {}
    for i, label in enumerate(labels):
        whole, said = float(table[i].sum()), float(table[:, i].sum())
        found[label] = {
            "n": int(whole),
            "recall": formulas.share(table[i, i], whole),
            "precision": formulas.share(table[i, i], said) if said else None,
        }
    return found


def in_use(rows: Sequence[Row], setting: Setting) -> Tree:
    """Predictive values, overkill and cost at the declared prevalence."""
    positive, shares = setting.evaluate.positive, setting.evaluate.prevalence
    if positive is None or not shares:
        return {}
    known = [row for row in rows if row["outcome"] != "api_error"]
    sizes = {label: sum(row["gold"] == label for row in known) for label in {row["gold"] for row in known}}
    total = sum(shares.get(label, 0.0) for label in sizes) or 1.0
    cells: dict[tuple[bool, str], float] = defaultdict(float)
    for row in known:
        kind = "review" if row["outcome"] in FAILED else "flagged" if row["answer"] == positive else "passed"
        cells[row["gold"] == positive, kind] += shares.get(row["gold"], 0.0) / total / sizes[row["gold"]]
    flagged, passed = cells[True, "flagged"] + cells[False, "flagged"], cells[False, "passed"] + cells[True, "passed"]
    told: Tree = {
        "shares": dict(shares),
        "ppv": cells[True, "flagged"] / flagged if flagged else None,
        "npv": cells[False, "passed"] / passed if passed else None,
        "overkill": cells[False, "flagged"],
        "miss": cells[True, "passed"],
        "review": cells[True, "review"] + cells[False, "review"],
    }
    events = {"miss": told["miss"], "false_alarm": told["overkill"], "review": told["review"], "item": 1.0}
    parts = {kind: 1000 * events[kind] * price for kind, price in setting.evaluate.costs.items() if kind in events}
    found: Tree = {"prevalence": told}
    return found | ({"cost": {"per_thousand": sum(parts.values()), "parts": parts}} if parts else {})


def usage(rows: Sequence[Row]) -> Tree:
    """Tokens and cost."""
    told: dict[str, float] = defaultdict(float)
    for row in rows:
        for name, value in (row.get("usage") or {}).items():
            told[name] += value
    return {"usage": dict(told)} if told else {}


def confidence(row: Row) -> float:
    """Probability of the likeliest answer, or -1."""
    told = row["probabilities"] and row["outcome"] not in FAILED
    return row["probabilities"].get(row["answer"], 0.0) if told else -1.0


def selective(rows: Sequence[Row], validation: Sequence[Row], target: float | None) -> Tree:
    """Risk-coverage curve and what a frozen threshold does."""
    if not any(row["probabilities"] for row in rows):
        return {}
    ranked = sorted(((confidence(row), row["outcome"] != "correct") for row in rows), key=lambda pair: -pair[0])
    points, wrong = [], 0
    for i, (sure, bad) in enumerate(ranked):
        wrong += bad
        if i + 1 == len(ranked) or ranked[i + 1][0] < sure:
            points.append([(i + 1) / len(ranked), wrong / (i + 1)])
    step = max(1, math.ceil(len(points) / 200))
    kept = points[::step] + ([] if (len(points) - 1) % step == 0 else points[-1:])
    return {"selective": {"curve": kept} | (judged_abstention(rows, validation, target) if target is not None else {})}


def judged_abstention(rows: Sequence[Row], validation: Sequence[Row], target: float) -> Tree:
    """Threshold from validation, then risk and coverage with their bounds on the test."""
    none: Tree = {"threshold": None, "coverage": 0.0, "coverage_low": 0.0, "risk": None, "upper": 1.0, "target": target}
    none |= {"status": "inconclusive"}
    if not any(row["probabilities"] for row in validation) or not any(row["probabilities"] for row in rows):
        return none
    sure = [confidence(row) for row in validation]
    bad = [row["outcome"] != "correct" for row in validation]
    held = [value for value in sorted(set(sure)) if _median_risk(sure, bad, value) <= target]
    if not held:
        return none
    answers = [confidence(row) >= held[0] and row["outcome"] not in FAILED for row in rows]
    kept = [row for row, answered in zip(rows, answers, strict=True) if answered]
    if not kept:
        return none | {"threshold": held[0]}
    groups = [row["group"] for row in kept]
    right, low, _, _ = formulas.guard([row["outcome"] == "correct" for row in kept], groups)
    coverage, least, _, _ = formulas.guard(answers, [row["group"] for row in rows])
    risk, upper = 1 - right, 1 - low
    status = "pass" if upper <= target else "fail" if risk > target else "inconclusive"
    found = {"threshold": held[0], "coverage": coverage, "coverage_low": least, "risk": risk, "upper": upper}
    return found | {"target": target, "status": status}


def _median_risk(sure: Sequence[float], bad: Sequence[bool], threshold: float) -> float:
    """Median-unbiased share of errors among the validation answers at or above a threshold."""
    own = [wrong for value, wrong in zip(sure, bad, strict=True) if value >= threshold]
    errors = sum(own)
    return 1.0 if errors == len(own) else float(special.betaincinv(errors + 1, len(own) - errors, 0.5))


def regressions(deployed: Rows, setting: Setting) -> list[Tree]:
    """Items that tuned has wrong and another right."""
    found = []
    for other, kind in (("base", "tuned_wrong_base_right"), (setting.baseline, "tuned_wrong_baseline_right")):
        both = zip(
            deployed.get("tuned", ()), deployed.get(str(other), ()), strict="tuned" in deployed and other in deployed
        )
        for own, theirs in both:
            if own["outcome"] not in ("correct", "api_error") and theirs["outcome"] == "correct":
                found.append({"id": own["id"], "kind": kind})
    return found


def suspects(deployed: Rows) -> list[Tree]:
    """Golds that tuned finds least likely."""

    def likely(row: Row) -> float:
        return float(row["probabilities"][row["gold"]])

    own = [row for row in deployed.get("tuned", ()) if row["outcome"] == "wrong" and row["probabilities"]]
    ranked = sorted((row for row in own if row["gold"] in row["probabilities"]), key=lambda r: (likely(r), r["id"]))[
        :50
    ]
    return [{name: row[name] for name in ("id", "gold", "answer")} | {"probability": likely(row)} for row in ranked]
