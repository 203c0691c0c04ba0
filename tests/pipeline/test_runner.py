"""The runner: skipping, fingerprints, status and the audit, with small stages in place of the real ones."""

import errno
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from finetune import plugins
from finetune.config.schema import STAGES, Config, RunConfig, TrainConfig
from finetune.errors import ConfigError, DataError, IntegrityError, InterruptedRun, ResourceError
from finetune.pipeline import runner
from finetune.rundir import RunDir, canonical_digest, read_json


class Stages:
    """Five stages that write one file each; `train` reads the learning rate, the source has a version."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.source = 1
        self.fail: dict[str, Callable[[], None]] = {}

    def load(self, name: str) -> ModuleType:
        module: Any = ModuleType(name)

        def run(config: Config, run: RunDir) -> list[Path]:
            self.ran.append(name)
            self.fail.get(name, lambda: None)()
            return [run.write_text(run.root / name / "out.txt", f"{name} {config.train.learning_rate}")]

        module.reads = lambda config, run: {"rate": config.train.learning_rate} if name == "train" else {}
        module.sources = lambda config: {"version": self.source} if name == "prepare" else {}
        module.run = run
        module.WRITES_IMAGES = False  # loaded as the adapter, too
        typed: ModuleType = module
        return typed


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    fake = Stages()
    monkeypatch.setattr(runner, "stage_module", fake.load)
    monkeypatch.setattr(plugins, "load", lambda seam, name: fake.load(name))
    return fake


def config(tmp_path: Path, rate: float = 1.0, stages: tuple[str, ...] = STAGES) -> Config:
    return Config(
        recipe="x", run=RunConfig(dir=str(tmp_path / "run")), train=TrainConfig(learning_rate=rate), stages=stages
    )


def test_a_run_is_recorded_and_then_skipped(tmp_path: Path, stages: Stages) -> None:
    root = runner.execute(config(tmp_path), ["recipe=x"])
    assert stages.ran == list(STAGES)
    status = read_json(root / "run.json")
    assert (status["status"], status["error"], status["overrides"]) == ("done", None, ["recipe=x"])
    assert {name: s["status"] for name, s in status["stages"].items()} == dict.fromkeys(STAGES, "done")
    assert RunDir(root).audit()["run.json"] == canonical_digest(status)
    runner.execute(config(tmp_path), ["recipe=x"])
    assert stages.ran == list(STAGES)


def test_a_changed_setting_runs_its_stage_again_and_keeps_the_former_result(tmp_path: Path, stages: Stages) -> None:
    root = runner.execute(config(tmp_path, 1.0), [])
    stages.ran.clear()
    runner.execute(config(tmp_path, 2.0), [])
    assert stages.ran == ["train"]
    assert (root / "train" / "out.txt").read_text() == "train 2.0"
    assert (root / "train.replaced-1" / "out.txt").read_text() == "train 1.0"


def test_a_changed_source_or_a_touched_file_runs_the_stage_again(tmp_path: Path, stages: Stages) -> None:
    root = runner.execute(config(tmp_path), [])
    stages.ran.clear()
    stages.source = 2
    runner.execute(config(tmp_path), [])
    (root / "report" / "out.txt").write_text("touched")
    runner.execute(config(tmp_path), [])
    assert stages.ran == ["prepare", "report"]


def test_a_stage_not_asked_for_must_be_there_and_match(tmp_path: Path, stages: Stages) -> None:
    only = ("evaluate", "report")
    with pytest.raises(ConfigError, match=r"evaluate needs prepare, which has not finished"):
        runner.execute(config(tmp_path, stages=only), [])
    runner.execute(config(tmp_path), [])
    stages.ran.clear()
    stages.source = 2  # the source may be elsewhere by now: only stages that may run look at it
    runner.execute(config(tmp_path, stages=only), [])
    with pytest.raises(IntegrityError, match=r"train was made from another configuration"):
        runner.execute(config(tmp_path, 2.0, stages=only), [])
    assert stages.ran == []


def test_a_failure_is_on_record_and_the_same_command_continues(tmp_path: Path, stages: Stages) -> None:
    def broken() -> None:
        raise DataError("row 3 is bad")

    stages.fail["evaluate"] = broken
    with pytest.raises(DataError):
        runner.execute(config(tmp_path), [])
    status = read_json(tmp_path / "run" / "run.json")
    assert status["status"] == "failed"
    assert status["error"] == {"type": "DataError", "message": "row 3 is bad", "exit_code": 3}
    assert status["stages"]["evaluate"]["status"] == "failed"
    stages.fail.clear()
    stages.ran.clear()
    runner.execute(config(tmp_path), [])
    assert stages.ran == ["evaluate", "report", "export"]


def test_a_call_that_is_refused_leaves_the_record_of_a_good_run(tmp_path: Path, stages: Stages) -> None:
    root = runner.execute(config(tmp_path), ["recipe=x"])
    before = {name: (root / name).read_bytes() for name in ("config.yaml", "run.json", "audit.jsonl")}
    with pytest.raises(IntegrityError, match="train was made from another configuration"):
        runner.execute(config(tmp_path, 2.0, stages=("evaluate",)), ["recipe=y"])
    assert {name: (root / name).read_bytes() for name in before} == before


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/log.jsonl"), r"No space left on device: /x/log\.jsonl\."),
        (MemoryError(), r"out of memory\. Lower train\.batch_size"),
        (torch.OutOfMemoryError("CUDA out of memory"), r"out of memory\. Lower train\.batch_size"),
    ],
)
def test_a_full_disk_and_too_little_memory_are_named(
    tmp_path: Path, stages: Stages, error: BaseException, message: str
) -> None:
    def fail() -> None:
        raise error

    stages.fail["train"] = fail
    with pytest.raises(ResourceError, match=message):
        runner.execute(config(tmp_path), [])
    assert read_json(tmp_path / "run" / "run.json")["error"]["exit_code"] == 7


def test_without_the_guard_no_guard_is_recorded(tmp_path: Path, stages: Stages) -> None:
    root = runner.execute(config(tmp_path), [])
    assert read_json(root / "run.json")["egress"] == {"network": "none", "level": "none"}


def test_the_commit_of_a_repository_around_the_installation_is_not_ours(
    tmp_path: Path, stages: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "site-packages" / "finetune").mkdir(parents=True)
    monkeypatch.setattr(runner, "__file__", str(tmp_path / "site-packages" / "finetune" / "pipeline" / "runner.py"))
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("git was asked"))
    assert read_json(runner.execute(config(tmp_path), []) / "run.json")["git"] is None


def test_a_result_set_aside_leaves_the_record(tmp_path: Path, stages: Stages) -> None:
    root = runner.execute(config(tmp_path, 1.0), [])
    run = RunDir(root)
    run.record([run.write_text(run.train / "fold_0" / "log.jsonl", "x"), run.write_text(run.data / "fold", "y")])
    (run.data / "fold").unlink()
    runner.execute(config(tmp_path, 2.0), [])
    assert "train/fold_0/log.jsonl" not in run.audit()
    assert "train/out.txt" in run.audit()
    assert "data/fold" in run.audit(), "prepare did not run again: the loss of its file must still show"


def test_the_export_does_not_need_an_evaluation(tmp_path: Path, stages: Stages) -> None:
    wanted = ("prepare", "train", "export")
    runner.execute(config(tmp_path, stages=wanted), [])
    assert stages.ran == list(wanted)
    with pytest.raises(ConfigError, match="report needs evaluate, which has not finished"):
        runner.execute(config(tmp_path, stages=("report", "export")), [])
    RunDir(tmp_path / "run").write_text(tmp_path / "run" / "eval" / "comparison.json", "{}")
    with pytest.raises(ConfigError, match="export needs evaluate, which has not finished"):
        runner.execute(config(tmp_path, stages=("export",)), [])


def test_the_export_does_not_need_the_report(tmp_path: Path, stages: Stages) -> None:
    wanted = ("prepare", "train", "evaluate", "export")
    runner.execute(config(tmp_path, stages=wanted), [])
    assert stages.ran == list(wanted)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_says_so(
    tmp_path: Path, stages: Stages, kind: signal.Signals, request: pytest.FixtureRequest
) -> None:
    stages.fail["train"] = lambda: os.kill(os.getpid(), kind)
    # A shell that starts the suite in the background leaves SIGINT ignored; a user at a terminal does not.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, former))
    with pytest.raises(InterruptedRun, match="the same command continues"):
        runner.execute(config(tmp_path), [])
    assert read_json(tmp_path / "run" / "run.json")["status"] == "interrupted"


def test_a_broken_audit_stops_before_any_work(tmp_path: Path, stages: Stages) -> None:
    root = runner.execute(config(tmp_path), [])
    stages.ran.clear()
    lines = (root / "audit.jsonl").read_text().splitlines()
    (root / "audit.jsonl").write_text("\n".join(lines[1:]) + "\n")
    with pytest.raises(IntegrityError, match="chain is broken"):
        runner.execute(config(tmp_path), [])
    assert stages.ran == []


def test_a_root_that_cannot_be_made(tmp_path: Path, stages: Stages) -> None:
    (tmp_path / "run").write_text("a file is in the way")
    with pytest.raises(ResourceError, match=r"cannot create .*run: .*Choose another run.root or run.dir"):
        runner.execute(config(tmp_path), [])


def test_a_file_that_may_not_be_read_is_told_as_such():
    told = runner._told(PermissionError(13, "Permission denied", "/data/labels.csv"))
    assert isinstance(told, DataError)
    assert str(told) == "/data/labels.csv: Permission denied. Give this user the right to it, or choose another."
