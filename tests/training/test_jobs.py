import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from finetune.cli import main as cli
from finetune.config import compose
from finetune.config.schema import Config, LaunchConfig
from finetune.errors import ConfigError, ResourceError
from finetune.training import jobs


def launched(**launch) -> Config:
    return replace(Config(), launch=LaunchConfig(**launch))


def test_ranks_of_one_machine_meet_in_a_file(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    words = jobs.ranks_command(launched(kind="torchrun", processes=2), Path("runs/a b"))
    assert words[:3] == [sys.executable, "-m", "finetune.training.node"]
    assert words[3:] == ["--nnodes=1", "--nproc-per-node=2", "runs/a b"]


def test_ranks_of_several_nodes_are_started_once_a_node(monkeypatch):
    monkeypatch.setenv("SLURM_JOB_NODELIST", "node[07-08]")
    words = jobs.ranks_command(launched(kind="slurm", nodes=2, processes=4), Path("r"))
    assert words[:4] == ["srun", "--nodes=2", "--ntasks=2", "--ntasks-per-node=1"]
    assert words[-3:] == ["--nnodes=2", "--nproc-per-node=4", "r"]


def test_several_nodes_without_slurm_are_refused(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_NODELIST", raising=False)
    with pytest.raises(ResourceError, match="several nodes are found through Slurm"):
        jobs.ranks_command(launched(kind="slurm", nodes=2), Path("r"))


def test_the_batch_script_runs_the_same_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = launched(kind="slurm", nodes=2, options={"partition": "gpu", "time": "12:00:00"})
    typed = ["recipe=defects", "task.question='Is it good?'", "launch=slurm"]
    lines = jobs.slurm_script(config, Path("runs/r1"), typed).splitlines()
    assert lines[0] == "#!/bin/bash"
    wanted = ["job-name=r1", "nodes=2", f"output={tmp_path}/runs/r1/slurm-%j.log", "partition=gpu", "time=12:00:00"]
    assert {f"#SBATCH --{option}" for option in [*wanted, "signal=B:TERM@300"]} <= set(lines)
    assert f"cd {tmp_path}" in lines
    assert shlex.split(lines[-1]) == ["exec", sys.executable, "-m", "finetune", *typed]


def test_a_dry_run_prints_the_job_and_makes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["recipe=defects", "launch=torchrun", "launch.dry_run=true"]) == 0
    assert "--nproc-per-node=2" in capsys.readouterr().out
    assert cli.main(["recipe=defects", "launch=slurm", "launch.dry_run=true"]) == 0
    assert "#SBATCH --nodes=1" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_without_sbatch_the_error_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cli.main(["recipe=defects", "launch=slurm", f"run.root={tmp_path}"]) == 7
    assert "launch=slurm: sbatch is not on the PATH" in capsys.readouterr().err


def test_a_command_that_torchrun_started_is_refused(capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main(["recipe=defects"]) == 2
    assert "Start it once with launch=torchrun" in capsys.readouterr().err


def test_the_templates_of_deepspeed_are_the_hardware_groups():
    from finetune.training import deepspeed

    groups = {name for name in compose.groups()["hardware"] if name.startswith("zero")}
    assert groups == set(deepspeed.templates())
    assert all(deepspeed.settings(name)["zero_optimization"]["stage"] == int(name[4]) for name in groups)


def test_a_line_break_in_a_folder_does_not_reach_the_batch_script(tmp_path, monkeypatch):
    """A name such as `x\\n#SBATCH --wrap=...` would be a line of its own."""
    evil = tmp_path / "x\n#SBATCH --wrap=id"
    with pytest.raises(ConfigError, match=r"run.dir: .*holds a character that a batch script cannot carry"):
        jobs.slurm_script(Config(), evil / "run", [])
    evil.mkdir()
    monkeypatch.chdir(evil)
    with pytest.raises(ConfigError, match=r"run.dir: "):
        jobs.slurm_script(Config(), Path("run"), [])
    with pytest.raises(ConfigError, match=r"the working folder: "):
        jobs.slurm_script(Config(), tmp_path / "run", [])
