"""What stands beside the verdict: what was forgotten, refusals, published figures, and results without suspects."""

from collections import Counter
from collections.abc import Mapping

from finetune.report import wording
from finetune.report.results import Cell, cell
from finetune.report.run_facts import Facts
from finetune.rundir import Json

READINGS = {
    "lower": "lower than before: something was forgotten",
    "higher": "higher than before",
    "open": "no difference proven",
}


def general(facts: Facts) -> list[Json]:
    """General question sets before and after tuning: what the model forgot."""
    told = []
    for row in facts.panels.get("general") or ():
        cells = {who: cell("accuracy", row[who]) for who in ("base", "tuned")}
        left = ", ".join(f"{reason} {count:,}" for reason, count in (row.get("left_out") or {}).items())
        told.append(
            {"set": row["set"], "n": row["n"], "cells": cells, "difference": _difference(row), "left_out": left}
        )
        told[-1]["reading"] = READINGS.get(row.get("reading", ""), "")
    return told


def _difference(row: Json) -> str:
    found = row.get("difference")
    if not isinstance(found, Mapping):
        return ""
    return f"{wording.points(found['difference'])} ({wording.points(found['low'])} to {wording.points(found['high'])})"


KINDS = {
    "blank": "our question on an empty picture",
    "absent": "a question about what is in no picture",
}


def refusals(facts: Facts) -> list[Json]:
    """Questions without an answer (declining is right) and with one (declining is wrong), before and after tuning."""
    found = facts.panels.get("refusals") or {}
    told = []
    for kind, row in (found.get("unanswerable") or {}).items():
        for share, name in (("declined", "declined, rightly"), ("own_label", "answered with a label of this task")):
            cells = {who: cell("", row[who][share]) for who in ("base", "tuned")}
            difference = _difference(row) if share == "declined" else ""
            asked = f"Without an answer: {KINDS.get(kind, kind.replace('_', ' '))}"
            told.append({"kind": asked, "n": row["n"], "what": name, "cells": cells, "difference": difference})
    if row := found.get("answerable"):
        cells = {who: cell("", row[who]["unanswered"]) for who in ("base", "tuned")}
        told.append({"kind": "General questions with an answer", "n": row["n"], "what": "left unanswered, wrongly"})
        told[-1] |= {"cells": cells, "difference": _difference(row)}
    return told


def notes(facts: Facts) -> list[str]:
    """What the panels say about themselves: what was not measured, and why."""
    return [str(note) for note in facts.panels.get("notes") or ()]


def references(facts: Facts) -> list[Json]:
    """Published figures of other models: for orientation, in grey, never compared."""
    return [
        row | {"value": f"{row['value']:g} {row.get('unit', '')}".strip()}
        for row in facts.panels.get("references") or ()
    ]


def curve(facts: Facts) -> list[Json]:
    """The metric at growing shares of the training groups: would more pictures help?"""
    told = []
    for row in facts.panels.get("curve") or ():
        score = row.get("score", row.get("tuned", row.get("value")))
        share, groups = row.get("share"), row.get("groups")
        told.append(
            {
                "share": wording.percent(share).replace(".0", "")
                if isinstance(share, float | int)
                else str(share or ""),
                "groups": f"{groups:,}" if isinstance(groups, int) else "",
                "cell": cell(facts.config.evaluate.decision.metric, score),
            }
        )
    return told


LEAKS = {"near": "nearly equal pictures", "group": "groups under two names"}
"""Kind of a leak -> what it is called; one without a kind is of equal pixels."""


def leaks(facts: Facts) -> Json:
    """Items that may have been seen in training, and the primary metric of each model without them."""
    found = facts.comparison.get("without_suspects") or {}
    kinds = Counter(LEAKS.get(str(leak.get("kind")), "equal pictures") for leak in facts.summary.get("leaks") or ())
    told: Json = {"found": kinds.total(), "touched": found.get("touched", 0), "n": found.get("n"), "rows": []}
    told["kinds"] = ", ".join(f"{name} {count:,}" for name, count in sorted(kinds.items()))
    metric = facts.config.evaluate.decision.metric
    told["metric"] = wording.title(metric)
    for who in facts.order:
        if who in found.get("models", {}):
            before, after = (side["models"][who].get(metric) for side in (facts.comparison, found))
            told["rows"].append({"who": who, "all": cell(metric, before), "without": cell(metric, after)})
            for key, side in (("gap", facts.comparison), ("gap_without", found)):
                told["rows"][-1][key] = _points(side["pairs"].get(f"tuned-{who}"))
    return told


def _points(pair: Json | None) -> Cell:
    if pair is None:
        return Cell("")
    return Cell(wording.points(pair["difference"]), f"{wording.points(pair['low'])} to {wording.points(pair['high'])}")
