"""Tables of numbers: criteria, guards, headline, pairs, classes, subgroups."""

from collections.abc import Mapping
from dataclasses import dataclass

from finetune.report import charts, wording
from finetune.report.run_facts import Facts
from finetune.rundir import Json

STATUS = {
    "pass": "pass",
    "fail": "fail",
    "inconclusive": "inconclusive",
    "not_asked": "not asked",
    "unknown": "unknown",
}
"""Status of a criterion -> the word that is printed beside its mark."""
CRITERIA = {
    "noninferior": "Not worse than the one to be replaced",
    "floor": "Good enough in itself",
    "beats_majority": "Better than the commonest answer",
    "beats_linear": "Better than a linear classifier",
    "both_modes": "Holds when it writes freely",
    "failures_as_right": "Holds with the rival's failures counted as right",
    "assay_sensitivity": "The rival can do the task",
    "coverage": "Enough items answered",
    "fair_baseline": "The rival had a fair chance",
    "selective_risk": "Safe where it is sure",
    "margin": "The acceptable loss was fixed beforehand",
    "baseline_compared": "The one to be replaced was evaluated",
    "certainly_worse": "The rule is broken for certain",
}
VERDICTS = {"replace": "replace", "replace_with_review": "replace with review", "keep": "keep"}
"""Verdict -> what it is called in the column of what needs a criterion."""
DIFFERENCES = ("noninferior", "beats_", "both_modes", "failures_as_right", "assay_sensitivity")
"""Beginnings of the names of criteria whose values are differences in points."""
CONFUSED = 3
"""Models whose confusion tables are drawn."""
MOST_CLASSES = 12
"""With more classes than this the commonest mistakes are listed instead of a table of all."""


@dataclass(frozen=True)
class Criterion:
    """One line of the table of criteria; texts are empty where there is nothing to say."""

    name: str
    title: str
    question: str
    status: str
    value: str
    bound: str
    detail: str
    needed_for: tuple[str, ...] = ()

    @property
    def needs(self) -> str:
        """The verdicts that need it, in words."""
        return ", ".join(VERDICTS[name] for name in self.needed_for)

    @property
    def open(self) -> bool:
        """Whether it stands in the way of a replacement."""
        return self.status != "pass" and "replace" in self.needed_for


@dataclass(frozen=True)
class Cell:
    """A value with its interval, as text."""

    value: str
    interval: str = ""


@dataclass(frozen=True)
class Row:
    """One model in a table: its cells by column."""

    who: str
    cells: tuple[Cell, ...]
    band: str = ""


def criteria(facts: Facts) -> list[Criterion]:
    """Every criterion with what was found, what was required and for which verdict.

    What only `keep` needs is left out where it does not hold: to fail it is good news.
    """
    rows = [_criterion(row) for row in facts.comparison["decision"].get("criteria") or ()]
    return [row for row in rows if row.needed_for != ("keep",) or row.status == "pass"]


def _criterion(row: Json) -> Criterion:
    name = row["name"]
    difference = name.startswith(DIFFERENCES)

    def said(value: float | None) -> str:
        if value is None:
            return ""
        return f"{wording.points(value)} points" if difference else wording.percent(value)

    value = said(row.get("value"))
    low, high = row.get("low"), row.get("high")
    if low is not None and high is not None:
        value += f" ({wording.points(low)} to {wording.points(high)})" if difference else f" ({wording.interval(row)})"
    elif high is not None:
        value += f" (at most {said(high)})"
    title = CRITERIA.get(
        name, wording.capital(name.replace("_", " ").replace(".", " of ", 1).replace("guard ", "guard: "))
    )
    question, detail = str(row.get("question") or ""), str(row.get("detail") or "")
    bound = "above 0" if difference and row.get("bound") == 0 else said(row.get("bound"))
    needed_for = tuple(row.get("needed_for") or ())
    return Criterion(name, title, question, row["status"], value, bound, detail, needed_for)


def guards(facts: Facts) -> list[Json]:
    """Guards as the file has them, plus what is missing: positives, in words."""
    told = []
    for row in facts.comparison.get("guards") or ():
        need = row.get("needed")
        told.append(row | {"title": row["name"].replace(".", " of ", 1), "need": f"{need:,} needed" if need else ""})
    return told


def shown_metrics(facts: Facts) -> list[str]:
    """Metrics of the interval plot: the primary one first, then what a decision is made of; at most three."""
    has = [name for name in wording.columns(facts.comparison) if name not in wording.RAW]
    primary = facts.config.evaluate.decision.metric
    wanted = [primary, "sensitivity", "specificity", "accuracy", "balanced_accuracy", *has]
    return [name for name in dict.fromkeys(wanted) if name in has and name != "coverage"][:3]


def cell(name: str, score: object) -> Cell:
    """A metric's value and interval as text; some metrics come as a bare number, some models lack some."""
    if isinstance(score, Mapping):
        return Cell(wording.number(name, score["value"]), wording.span(name, score))
    return Cell(wording.number(name, score) if isinstance(score, int | float) else "\u2013")


def headline(facts: Facts) -> list[Row]:
    """One row a model: every metric, and the band between all failures wrong and all failures right."""
    columns, bands = wording.columns(facts.comparison), facts.comparison.get("bands") or {}
    rows = []
    for who in facts.order:
        scores, band = facts.comparison["models"][who], bands.get(who)
        text = wording.interval(band) if band and band["low"] != band["high"] else ""
        rows.append(Row(who, tuple(cell(name, scores.get(name)) for name in columns), text))
    return rows


def modes(facts: Facts) -> list[Json]:
    """Each model in its other answering mode: metric, agreement, and what better form alone would explain."""
    primary = facts.config.evaluate.decision.metric
    told = []
    for who in facts.order:
        mode = (facts.comparison.get("modes") or {}).get(who)
        if mode is None:
            continue
        name = primary if primary in mode["metrics"] else next(iter(mode["metrics"]))
        gains = {key: _gain(mode.get(key)) for key in ("format_gain", "perception_gain")}
        written, own = cell(name, mode["metrics"][name]), facts.comparison["models"][who].get(name)
        told.append({"who": who, "metric": name, "written": written, "deployed": cell(name, own)} | gains)
        told[-1]["same"] = wording.percent(mode["agreement"]["value"])
    return told


def _gain(value: object) -> str:
    score = value.get("value", value.get("difference")) if isinstance(value, Mapping) else value
    return wording.points(score) if isinstance(score, int | float) else ""


def confusions(facts: Facts) -> list[Json]:
    """Confusion tables of the candidate, the rival and the base, shaded by the share of the row."""
    told = []
    for who in [who for who in facts.order if who != "majority"]:
        table = facts.detail(who).get("confusion")
        if not table or not table["labels"]:
            continue
        heat = charts.heat(table["rows"])
        silent = sum(row[-1] for row in table["rows"])
        told.append({"who": who, "rows": table["rows"], "heat": heat, "silent": silent, "pairs": _commonest(table)})
    return told[:CONFUSED]


def _commonest(table: Json) -> list[tuple[str, str, int]]:
    """The commonest mistakes, where there are too many classes for a table of all."""
    names = [str(label) if label is not None else "no answer" for label in table["labels"]]
    if len(names) - 1 <= MOST_CLASSES:
        return []
    counts = [
        (names[truth], names[answer], count)
        for truth, row in enumerate(table["rows"])
        for answer, count in enumerate(row)
        if count and truth != answer
    ]
    return sorted(counts, key=lambda entry: -entry[2])[:MOST_CLASSES]


def classes(facts: Facts) -> list[Json]:
    """Per class: items, share found by each model, share right of the tuned model's answers."""
    per = {who: facts.detail(who).get("classes") or {} for who in facts.order}
    per = {who: rows for who, rows in per.items() if rows}
    told = []
    for label in facts.comparison["labels"]:
        rows = {who: found[label] for who, found in per.items() if label in found}
        if rows:
            n = next(iter(rows.values()))["n"]
            found = {who: cell("", row["recall"]) for who, row in rows.items()}
            precision = {who: cell("", row["precision"]) for who, row in rows.items() if row.get("precision")}
            told.append({"label": label, "n": n, "recall": found, "precision": precision})
    return told


def subgroups(facts: Facts) -> list[Json]:
    """The bias audit: the primary metric of each model by value of each declared column."""
    name = subgroup_metric(facts)
    return [
        row | {"cells": {who: cell(name, (row.get(who) or {}).get(name)) for who in facts.order}}
        for row in facts.comparison.get("subgroups") or ()
    ]


def subgroup_metric(facts: Facts) -> str:
    """The primary metric where it is a share of items, else accuracy, which every subgroup has."""
    primary = facts.config.evaluate.decision.metric
    return primary if primary in ("sensitivity", "specificity") else "accuracy"
