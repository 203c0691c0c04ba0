"""`python -m finetune gate OLD NEW`: did the model get worse? Fails on a paired regression, not on noise."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn
from xml.etree import ElementTree

from finetune.errors import ConfigError, GateError
from finetune.evaluation import answer_files, comparison
from finetune.evaluation.pairing import ANSWERED, Test
from finetune.example import Prediction
from finetune.report.junit import cleaned
from finetune.rundir import Json, RunDir

ERROR = 0.05
"""Two-sided: how often a model that is as good would fail."""
NAMED = 20
"""Regressed items that the report lists."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"gate: {message}\n{self.format_usage().strip()}")


def run(arguments: Sequence[str]) -> None:
    """Compares NEW with OLD on the same items and writes the result as JUnit XML.

    The gate fails where NEW is worse for certain: the upper bound of the 95 % interval of NEW - OLD lies below
    -`--margin` (0: any certain loss), and the exact test of no difference agrees, which holds on few groups where an
    interval does not. It is asked of the metric, and of the share of items that got an answer.

    Raises:
        ConfigError: an argument is no run and no file of predictions, nothing of them can be compared, or `--junit` is
            a folder.
        GateError: it failed; says by how much.
        IntegrityError: the two did not answer the same items.
    """
    given = _parser().parse_args(answer_files.flags(arguments))
    if not 0 <= given.margin < 1:
        raise ConfigError(
            f"gate: --margin: got {given.margin:g}, expected a share from 0 to below 1; 3 points are 0.03"
        )
    if given.junit.is_dir():
        raise ConfigError(f"gate: --junit: {given.junit} is a folder, expected the file to write")
    sides = answer_files.paired({"OLD": answer_files.of(given.old), "NEW": answer_files.of(given.new)})
    test = answer_files.asked(sides, given.metric, given.positive)
    if given.metric in ("sensitivity", "specificity") and given.positive is None:
        raise ConfigError(f"gate: --metric {given.metric} needs --positive LABEL")
    checks = {given.metric: _pair(test, sides, given.metric), "coverage": _coverage(test, sides)}
    failed = {name: row for name, row in checks.items() if row["high"] < -given.margin and row["p"] < ERROR}
    if not failed and not checks[given.metric]["n"]:
        raise ConfigError(
            f"gate: no item that both answered is one that {given.metric} is about; nothing was compared."
        )
    lost = [
        new.id
        for old, new in zip(sides["OLD"], sides["NEW"], strict=True)
        if old.outcome == "correct" and new.outcome not in ("correct", "api_error")
    ]
    RunDir(given.junit.parent).write_text(given.junit, _junit(checks, failed, given.margin, lost))
    print("\n".join(_line(name, row, name in failed) for name, row in checks.items()))
    print(f"report: {given.junit}", file=sys.stderr)
    if failed:
        raise GateError(
            f"{given.new} is worse than {given.old}: {'; '.join(_told(*item) for item in failed.items())}. "
            f"{len(lost)} items were right and are not any more: {', '.join(lost[:5])}."
        )


def _parser() -> _Parser:
    parser = _Parser(prog="python -m finetune gate", description=__doc__, allow_abbrev=False)
    for name in ("old", "new"):
        parser.add_argument(name, metavar=name.upper(), type=Path, help="a run (its tuned model) or a predictions file")
    metrics = ("accuracy", "balanced_accuracy", "sensitivity", "specificity")
    parser.add_argument("--metric", choices=metrics, default="accuracy")
    parser.add_argument("--positive", metavar="LABEL", help="whose sensitivity or specificity")
    parser.add_argument("--margin", type=float, default=0.0, help="loss that is let pass, 0..1")
    parser.add_argument("--junit", metavar="FILE", type=Path, default=Path("junit.xml"))
    return parser


def _pair(test: Test, sides: dict[str, list[Prediction]], metric: str) -> Json:
    return comparison.pair(test, sides["NEW"], sides["OLD"], metric)


def _coverage(test: Test, sides: dict[str, list[Prediction]]) -> Json:
    """The same for the share of items with an answer: a model that fell silent has regressed as well."""
    told = {
        who: [replace(row, outcome="correct" if row.outcome in ANSWERED else "wrong") for row in rows]
        for who, rows in sides.items()
    }
    return _pair(test, told, "accuracy")


def _told(name: str, row: Json) -> str:
    return (
        f"{name.replace('_', ' ')} {100 * row['difference']:+.1f} points, 95 % interval {100 * row['low']:+.1f} to "
        f"{100 * row['high']:+.1f} ({row['b']} gained, {row['c']} lost, {row['n']} items)"
    )


def _line(name: str, row: Json, failed: bool) -> str:
    return f"{'FAIL' if failed else 'pass'}  {_told(name, row)}"


def _junit(checks: dict[str, Json], failed: dict[str, Json], margin: float, lost: Sequence[str]) -> str:
    """JUnit XML, one test case a check, as CI systems read it."""
    suite = ElementTree.Element(
        "testsuite", name="finetune gate", tests=str(len(checks)), failures=str(len(failed)), errors="0"
    )
    for name, row in checks.items():
        case = ElementTree.SubElement(suite, "testcase", classname="gate", name=name)
        if name in failed:
            told = f"{_told(name, row)}; the upper bound lies below {-margin:g}"
            ElementTree.SubElement(case, "failure", message=told).text = cleaned("\n".join(lost[:NAMED]))
        else:
            ElementTree.SubElement(case, "system-out").text = _told(name, row)
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
