"""Guards, criteria and verdict once more, from the specification."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import special

from oracle import formulas
from oracle.details import judged_abstention
from oracle.rows import FAILED, Row, Setting, counts, decisive, difference, right

Tree = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]


def expected(raw: Rows, raw_generated: Rows, raw_validation: Rows, setting: Setting, fairness: Sequence[Tree]) -> Tree:
    """`guards`, `criteria` by name, and the parts of `decision` that follow from them."""
    units = {who: decisive(who, rows, setting) for who, rows in raw.items()}
    other = {who: decisive(who, rows, setting) for who, rows in raw_generated.items()}
    held = {
        rows_of: guarded(rows, setting)
        for rows_of, rows in (("tuned", units.get("tuned")), ("other", other.get("tuned")))
    }
    judged: Tree = {f"guard {row['name']}": _line(row) for row in held["tuned"]}
    if "tuned" in units:
        judged["floor"] = _floor(units["tuned"], setting)
        for rival in ("majority", "linear"):
            judged[f"beats_{rival}"] = _beats(units["tuned"], units.get(rival), setting, rival == "majority")
    if "tuned" not in units or setting.baseline in (None, "tuned") or setting.baseline not in units:
        judged["baseline_compared"] = {"status": "inconclusive"}
        return _told(held["tuned"], judged, "not_enough_evidence", None, None)
    tuned, service = units["tuned"], units[str(setting.baseline)]
    margin = setting.evaluate.decision.margin
    claim = against(difference(tuned, service, setting, setting.metric, margin or 0.0), margin)
    judged["noninferior"] = claim
    judged["failures_as_right"] = against(
        difference(tuned, service, setting, setting.metric, margin or 0.0, lenient=True), margin
    )
    judged["both_modes"] = _both(other.get("tuned"), service, setting, held["other"])
    judged["assay_sensitivity"] = _assay(service, setting)
    shares = [sum(row["outcome"] not in FAILED for row in rows) / len(rows) for rows in (tuned, service)]
    floor = setting.evaluate.decision.min_coverage
    judged["coverage"] = {"status": "pass" if min(shares) >= floor else "fail", "value": min(shares), "bound": floor}
    states = {str(row["status"]) for row in fairness}
    fair = "fail" if "fail" in states else "pass" if states == {"pass"} else "inconclusive"
    judged["fair_baseline"] = {"status": fair}
    judged["margin"] = {"status": "not_asked" if margin is None else "pass"}
    validation = decisive("tuned", raw_validation.get("tuned", ()), setting)
    judged["selective_risk"] = _review(tuned, validation, setting)
    judged["certainly_worse"] = {"status": _worse(judged)}
    verdict = settled(judged)
    needed = None if verdict in ("replace", "keep") else _needed(tuned, service, claim, held["tuned"], setting)
    return _told(held["tuned"], judged, verdict, _qualifier(claim) if verdict == "replace" else None, needed)


def _told(held: Sequence[Tree], judged: Tree, verdict: str, qualifier: str | None, needed: Tree | None) -> Tree:
    empty = dict.fromkeys(("value", "low", "high", "bound"))
    return {
        "guards": [row | {"who": "tuned"} for row in held],
        "decision": {
            "verdict": verdict,
            "qualifier": qualifier,
            "needed": needed,
            "criteria": {
                name: empty | row | {"name": name, "needed_for": needing(name, row["status"])}
                for name, row in judged.items()
            },
        },
    }


def needing(name: str, status: str) -> list[str]:
    """The verdicts for which a criterion must pass."""
    if status == "not_asked" and name in ("floor", "beats_linear", "both_modes"):
        return []
    if name in ("margin", "coverage", "assay_sensitivity", "baseline_compared"):
        return ["replace", "replace_with_review", "keep"]
    if name == "fair_baseline" or name.startswith("guard "):
        return ["replace", "replace_with_review"]
    return {"selective_risk": ["replace_with_review"], "certainly_worse": ["keep"]}.get(name, ["replace"])


def _worse(judged: Mapping[str, Tree]) -> str:
    states = [row["status"] for name, row in judged.items() if name.startswith("guard ") or name == "noninferior"]
    return "pass" if "fail" in states else "fail" if set(states) == {"pass"} else "inconclusive"


def _needed(
    tuned: Sequence[Row], service: Sequence[Row], claim: Tree, held: Sequence[Tree], setting: Setting
) -> Tree | None:
    """Items, and groups, of which a test with the disagreement seen here would settle what is open."""
    margin, items = setting.evaluate.decision.margin, 0
    groups = len({row["group"] for row in tuned})
    size = len(tuned) / groups
    if margin and claim["status"] == "inconclusive" and claim.get("low") is not None:
        found = difference(tuned, service, setting, setting.metric, margin)
        b, c, n = found["b"], found["c"], found["n"]
        low, high = formulas.tango(b, c, n)
        wider = max(1.0, ((claim["high"] - claim["low"]) / (high - low)) ** 2)
        power = (formulas.Z + float(special.ndtri(0.8))) ** 2
        alone = math.ceil(power * (max(b + c, 1) / n) / margin**2)
        items = math.ceil(alone * wider * len(tuned) / n)
        if size > 1:
            disagreeing = max(1, found["discordant_groups"])
            items = max(items, math.ceil(formulas.ENOUGH * groups / disagreeing * size))
    lacking = [row for row in held if row["status"] == "inconclusive" and row["needed"]]
    items = max([items, *(math.ceil(row["needed"] * len(tuned) / max(1, row["n"])) for row in lacking)])
    if not items:
        return None
    return {"items": items} | ({"groups": math.ceil(items / size)} if size > 1 else {})


def settled(judged: Mapping[str, Tree]) -> str:
    """The verdict that the statuses allow."""
    state = {name: row["status"] for name, row in judged.items()}
    if {state["margin"], state["coverage"], state["assay_sensitivity"]} != {"pass"}:
        return "not_enough_evidence"
    guards = {value for name, value in state.items() if name.startswith("guard ")} - {"pass"}
    if state["fair_baseline"] == "pass" and not guards:
        must = {state[name] for name in ("noninferior", "beats_majority", "failures_as_right")}
        if_asked = {state[name] for name in ("floor", "beats_linear", "both_modes")} - {"not_asked"}
        if must | if_asked == {"pass"}:
            return "replace"
        if state["selective_risk"] == "pass":
            return "replace_with_review"
    return "keep" if state["certainly_worse"] == "pass" else "not_enough_evidence"


def _qualifier(claim: Tree) -> str | None:
    return "measurably_worse" if claim["high"] < 0 else "superior" if claim["low"] > 0 else None


def against(found: Tree, margin: float | None) -> Tree:
    """Non-inferiority as a criterion."""
    if margin is None:
        return {"status": "not_asked"}
    if not found["n"]:
        return {"status": "inconclusive", "bound": -margin}
    status = "inconclusive"
    if found["enough"]:
        above, below = found["claim_low"] > -margin, found["claim_high"] < -margin
        status = "pass" if above else "fail" if below else "inconclusive"
    return {
        "status": status,
        "value": found["difference"],
        "low": found["claim_low"],
        "high": found["claim_high"],
        "bound": -margin,
    }


def _beats(tuned: Sequence[Row], rival: Sequence[Row] | None, setting: Setting, required: bool) -> Tree:
    if rival is None:
        return {"status": "inconclusive" if required else "not_asked", "bound": 0.0}
    metric = setting.metric if setting.metric in ("accuracy", "balanced_accuracy") else "balanced_accuracy"
    return against(difference(tuned, rival, setting, metric), 0.0)


def _assay(service: Sequence[Row], setting: Setting) -> Tree:
    golds = sorted(row["gold"] for row in service)
    guess = max(dict.fromkeys(golds), key=golds.count)
    constant = [row | {"answer": guess, "outcome": "correct" if row["gold"] == guess else "wrong"} for row in service]
    metric = "balanced_accuracy" if setting.labels else "accuracy"
    return against(difference(service, constant, setting, metric), 0.0)


def _both(other: Sequence[Row] | None, service: Sequence[Row], setting: Setting, held: Sequence[Tree]) -> Tree:
    if other is None and not setting.labels:
        return {"status": "not_asked"}
    if other is None:
        return {"status": "inconclusive"}
    margin = setting.evaluate.decision.margin
    found = against(difference(other, service, setting, setting.metric, margin or 0.0), margin)
    states = {found["status"], _floor(other, setting)["status"], *(row["status"] for row in held)}
    worst = [state for state in ("fail", "inconclusive") if state in states]
    return found | {"status": worst[0] if worst else found["status"]}


def _line(row: Tree) -> Tree:
    return {
        "status": row["status"],
        "value": row["value"],
        "low": row["lower"],
        "high": row["upper"],
        "bound": row["floor"],
    }


def guarded(rows: Sequence[Row] | None, setting: Setting) -> list[Tree]:
    """All guards on the rows of one model."""
    if rows is None:
        return []
    return [_guard(rows, name, floor, setting) for name, floor in _declared(setting.evaluate.guards, "")]


def _declared(tree: Mapping[str, Any], where: str) -> list[tuple[str, float]]:
    found = []
    for name, value in tree.items():
        if isinstance(value, Mapping):
            here = where + name
            found += [(here, float(value["min_lower"]))] if "min_lower" in value else _declared(value, here + ".")
    return found


def _guard(rows: Sequence[Row], name: str, floor: float, setting: Setting) -> Tree:
    metric, _, label = name.partition(".")
    positive = label or setting.evaluate.positive
    if metric == "coverage":
        own, hits = list(rows), [row["outcome"] not in FAILED for row in rows]
    elif metric == "precision":
        own = [row for row in rows if row["outcome"] not in FAILED and row["answer"] == positive]
        hits = [row["outcome"] == "correct" for row in own]
    else:
        own = [row for row in rows if row["outcome"] != "api_error" and counts(row, metric, positive)]
        hits = [right(row, metric, positive) for row in own]
    groups = [row["group"] for row in own]
    head = {"name": name, "floor": floor, "n": len(own), "groups": len(set(groups))}
    if not own:
        return head | {"value": None, "lower": 0.0, "upper": 1.0, "status": "inconclusive", "needed": None}
    value, low, high, effective = formulas.guard(hits, groups)
    status = "pass" if low >= floor else "fail" if high < floor else "inconclusive"
    enough = None if status == "pass" or value <= floor else _enough(value, floor)
    needed = None if enough is None else math.ceil(enough * len(own) / effective)
    told = {"value": value, "lower": low, "upper": high, "n_effective": effective}
    return head | told | {"status": status, "needed": needed}


def _enough(value: float, floor: float, most: int = 10_000_000) -> int | None:
    """Items with this share of hits whose lower bound reaches the floor, by halving."""

    def low(n: int) -> float:
        return float(special.betaincinv(value * n, n - value * n + 1, 0.025))

    if low(most) < floor:
        return None
    few = 0
    while most - few > 1:
        middle = (few + most) // 2
        few, most = (few, middle) if low(middle) >= floor else (middle, most)
    return most


def _floor(rows: Sequence[Row], setting: Setting) -> Tree:
    wanted = setting.evaluate.decision.floor
    if wanted is None:
        return {"status": "not_asked"}
    metric, positive = setting.metric, setting.evaluate.positive
    own = [row for row in rows if row["outcome"] != "api_error" and counts(row, metric, positive)]
    classes = sorted({row["gold"] for row in own}) if metric == "balanced_accuracy" else [None]
    parts = []
    for label in classes:
        kept = [row for row in own if label is None or row["gold"] == label]
        hits = [right(row, metric, positive) for row in kept]
        parts.append(formulas.guard(hits, [row["group"] for row in kept], 0.025 / len(classes))[:3])
    value, low, high = (sum(column) / len(parts) for column in zip(*parts, strict=True)) if parts else (0.0, 0.0, 1.0)
    status = "pass" if low >= wanted else "fail" if high < wanted else "inconclusive"
    return {"status": status, "value": value, "low": low, "high": high, "bound": wanted}


def _review(rows: Sequence[Row], validation: Sequence[Row], setting: Setting) -> Tree:
    target = setting.evaluate.risk_target
    if target is None:
        return {"status": "not_asked"}
    found = judged_abstention(rows, validation, target)
    return {"status": found["status"], "value": found["risk"], "high": found["upper"], "bound": target}
