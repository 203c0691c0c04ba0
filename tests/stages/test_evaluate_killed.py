"""A real SIGKILL, SIGTERM or Ctrl-C in the middle of an evaluation, then the same command."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from finetune.rundir import RunDir, read_json, read_jsonl

FILES = [f"{who}{kind}" for who in ("base", "tuned") for kind in ("", ".generated", ".validation")]

PROGRAM = """
import os, sys
import built_run
from finetune import runner
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
from finetune.stages import prepare, train
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


@pytest.mark.faults
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 75), (signal.SIGINT, 75)])
@pytest.mark.parametrize("after", [3, 9])
def test_killed_and_run_again_gives_the_same_answers(built, tmp_path, number, code, after):
    import shutil

    shutil.copytree(built.parent, tmp_path / "whole")
    whole = tmp_path / "whole" / built.name
    first = command(whole)
    assert first.returncode == 0, first.stderr
    stopped = command(built, after, number)
    assert stopped.returncode == code, stopped.stderr
    partial = {path.name: len(path.read_bytes().splitlines()) for path in (built / "eval/partial").iterdir()}
    assert sum(partial.values()) > 1
    again = command(built)
    assert again.returncode == 0, again.stderr
    assert content(built) == content(whole)
    assert int(again.stdout.split()[-1]) < int(first.stdout.split()[-1])
    assert not (built / "eval" / "partial").exists()
    assert read_json(built / "run.json")["status"] == "done"
    assert RunDir(built).audit()
