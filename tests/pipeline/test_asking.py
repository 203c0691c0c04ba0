"""Asking a real tiny model in a run: how it was asked is on record; adapters from elsewhere need no training."""

import shutil

import built_run
import pytest
import synthetic

from finetune.config.schema import EvaluateConfig
from finetune.errors import ConfigError
from finetune.example import Prediction
from finetune.models import load as models
from finetune.pipeline import evaluate, runner
from finetune.rundir import RunDir, read_json, read_jsonl


def test_how_everyone_was_asked_is_on_record(built):
    run = RunDir(built)
    config = built_run.load(built, "evaluate.models=[base,tuned]")
    evaluate.run(config, run)
    record = read_json(run.eval / "predictions.json")
    base, tuned = (record[who]["asked"]["parts"][0] for who in ("base", "tuned"))
    held_out = len(list(read_jsonl(run.data / "val.jsonl")))
    assert set(base["log_loss"]) == {"score", "score_mean", "score_prior"}
    assert base["mode"] == min(base["log_loss"], key=base["log_loss"].__getitem__)
    assert (tuned["mode"], list(tuned["log_loss"]), tuned["base"]) == ("score", ["score"], "verified")
    assert (tuned["validation"], tuned["batch_size"], tuned["batches"]["answers_equal"]) == (held_out, 4, 4)
    rows = [Prediction(**row) for row in read_jsonl(run.validation("base"))]
    assert len(rows) == held_out > 0
    assert all(sum(row.probabilities.values()) == pytest.approx(1) for row in rows)
    scope = read_json(run.comparison)["decision"]["scope"]
    assert (scope["answering_mode"], scope["dtype"], scope["base"]) == ("score", "float32", "verified")
    assert not (run.eval / "partial").exists()


def test_an_adapter_from_elsewhere_needs_no_training(built):
    """PEFT's files without our record, evaluated by the runner in a run that never trained."""
    foreign = shutil.copytree(built / "train" / "adapter", built.parent / "swift")
    (foreign / models.RECORD).unlink()
    fresh = RunDir(built.parent / "fresh")
    stages = ["stages=[prepare,evaluate,report]", "evaluate.models=[base,tuned]"]
    with pytest.raises(ConfigError, match="evaluate needs train"):
        runner.execute(built_run.load(fresh.root, *stages), ["x"])
    runner.execute(built_run.load(fresh.root, *stages, f"model.adapter={foreign}"), ["x"])
    asked = read_json(fresh.eval / "predictions.json")["tuned"]["asked"]["parts"][0]
    assert asked["base"] == "unverified"
    assert read_json(fresh.comparison)["decision"]["scope"]["base"] == "unverified"
    assert (fresh.report / "report.html").exists()
    own = RunDir(built)
    evaluate.run(built_run.load(built, "evaluate.models=[tuned]"), own)
    pairs = zip(read_jsonl(own.predictions("tuned")), read_jsonl(fresh.predictions("tuned")), strict=True)
    assert all(a["probabilities"] == pytest.approx(b["probabilities"], abs=1e-6) for a, b in pairs)


def test_what_stopped_goes_on_with_what_is_left(tmp_path, monkeypatch):
    """The second call asks only for examples without an answer, and the files are those of one call."""
    chosen, run = synthetic.prepare(tmp_path / "run", parts=5)
    whole, other = synthetic.prepare(tmp_path / "other" / "run", parts=5)
    asked: list[tuple[str, str, int]] = []
    broken = {"left": 25}

    class Failing(synthetic.Scripted):
        def predict_modes(self, examples, images_root, modes, who):
            asked.append((who, examples[0].split if examples else "", len(examples)))
            for rows in super().predict_modes(examples, images_root, modes, who):
                if broken["left"] == 0:
                    raise KeyboardInterrupt
                broken["left"] -= 1
                yield rows

    labels = synthetic.LABELS
    synthetic.script(monkeypatch)
    monkeypatch.setattr(evaluate, "_ask_local", lambda config, run, part, who: Failing(run, labels))
    chosen = synthetic.replace(chosen, evaluate=EvaluateConfig(models=("base", "tuned")))
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(chosen, run)
    assert asked == [("base", "val", 15), ("base", "test", 15)]
    asked.clear()
    broken["left"] = -1
    evaluate.run(chosen, run)
    assert asked == [("base", "test", 5), ("tuned", "val", 15), ("tuned", "test", 15)]
    monkeypatch.setattr(evaluate, "_ask_local", synthetic.ask)
    evaluate.run(synthetic.replace(whole, evaluate=chosen.evaluate), other)
    for who in ("base", "tuned"):
        assert run.predictions(who).read_bytes() == other.predictions(who).read_bytes()
        assert run.validation(who).read_bytes() == other.validation(who).read_bytes()
