"""The numbers of `comparison.json` from rows: metrics, bands, flow, pairs, modes, subgroups."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from finetune.config.schema import TaskConfig
from finetune.recompute import formulas, tasks
from finetune.recompute.rows import FAILED, Row, Setting, acted, counts, decisive, difference, right

Tree = dict[str, Any]
Rows = Mapping[str, Sequence[Row]]
OUTCOMES = ("correct", "wrong", *FAILED)
SMALL = 30


def expected(raw: Rows, raw_generated: Rows, setting: Setting) -> Tree:
    """Everything but guards, criteria and verdict."""
    deployed = {who: decisive(who, rows, setting) for who, rows in raw.items()}
    generated = {who: decisive(who, rows, setting) for who, rows in raw_generated.items()}
    first = next(iter(deployed.values()))
    unit = setting.evaluate.unit
    how = setting.evaluate.aggregate
    return {
        "n": len(first),
        "groups": len({row["group"] for row in first}),
        "folds": len({fold for fold in setting.folds if fold}),
        "labels": list(setting.labels),
        "positive": setting.evaluate.positive,
        "task": setting.task,
        "estimand": {"images": len(next(iter(raw.values()))), "unit": unit, "aggregate": how},
        "models": {who: metrics(rows, setting) for who, rows in deployed.items()},
        "bands": {who: band(rows, setting) for who, rows in deployed.items()},
        "outcomes": {who: outcomes(rows) for who, rows in raw.items()},
        "flow": {who: flow(rows) for who, rows in raw.items()},
        "pairs": pairs(deployed, setting),
        "modes": modes(deployed, generated, setting),
        "subgroups": subgroups(raw, setting),
    }


def without_suspects(raw: Rows, setting: Setting, named: Collection[str]) -> Tree:
    """Metrics and differences of the tuned model on the items that no leak names."""
    rest = {who: [row for row in rows if row["id"] not in named] for who, rows in raw.items()}
    left = len(next(iter(rest.values())))
    touched = len(next(iter(raw.values()))) - left
    found: Tree = {"touched": touched, "n": left if touched else None, "groups": None, "models": {}, "pairs": {}}
    if not touched or not left:
        return found
    units = {who: decisive(who, rows, setting) for who, rows in rest.items()}
    first = next(iter(units.values()))
    found |= {"n": len(first), "groups": len({row["group"] for row in first})}
    differences = {name: row for name, row in pairs(units, setting).items() if name.startswith("tuned-")}
    found["pairs"] = {name: row | {"p_noninferiority": None} for name, row in differences.items()}
    return found | {"models": {who: metrics(rows, setting) for who, rows in units.items()}}


def outcomes(rows: Sequence[Row]) -> Tree:
    """How many of each."""
    told = Counter(row["outcome"] for row in rows)
    return {name: told[name] for name in OUTCOMES}


def flow(rows: Sequence[Row]) -> Tree:
    """Asked, answered and everything else."""
    told = outcomes(rows)
    answered = sum(row["outcome"] not in FAILED for row in rows)
    return {"asked": len(rows), "answered": answered, **told, "left_out_of_pairs": told["api_error"]}


def share(hits: Sequence[bool], rows: Sequence[Row]) -> Tree:
    """A proportion of rows."""
    return formulas.proportion(hits, [row["group"] for row in rows])


def metrics(rows: Sequence[Row], setting: Setting) -> Tree:
    """All metrics of one model."""
    known = [row for row in rows if row["outcome"] != "api_error"]
    answered = [row for row in rows if row["outcome"] not in FAILED]
    found = {
        "accuracy": share([row["outcome"] == "correct" for row in known], known),
        "answered_accuracy": share([row["outcome"] == "correct" for row in answered], answered),
        "coverage": share([row["outcome"] not in FAILED for row in rows], rows),
    }
    positive = setting.evaluate.positive
    if not setting.labels:
        return found | _of_task(known, setting)
    tables = tabulated(known, setting.labels)
    whole = {"value": 0.0, "low": 0.0, "high": 1.0}
    means = formulas.resampled(tables, setting.seed) if len(known) else [whole, whole]
    found |= dict(zip(("balanced_accuracy", "macro_f1"), means, strict=True))
    for metric in ("sensitivity", "specificity") if positive is not None else ():
        own = [row for row in known if counts(row, metric, positive)]
        found[metric] = share([right(row, metric, positive) for row in own], own)
    return found


def _of_task(rows: Sequence[Row], setting: Setting) -> Tree:
    """Metrics of open answers; none where there is none."""
    return tasks.metrics(setting.task, *_columns(rows)) if rows else {}


def extras(rows: Sequence[Row], task: TaskConfig) -> Tree:
    """What the task shows beside the metrics of classes, over all items whose reply arrived."""
    known = [row for row in rows if row["outcome"] != "api_error"]
    return tasks.extras(task, *_columns(known)) if known else {}


def _columns(rows: Sequence[Row]) -> tuple[list[str], list[str | None], list[str]]:
    """Gold, answer (None where it failed) and group of each row."""
    said = [row["answer"] if row["outcome"] not in FAILED else None for row in rows]
    return [row["gold"] for row in rows], said, [row["group"] for row in rows]


def tabulated(rows: Sequence[Row], labels: Sequence[str]) -> Any:
    """Confusion tables `[groups, labels, labels + 1]`, the last column for no answer."""
    own, number = formulas.index([row["group"] for row in rows])
    tables = np.zeros((number, len(labels), len(labels) + 1))
    for group, row in zip(own, rows, strict=True):
        column = len(labels) if row["outcome"] in FAILED else labels.index(row["answer"])
        tables[group, labels.index(row["gold"]), column] += 1
    return tables


def band(rows: Sequence[Row], setting: Setting) -> Tree:
    """The primary metric with every failure wrong, and right."""
    metric, positive = setting.metric, setting.evaluate.positive
    own = [row for row in rows if counts(row, metric, positive)]
    if not own:
        return {"low": 0.0, "high": 1.0}
    balanced = metric == "balanced_accuracy"
    weights = formulas.balanced_weights([row["gold"] for row in own]) if balanced else [1 / len(own)] * len(own)
    low = sum(weight for weight, row in zip(weights, own, strict=True) if right(row, metric, positive))
    lost = sum(weight for weight, row in zip(weights, own, strict=True) if row["outcome"] in FAILED)
    return {"low": low, "high": min(1.0, low + lost)}


def pairs(deployed: Rows, setting: Setting) -> Tree:
    """Every pair, tuned first, then the others, then linear, base and majority."""
    last = ("linear", "base", "majority")
    middle = [who for who in deployed if who not in ("tuned", *last)]
    found = {}
    for a, b in combinations([who for who in ("tuned", *middle, *last) if who in deployed], 2):
        margin = setting.evaluate.decision.margin if (a, b) == ("tuned", setting.baseline) else None
        row = difference(deployed[a], deployed[b], setting, setting.metric, margin or 0.0)
        told = {name: value for name, value in row.items() if not name.startswith("claim_")}
        told["metric"] = setting.metric
        found[f"{a}-{b}"] = told if margin is not None else told | {"p_noninferiority": None}
    return found


def modes(deployed: Rows, generated: Rows, setting: Setting) -> Tree:
    """The other answering mode."""
    found: Tree = {}
    for who, rows in generated.items():
        same = sum(a["answer"] == b["answer"] for a, b in zip(deployed[who], rows, strict=True))
        low, high = formulas.wilson(same, len(rows))
        agreement = {"value": same / len(rows), "low": low, "high": high}
        found[who] = {"metrics": metrics(rows, setting), "outcomes": outcomes(rows), "agreement": agreement}
    if "tuned" in found and "base" in found:
        gains = [
            difference(side["tuned"], side["base"], setting, setting.metric)["difference"]
            for side in (deployed, generated)
        ]
        found["tuned"] |= {"perception_gain": gains[0], "format_gain": gains[1] - gains[0]}
    return found


def subgroups(raw: Rows, setting: Setting) -> list[Tree]:
    """Accuracy, sensitivity and specificity by columns of meta."""
    found = []
    raw = {who: acted(who, rows, setting) for who, rows in raw.items()}
    positive = setting.evaluate.positive
    for column in setting.evaluate.subgroups:
        values = [row.get(column, "") for row in setting.meta]
        for value in sorted(set(values)):
            places = [i for i, own in enumerate(values) if own == value]
            some = next(iter(raw.values()))
            told: Tree = {"column": column, "value": value or None, "n": len(places)}
            told |= {"groups": len({some[i]["group"] for i in places})}
            for who, rows in raw.items():
                own_rows = [rows[i] for i in places if rows[i]["outcome"] != "api_error"]
                told[who] = {}
                for metric in ("accuracy", *(("sensitivity", "specificity") if positive is not None else ())):
                    kept = [row for row in own_rows if counts(row, metric, positive)]
                    told[who][metric] = share([right(row, metric, positive) for row in kept], kept)
            found.append(told | {"small": len(places) < SMALL})
    return found
