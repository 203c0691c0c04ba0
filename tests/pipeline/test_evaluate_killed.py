"""A real SIGKILL, SIGTERM or Ctrl-C in the middle of an evaluation, then the same command."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from finetune.rundir import read_jsonl

FILES = [f"{who}{kind}" for who in ("base", "tuned") for kind in ("", ".generated", ".validation")]

PROGRAM = """
import os, sys
import built_run
from finetune.pipeline import runner
from finetune.errors import UserError
from finetune.predictors import local
from finetune.rundir import RunDir

run, after, number = RunDir(__import__("pathlib").Path(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
inner, asked = local.LocalPredictor._answered, []

def answered(self, batch, *rest):
    if len(asked) == after:
        os.kill(os.getpid(), number)
    asked.extend(batch[:1])
    return inner(self, batch, *rest)

local.LocalPredictor._answered = answered
config = built_run.load(run.root, "stages=[evaluate]", "evaluate.models=[majority,base,tuned]")
from finetune.pipeline import prepare, train
for name, stage in (("prepare", prepare), ("train", train)):
    if name not in run.status().get("stages", {}):
        made = {"status": "done", "seconds": 1.0, "fingerprint": runner.fingerprint(stage, config, run)}
        run.update_status(stages=run.status().get("stages", {}) | {name: made | {"sources": "", "files": {}}})
try:
    runner.execute(config, ["x"])
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
finally:
    print(len(asked))
"""


def command(run: Path, after: int = -1, number: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(["tests", "."]), "OMP_NUM_THREADS": "1"}
    arguments = [sys.executable, "-c", PROGRAM, str(run), str(after), str(int(number))]
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)


def content(run: Path) -> list[object]:
    """Every answer, without the time that it took."""
    rows = [row for name in FILES for row in read_jsonl(run / "eval" / f"{name}.predictions.jsonl")]
    return [json.dumps({key: value for key, value in row.items() if key != "seconds"}) for row in rows]


@pytest.fixture(scope="module")
def whole(_built, tmp_path_factory) -> tuple[list[object], int]:
    """Answers of an evaluation that nobody stopped, and how many it asked."""
    site = tmp_path_factory.mktemp("whole") / "site"
    shutil.copytree(_built.parent, site)
    run = site / _built.name
    config = (run / "config.yaml").read_text(encoding="utf-8")
    (run / "config.yaml").write_text(config.replace(str(_built.parent), str(site)), encoding="utf-8")
    done = command(run)
    assert done.returncode == 0, done.stderr
    return content(run), int(done.stdout.split()[-1])


@pytest.mark.faults
@pytest.mark.parametrize(
    ("after", "number", "code"),
    [(3, signal.SIGKILL, -9), (9, signal.SIGKILL, -9), (3, signal.SIGTERM, 75), (9, signal.SIGINT, 75)],
)
def test_killed_and_run_again_gives_the_same_answers(built, whole, after, number, code):
    answers, asked = whole
    stopped = command(built, after, number)
    assert stopped.returncode == code, stopped.stderr
    partial = {path.name: len(path.read_bytes().splitlines()) for path in (built / "eval/partial").iterdir()}
    assert sum(partial.values()) > 1
    again = command(built)
    assert again.returncode == 0, again.stderr
    assert content(built) == answers
    assert int(again.stdout.split()[-1]) < asked
    assert not (built / "eval" / "partial").exists()
