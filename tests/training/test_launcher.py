"""How the notes of ranks become the end of a command; real ranks are in test_torchrun.py."""

import json
import sys

import pytest

from finetune.config.schema import Config, LaunchConfig
from finetune.errors import DataError, InterruptedRun, ResourceError
from finetune.rundir import RunDir
from finetune.training import jobs, launcher

NOTE = """
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1]) / ".ranks"
for rank, note in enumerate(json.loads(sys.argv[2])):
    note = {"rank": rank, "files": [], "error": None, "message": None} | note
    (folder / f"rank-{rank:05d}.json").write_text(json.dumps(note))
sys.exit(int(sys.argv[3]))
"""


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "run")


def end(run, monkeypatch, *notes, code=0):
    """Lets a process stand in for torchrun that leaves these notes."""
    command = [sys.executable, "-c", NOTE, str(run.root), json.dumps(notes), str(code)]
    monkeypatch.setattr(jobs, "ranks_command", lambda *_: command)
    return launcher.train(Config(launch=LaunchConfig(kind="torchrun", processes=2)), run)


def test_the_files_are_those_of_the_main_rank(run, monkeypatch):
    found = end(run, monkeypatch, {"files": ["train/log.jsonl"]}, {})
    assert found == [run.train / "log.jsonl"]
    assert not run.notes.exists()


def test_the_error_of_any_rank_is_the_error_of_the_command(run, monkeypatch):
    stopped = {"error": "InterruptedRun", "message": "stopped"}
    with pytest.raises(DataError, match=r"image 'x\.png' does not exist"):
        end(run, monkeypatch, stopped, {"error": "DataError", "message": "image 'x.png' does not exist"}, code=1)


def test_a_stop_that_all_ranks_report_is_an_interruption(run, monkeypatch):
    note = {"error": "InterruptedRun", "message": "stopped by SIGTERM after step 3"}
    with pytest.raises(InterruptedRun, match="after step 3"):
        end(run, monkeypatch, note, note)


def test_a_defect_keeps_its_name(run, monkeypatch):
    with pytest.raises(RuntimeError, match="rank 1 failed: TypeError: no such"):
        end(run, monkeypatch, {}, {"error": "TypeError", "message": "no such"}, code=1)


@pytest.mark.parametrize(("notes", "code"), [((), 1), (({"files": []},), 1), ((), 0)])
def test_ranks_that_say_nothing_were_killed(run, monkeypatch, notes, code):
    with pytest.raises(ResourceError, match=f"ended with code {code} and no rank said why"):
        end(run, monkeypatch, *notes, code=code)


def test_ranks_of_an_earlier_command_are_waited_for(run, monkeypatch):
    import subprocess

    held = f"from finetune.rundir import RunDir; from pathlib import Path; r = RunDir(Path({str(run.root)!r}))\n"
    held += "with r.lock('ranks.lock'):\n print('held', flush=True)\n input()"
    with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(ResourceError, match=r"is in use by another run \(pid"):
            end(run, monkeypatch, {})
        other.communicate(b"\n")


def test_a_launcher_that_is_missing_is_named(run, monkeypatch):
    monkeypatch.setattr(jobs, "ranks_command", lambda *_: ["no-such-srun"])
    with pytest.raises(ResourceError, match="launch: no-such-srun is not on the PATH"):
        launcher.train(Config(launch=LaunchConfig(kind="slurm")), run)
