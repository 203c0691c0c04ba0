"""`python -m finetune -m recipe=NAME KEY=A,B ...`: one run for each combination, one after the other, and a table."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from finetune.config import compose
from finetune.errors import ConfigError, InterruptedRun
from finetune.rundir import RunDir, read_json
from finetune.training.signals import Interruption

LOOK_S = 0.3
"""Seconds between two looks at whether the user wants to stop."""


@dataclass(frozen=True)
class Row:
    """One run of a sweep.

    Attributes:
        chosen: the values that differ from run to run, as typed.
        code: its exit code; None where it was not begun.
        folder: the run directory.
        metric: name and value of the primary metric of the tuned model, where there is one.
    """

    chosen: str
    code: int | None
    folder: str
    metric: str


def run(arguments: Sequence[str]) -> int:
    """Runs the combinations and returns the worst exit code; what failed does not keep the rest from running.

    Raises:
        ConfigError: a combination cannot be run; nothing was begun then.
    """
    plan = compose.combinations(arguments)
    folders = _folders(plan)
    rows: list[Row] = []
    with Interruption().watch() as asked:
        for number, (given, folder) in enumerate(zip(plan, folders, strict=True), 1):
            chosen = " ".join(word for word in given if word not in arguments)
            code = None
            if not asked.requested:
                print(f"run {number} of {len(plan)}: {chosen}", file=sys.stderr)
                code = _one(given, asked)
            rows.append(Row(chosen, code, str(folder.root), _metric(folder)))
    print(_table(rows))
    codes = [row.code for row in rows if row.code is not None]
    return InterruptedRun.exit_code if asked.requested else max(codes, default=0)


def _folders(plan: Sequence[Sequence[str]]) -> list[RunDir]:
    """The run directory of each combination."""
    found, problems = [], []
    for given in plan:
        try:
            config = compose.compose(given)
            compose.require_task(config)
            found.append(RunDir(compose.run_folder(config)))
        except ConfigError as error:
            problems.append(f"{' '.join(given)}: {error}")
    if not problems and len({folder.root for folder in found}) < len(found):
        problems.append(
            "two combinations would share a run directory: leave run.dir out, and sweep keys that change a run"
        )
    if problems:
        raise ConfigError("\n  ".join(problems))
    return found


def _one(given: Sequence[str], asked: Interruption) -> int:
    """Runs one combination in a process of its own, and passes a request to stop on to it."""
    command = [sys.executable, "-m", "finetune", *given]
    process = subprocess.Popen(command, stdout=sys.stderr.fileno(), start_new_session=True)
    told = False
    while process.poll() is None:
        if asked.requested and not told:
            process.send_signal(signal.SIGTERM)
            told = True
        try:
            process.wait(LOOK_S)
        except subprocess.TimeoutExpired:
            continue
    return process.returncode


def _metric(folder: RunDir) -> str:
    if not folder.comparison.exists():
        return ""
    comparison = read_json(folder.comparison)
    for name in ("balanced_accuracy", "accuracy"):
        score = comparison["models"].get("tuned", {}).get(name)
        if score:
            return f"{name} {score['value']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"
    return ""


def _table(rows: Sequence[Row]) -> str:
    states = {None: "not begun", 0: "done", InterruptedRun.exit_code: "interrupted"}
    lines = [("run", "ended", "tuned", "folder")]
    lines += [(row.chosen, states.get(row.code, f"exit code {row.code}"), row.metric, row.folder) for row in rows]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)
