import json
import signal
import subprocess
import sys

import pytest

from finetune.cli import main as cli
from finetune.cli import sweep
from finetune.config import compose
from finetune.errors import ConfigError

STANDS_IN = """
import json, pathlib, sys
given = dict(word.split("=", 1) for word in sys.argv[1:])
print("a run's own output")
if given["seed"] == "3":
    sys.exit(3)
folder = pathlib.Path(given["folder"])
(folder / "eval").mkdir(parents=True)
score = {"value": int(given["seed"]) / 10, "low": 0.0, "high": 1.0}
(folder / "eval" / "comparison.json").write_text(json.dumps({"models": {"tuned": {"accuracy": score}}}))
"""


def test_every_combination_the_last_key_fastest():
    found = compose.combinations(["recipe=defects", "seed=1,2", "train.epochs=3.0", "method=lora,dora"])
    rest = ["recipe=defects", "train.epochs=3.0"]
    assert [[word for word in given if word not in rest] for given in found] == [
        ["seed=1", "method=lora"],
        ["seed=1", "method=dora"],
        ["seed=2", "method=lora"],
        ["seed=2", "method=dora"],
    ]


def test_a_list_is_one_value():
    assert compose.combinations(["evaluate.models=[base,tuned]"]) == [["evaluate.models=[base,tuned]"]]


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Lets a small program stand in for each run."""
    original = subprocess.Popen

    def instead(command, **options):
        config = compose.compose(command[3:])
        seed = next(word for word in command if word.startswith("seed="))
        return original([sys.executable, "-c", STANDS_IN, seed, f"folder={compose.run_folder(config)}"], **options)

    monkeypatch.setattr(sweep.subprocess, "Popen", instead)
    return ["-m", "recipe=defects", f"run.root={tmp_path}"]


def test_a_run_that_fails_keeps_none_from_running_and_gives_the_exit_code(stand_in, capfd):
    assert cli.main([*stand_in, "seed=2,3,7"]) == 3
    told = capfd.readouterr()
    head, *rows = told.out.splitlines()
    assert head.split() == ["run", "ended", "tuned", "folder"]
    assert [row.split()[:2] for row in rows] == [["seed=2", "done"], ["seed=3", "exit"], ["seed=7", "done"]]
    assert "accuracy 0.700 [0.000, 1.000]" in rows[2]
    assert "run 2 of 3: seed=3" in told.err
    assert "a run's own output" in told.err  # standard output is the table's


def test_a_sweep_that_is_stopped_begins_no_other_run(stand_in, capfd, monkeypatch):
    original = sweep._one

    def stopped(given, asked):
        signal.raise_signal(signal.SIGINT)
        return original(given, asked)

    monkeypatch.setattr(sweep, "_one", stopped)
    assert cli.main([*stand_in, "seed=4,5"]) == 75
    assert "seed=5  not begun" in capfd.readouterr().out


def test_all_mistakes_are_told_before_anything_runs(stand_in, capsys):
    assert cli.main([*stand_in, "train.epochs=-2.0,1.0,-1.0"]) == 2
    told = capsys.readouterr().err
    assert "train.epochs: got -2" in told
    assert "train.epochs: got -1" in told
    assert "run 1 of" not in told


def test_runs_that_would_share_a_folder_are_refused(stand_in):
    with pytest.raises(ConfigError, match="two combinations would share a run directory"):
        sweep.run([*stand_in[1:], "run.dir=x", "seed=1,2"])


def test_the_metric_is_that_of_the_comparison(tmp_path):
    from finetune.rundir import RunDir

    run = RunDir(tmp_path)
    assert sweep._metric(run) == ""
    run.comparison.parent.mkdir()
    run.comparison.write_text(json.dumps({"models": {"base": {}}}))
    assert sweep._metric(run) == ""
