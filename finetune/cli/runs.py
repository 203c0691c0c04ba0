"""`python -m finetune runs [FOLDER]`: the runs under a folder, newest first."""

from collections.abc import Sequence
from pathlib import Path

from finetune.cli.compare import aligned, row, score
from finetune.config.schema import RunConfig
from finetune.errors import ConfigError, IntegrityError
from finetune.rundir import Json

DAMAGED = (IntegrityError, LookupError, TypeError, AttributeError, OSError)
"""What reading a run raises whose files are not what a run writes."""


def run(arguments: Sequence[str]) -> None:
    """Prints name, recipe, status, date, primary metric and verdict of every run.

    `run.root=FOLDER` and FOLDER mean the same; the default is that of a run.

    Raises:
        ConfigError: there is no such folder.
    """
    if len(arguments) > 1:
        raise ConfigError(f"runs takes one folder, got {len(arguments)}: python -m finetune runs [run.root=FOLDER]")
    root = Path(arguments[0].removeprefix("run.root=") if arguments else RunConfig().root)
    if not root.is_dir():
        raise ConfigError(f"{root} is no folder; runs go to run.root, which is 'runs' unless you say otherwise.")
    rows = sorted(map(_row, _found(root)), key=lambda found: (found["date"] or "", found["name"]), reverse=True)
    head = ["run", "recipe", "status", "date", "metric", "tuned", "verdict"]
    print(aligned([head, *map(_cells, rows)]) if rows else f"{root} holds no runs yet.")


def _found(root: Path) -> list[Path]:
    return sorted(path.parent for path in root.glob("*/run.json"))


def _row(path: Path) -> Json:
    try:
        return row(path)
    except DAMAGED as error:  # one damaged run does not hide the others
        empty = dict.fromkeys(("recipe", "date", "metric", "qualifier"))
        return {"name": path.name, "status": "unreadable", "models": {}, "verdict": str(error)} | empty


def _cells(found: Json) -> list[str]:
    verdict = str(found["verdict"] or "") + (f", {found['qualifier']}" if found["qualifier"] else "")
    told = [found["name"], found["recipe"], found["status"], found["date"], found["metric"]]
    return [*("" if value is None else str(value) for value in told), score(found["models"].get("tuned")), verdict]
