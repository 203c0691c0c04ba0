"""A whole run through the command line, made once: a table with one bad row, a micro model, one epoch."""

import contextlib
import io
import shutil
from pathlib import Path

import pytest
from acceptance import sources


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> Path:
    """Folder of a random model of the real architecture."""
    from training import micro

    return micro.save(tmp_path_factory.mktemp("base") / "micro")


def command(source: list[str], base: Path, run: Path) -> list[str]:
    """One epoch on the CPU, one thread, small enough for a test."""
    return [
        *source,
        f"model.path={base}",
        f"run.dir={run}",
        f"run.root={run.parent}",  # holds the ledger of looks, which every run under it shares
        "hardware.device=cpu",
        "hardware.threads=1",
        "method.rank=2",
        "train.epochs=1",
        "train.batch_size=8",
        "evaluate.batch_size=16",
        "task.question='Which is it, {labels}?'",
    ]


@pytest.fixture(scope="session")
def made(tmp_path_factory, base) -> tuple[Path, list[str], str]:
    """The run directory, the command that made it, and what it printed to standard output."""
    root = tmp_path_factory.mktemp("whole")
    found = sources.rows(root, views=2)
    found.append(found[0] | {"image": "gone.png", "uid": "gone"})
    source = [*sources.table(root, found), "data.options.id=uid", "data.group=part", "data.split.column=split"]
    options = ["data.on_bad_row=quarantine", "evaluate.positive=dark", "data.options.meta=[part]"]
    arguments = command([*source, *options], base, root / "run")
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        sources.run(*arguments)
    return root / "run", arguments, out.getvalue()


@pytest.fixture
def whole(made, tmp_path) -> tuple[Path, list[str]]:
    """A copy of that run in another place, and the command for it; the source and the base stay where they were."""
    run, arguments, _ = made
    copy = Path(shutil.copytree(run, tmp_path / "elsewhere" / "copy"))
    shutil.copy(run.parent / "looks.jsonl", copy.parent)
    return copy, [*arguments, f"run.dir={copy}", f"run.root={copy.parent}"]
