import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from training import micro_run

from finetune import tracking
from finetune.config.schema import Config, DataConfig, ReportConfig, TrackingConfig
from finetune.egress import sealed_environment
from finetune.pipeline import runner
from finetune.tracking import tensorboard

CANARY = "canary-5f1c"


@pytest.fixture
def run(tmp_path):
    """A run with two steps, one validation and a comparison."""
    run = micro_run.prepare(tmp_path / "run7", train=2, val=2)
    steps = [{"loss": 2.5, "learning_rate": 0.1, "grad_norm": 1.0, "samples_per_s": 3.0, "peak_memory_mib": 9.0}]
    run.write_jsonl(run.train / "log.jsonl", [{"step": 1, **steps[0]}, {"step": 2, **steps[0], "loss": 1.25}])
    run.write_jsonl(run.train / "validation.jsonl", [{"step": 2, "value": 0.5, "log_probability": -0.7}])
    score = {"value": 0.75, "low": 0.5, "high": 0.9}
    run.write_json(run.comparison, {"models": {"tuned": {"accuracy": score, "n": 4}}})
    return run


def config(kind="tensorboard", **report):
    data = DataConfig(adapter="synthetic", options={"seed": 1}, path=CANARY)
    return Config(data=data, tracking=TrackingConfig(kind=kind), report=ReportConfig(**report))


def test_curves_comparison_and_pictures_are_all_that_is_shown(run):
    shown = tracking.collected(config(), run)
    assert ("log/loss", 2, 1.25) in shown.curves
    assert ("validation/value", 2, 0.5) in shown.curves
    assert len(shown.curves) == 2 * 5 + 2
    assert shown.table == (("tuned", "accuracy", 0.75, 0.5, 0.9),)
    assert [caption for caption, _ in shown.pictures] == ["no", "yes"]


@pytest.mark.parametrize("kept", ["none", "blurred"])
def test_pictures_are_left_out_where_the_report_may_not_show_them(run, kept):
    assert tracking.collected(config(pictures=kept), run).pictures == ()
    restricted = replace(config(), data=DataConfig(adapter="synthetic", sensitivity="restricted"))
    assert tracking.collected(restricted, run).pictures == ()


def test_a_run_without_files_shows_nothing(tmp_path):
    from finetune.rundir import RunDir

    shown = tracking.collected(config(pictures="none"), RunDir(tmp_path / "new"))
    assert (shown.curves, shown.table, shown.pictures) == ((), (), ())


def test_no_tracker_writes_nothing(run):
    assert tracking.send(config("none"), run) is None
    assert not (run.root / "tracking").exists()


def test_a_tracker_that_fails_is_noted_and_ends_no_run(run, monkeypatch, capsys):
    def broken(*_):
        raise OSError("quota")

    monkeypatch.setattr(tensorboard, "write", broken)
    assert tracking.send(config(), run) == {"kind": "tensorboard", "error": "OSError: quota"}
    assert "tracking: tensorboard failed (quota)" in capsys.readouterr().err
    runner._end(config(), run, "done", None)
    assert (run.status()["status"], run.status()["tracking"]["error"]) == ("done", "OSError: quota")


def written(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


@pytest.mark.slow
def test_tensorboard_reads_what_was_written(run):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for _ in range(2):  # written anew, not appended
        assert tracking.send(config(), run) == {"kind": "tensorboard", "error": None}
    folder = run.root / "tracking" / "tensorboard"
    events = EventAccumulator(str(folder)).Reload()
    assert [(event.step, event.value) for event in events.Scalars("log/loss")] == [(1, 2.5), (2, 1.25)]
    assert b"tuned" in events.Tensors("comparison/text_summary")[0].tensor_proto.string_val[0]
    assert events.Images("pictures/0 no")[0].width == 32
    assert CANARY.encode() not in written(folder)


@pytest.mark.slow
def test_wandb_writes_an_offline_folder_without_the_configuration(run, monkeypatch):
    for name, value in sealed_environment("allow", {}).items():  # without it wandb calls home, offline or not
        monkeypatch.setenv(name, value)
    assert tracking.send(config("wandb"), run) == {"kind": "wandb", "error": None}
    assert not any("Otel" in thread.name for thread in threading.enumerate())  # which calls home, offline or not
    folder = run.root / "tracking" / "wandb"
    (offline,) = folder.glob("wandb/offline-run-*")
    tables = [json.loads(path.read_text()) for path in offline.rglob("*.table.json")]
    assert tables == [{"columns": list(tracking.COLUMNS), "data": [["tuned", "accuracy", 0.75, 0.5, 0.9]]}]
    assert len(list(offline.rglob("media/images/**/*.png"))) == 2
    assert np.isfinite(sum(path.stat().st_size for path in offline.glob("*.wandb")))
    assert CANARY.encode() not in written(folder)
