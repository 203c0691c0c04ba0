"""`python -m finetune compare A.jsonl B.jsonl`, or `compare RUN...`: files of answers, or runs, side by side."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from finetune.config import compared_models
from finetune.config.schema import DecisionConfig, EvaluateConfig
from finetune.errors import ConfigError
from finetune.evaluation import answer_files, comparison
from finetune.report import wording
from finetune.rundir import Json, RunDir, read_json


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"compare: {message}\n{self.format_usage().strip()}")


def run(arguments: Sequence[str]) -> None:
    """Compares files of predictions pair by pair, the first against the second; or lists runs side by side.

    With `--margin` the first file is the model that would replace the second. Nothing is written.

    Raises:
        ConfigError: files and runs are mixed, or one of them is neither.
        IntegrityError: the files do not answer the same items.
    """
    given = _parser().parse_args(answer_files.flags(arguments))
    folders = [path for path in given.paths if path.is_dir()]
    if folders and len(folders) < len(given.paths):
        raise ConfigError("compare: give files of predictions, or runs, not both.")
    if folders:
        found: Json = {"runs": [row(path) for path in folders]}
        text = _runs(found["runs"])
    else:
        found = _files(given)
        text = wording.table(found) + "\n\n" + found["decision"]["verdict"] + ": " + found["decision"]["reason"]
    print(json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) if given.json else text)


def _parser() -> _Parser:
    parser = _Parser(prog="python -m finetune compare", description=__doc__, allow_abbrev=False)
    parser.add_argument("paths", metavar="PATH", type=Path, nargs="+", help="files of predictions, or runs")
    metrics = ("accuracy", "balanced_accuracy", "sensitivity", "specificity")
    parser.add_argument("--metric", choices=metrics, default="accuracy")
    parser.add_argument("--positive", metavar="LABEL", help="label whose sensitivity and specificity are shown")
    parser.add_argument("--margin", type=float, help="largest acceptable loss of the first against the second, 0..1")
    parser.add_argument("--json", action="store_true", help="the whole comparison as JSON")
    return parser


def _files(given: argparse.Namespace) -> Json:
    """`comparison.json` of files alone: the candidate is the first, the model to be replaced the second."""
    if len(given.paths) < 2:
        raise ConfigError("compare: one file has nothing to be compared with; give two or more.")
    if given.margin is not None and not 0 < given.margin < 1:
        raise ConfigError(f"compare: --margin: got {given.margin:g}, expected a share above 0 and below 1")
    names = [compared_models.name_of(path) for path in given.paths]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ConfigError(f"compare: two files would be called {', '.join(double)}; rename one.")
    sides = answer_files.paired({name: answer_files.read(path) for name, path in zip(names, given.paths, strict=True)})
    test = answer_files.asked(sides, given.metric, given.positive)
    if given.margin is not None and not test.labels:
        raise ConfigError(
            "compare: --margin: answers are open, and a right one in other words would count as wrong, so they carry "
            "no verdict. Leave --margin out."
        )
    evaluate = EvaluateConfig(
        models=tuple(names),
        positive=given.positive,
        decision=DecisionConfig(metric=given.metric, margin=given.margin),
    )
    return comparison.compare(test, sides, {}, evaluate, candidate=names[0], baseline=names[1])


def row(path: Path) -> Json:
    """One run in a line: name, recipe, status, date, primary metric of tuned, verdict.

    Raises:
        ConfigError: it is no run.
        IntegrityError: a file of it is damaged.
    """
    run_dir = RunDir(path)
    if not run_dir.status_file.is_file():
        raise ConfigError(f"{path} holds no run.json, so it is no run.")
    status = read_json(run_dir.status_file)
    found: Json = {
        "name": path.name,
        "recipe": status.get("recipe") or None,
        "status": status.get("status"),
        "date": str(status.get("started") or "")[:10] or None,
    }
    empty: Json = {"metric": None, "n": None, "models": {}, "verdict": None, "qualifier": None, "looks": None}
    if not run_dir.comparison.is_file():
        return found | empty
    made = read_json(run_dir.comparison)
    decision = made["decision"]
    metric = decision.get("rule", {}).get("decision", {}).get("metric") or "accuracy"
    return found | {
        "metric": metric,
        "n": made["n"],
        "models": {who: scores[metric] for who, scores in made["models"].items() if metric in scores},
        "verdict": decision["verdict"],
        "qualifier": decision.get("qualifier"),
        "looks": decision["looks"],
    }


def _runs(rows: Sequence[Json]) -> str:
    """Runs as columns; the same test is said, for only then the figures can be held against each other."""
    who = list(dict.fromkeys(name for own in rows for name in own["models"]))
    table = [["", *(str(own["name"]) for own in rows)]]
    table += [[name, *(_text(own[name]) for own in rows)] for name in ("recipe", "status", "date", "metric", "n")]
    table += [[name, *(score(own["models"].get(name)) for own in rows)] for name in who]
    table += [[name, *(_text(own[name]) for own in rows)] for name in ("verdict", "qualifier", "looks")]
    return aligned(table)


def score(found: Json | None) -> str:
    """`88.1 [84.5, 90.9]`, in percent, or nothing."""
    return f"{100 * found['value']:.1f} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]" if found else ""


def _text(value: object) -> str:
    return "" if value is None else str(value)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns padded to their widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)
