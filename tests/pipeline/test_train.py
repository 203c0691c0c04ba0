import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training import micro, micro_run
from training.micro_run import without_times

from finetune.config.schema import TargetsConfig
from finetune.errors import ConfigError, DataError, IntegrityError, InterruptedRun
from finetune.models import cpu
from finetune.models import load as models
from finetune.pipeline import train as stage
from finetune.rundir import RunDir
from finetune.training import checkpoints
from finetune.training import trainer as sft

LOG_KEYS = ["step", "epoch", "loss", "learning_rate", "grad_norm", "samples_per_s", "peak_memory_mib"]


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return micro.save(tmp_path_factory.mktemp("micro"))


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory) -> RunDir:
    """An uninterrupted training: 10 examples, batch 2 x accumulate 2, so 3 steps an epoch, 9 in all."""
    run = micro_run.prepare(tmp_path_factory.mktemp("whole"))
    files = stage.run(micro_run.config(model), run)
    assert all(path.is_file() for path in files)
    return run


@pytest.fixture
def run(tmp_path) -> RunDir:
    return micro_run.prepare(tmp_path / "run")


def train_until(monkeypatch, config, run, step):
    """Trains until a SIGTERM that arrives while the given step is being computed."""
    original = sft.AnswerTrainer.training_step

    def interrupted(trainer, *args, **kwargs):
        if trainer.state.global_step + 1 == step:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(trainer, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(sft.AnswerTrainer, "training_step", interrupted)
        with pytest.raises(InterruptedRun, match=f"stopped by SIGTERM after step {step} of 9; the state is saved"):
            stage.run(config, run)


def steps(run, name="log"):
    return [line["step"] for line in micro_run.lines(run.train / f"{name}.jsonl")]


def test_the_log_has_one_line_a_step_with_the_promised_keys(whole):
    lines = micro_run.lines(whole.train / "log.jsonl")
    assert [line["step"] for line in lines] == list(range(1, 10))
    assert all(list(line) == LOG_KEYS for line in lines)
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert [line["epoch"] for line in lines][2::3] == [1.0, 2.0, 3.0]


def test_the_adapter_is_the_best_validated_state(whole):
    lines = micro_run.lines(whole.train / "validation.jsonl")
    assert [line["step"] for line in lines] == [3, 6, 9]
    best = max(lines, key=lambda line: (line["value"], line["log_probability"]))
    assert [line["step"] for line in lines if line["best"]][-1] == best["step"]
    _, state = checkpoints.newest(whole.train / "checkpoints")
    assert state.verdict["step"] == best["step"]
    saved = load_file(whole.train / "adapter" / "adapter_model.safetensors")
    expected = {name.replace(".default", ""): value for name, value in state.best.items()}
    assert saved.keys() == expected.keys()
    assert all(torch.equal(saved[name], expected[name]) for name in saved)


def test_the_record_of_the_adapter_names_its_base(whole, model):
    written = json.loads((whole.train / "adapter" / "finetune.json").read_text())
    assert written["family"] == "idefics3"
    assert written["base_sha256"] == models.weight_files.weights_digest(model)
    assert written["image_processor"] == "Idefics3ImageProcessorPil"


@pytest.mark.parametrize("step", [1, 4, 6])
def test_stopped_and_continued_is_uninterrupted_bit_for_bit(model, whole, run, monkeypatch, step):
    """Dropout, shuffling, augmentation and accumulation are on; steps 1 and 4 are in the middle of an epoch."""
    config = micro_run.config(model)
    train_until(monkeypatch, config, run, step)
    assert not (run.train / "adapter").exists()
    stage.run(config, run)
    assert run.status()["resumed_from_step"] == step
    assert micro_run.digests(run.train / "adapter") == micro_run.digests(whole.train / "adapter")
    assert without_times(run) == without_times(whole)
    assert (run.train / "validation.jsonl").read_text() == (whole.train / "validation.jsonl").read_text()


def test_a_resume_of_a_resume(model, whole, run, monkeypatch):
    config = micro_run.config(model)
    for step in (2, 5, 8):
        train_until(monkeypatch, config, run, step)
    stage.run(config, run)
    assert run.status()["resumed_from_step"] == 8
    assert micro_run.digests(run.train / "adapter") == micro_run.digests(whole.train / "adapter")


def test_a_broken_newest_checkpoint_costs_steps_and_nothing_else(model, whole, run, monkeypatch, capsys):
    config = micro_run.config(model)
    train_until(monkeypatch, config, run, 7)
    path = run.train / "checkpoints" / "step-00000007" / "optimiser.pt"
    path.write_bytes(path.read_bytes()[:100])
    stage.run(config, run)
    assert run.status()["resumed_from_step"] == 6
    assert "broken-step-00000007" in capsys.readouterr().err
    assert micro_run.digests(run.train / "adapter") == micro_run.digests(whole.train / "adapter")
    assert steps(run) == list(range(1, 10))


def test_a_run_killed_after_its_last_checkpoint_only_saves_the_adapter(model, whole, tmp_path):
    run = RunDir(Path(shutil.copytree(whole.root, tmp_path / "copy")))
    shutil.rmtree(run.train / "adapter")
    stage.run(micro_run.config(model), run)
    assert micro_run.digests(run.train / "adapter") == micro_run.digests(whole.train / "adapter")
    assert steps(run) == list(range(1, 10))


def test_a_checkpoint_of_other_weights_is_refused(model, run, monkeypatch, tmp_path):
    train_until(monkeypatch, micro_run.config(model), run, 2)
    other = micro.save(tmp_path / "other")
    settings = other / "processor_config.json"
    settings.write_text(settings.read_text() + "\n")
    with pytest.raises(IntegrityError, match="the weights or the processor changed"):
        stage.run(micro_run.config(other), run)


def test_batches_of_one_accumulated_are_one_batch(model, tmp_path):
    settings = {"augment": "none", "epochs": 1.0, "validate": "never"}
    found = []
    for batch_size, accumulate in ((4, 1), (1, 4)):
        run = micro_run.prepare(tmp_path / f"{batch_size}", train=8, val=0)
        config = micro_run.config(model, batch_size=batch_size, accumulate=accumulate, **settings)
        stage.run(replace(config, method=replace(config.method, dropout=0.0)), run)
        found.append(micro_run.lines(run.train / "log.jsonl"))
    together, accumulated = found
    assert [line["loss"] for line in accumulated] == pytest.approx([line["loss"] for line in together], rel=1e-4)
    assert [line["grad_norm"] for line in accumulated] == pytest.approx(
        [line["grad_norm"] for line in together], rel=1e-3
    )


def test_activation_checkpointing_changes_memory_and_not_the_loss(model, tmp_path):
    found = []
    for number, trainer in enumerate(({}, {"activation_checkpointing": True})):
        run = micro_run.prepare(tmp_path / f"{number}", val=0)
        config = micro_run.config(model, epochs=1.0, trainer=trainer)
        stage.run(replace(config, method=replace(config.method, dropout=0.0)), run)
        found.append([line["loss"] for line in micro_run.lines(run.train / "log.jsonl")])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_source_order_without_shuffling_or_validation(model, tmp_path, monkeypatch):
    seen = []
    original = sft.AnswerTrainer.get_batch_samples

    def spy(trainer, *args):
        found = original(trainer, *args)
        seen.extend(trainer._ids)
        return found

    monkeypatch.setattr(sft.AnswerTrainer, "get_batch_samples", spy)
    run = micro_run.prepare(tmp_path, train=5, val=0)
    stage.run(micro_run.config(model, epochs=1.0, shuffle=False, checkpoint="epoch"), run)
    assert seen == ["e0", "e1", "e2", "e3", "e4"]
    assert (run.train / "validation.jsonl").read_text() == ""
    assert (run.train / "adapter" / "adapter_model.safetensors").is_file()


def test_loader_processes_change_nothing(model, whole, run):
    config = micro_run.config(model)
    stage.run(replace(config, hardware=replace(config.hardware, workers=1)), run)
    assert micro_run.digests(run.train / "adapter") == micro_run.digests(whole.train / "adapter")


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_examples(model, run, monkeypatch):
    original = sft.answer_loss

    def poisoned(net, batch, tokens):
        loss = original(net, batch, tokens)
        return loss * float("nan") if poisoned.calls.append(1) or len(poisoned.calls) == 7 else loss

    poisoned.calls = []
    monkeypatch.setattr(sft, "answer_loss", poisoned)
    with pytest.raises(DataError, match=r"the loss of step 4 is not finite; its examples: e\d(, e\d){3}\. Nothing"):
        stage.run(micro_run.config(model), run)
    assert not (run.train / "adapter").exists()
    assert steps(run) == [1, 2, 3]


def test_a_weight_that_is_not_finite_is_never_saved(model, run, monkeypatch):
    original = sft.lora.snapshot

    def poisoned(net):
        values = original(net)
        next(iter(values.values()))[0] = float("inf")
        return values

    monkeypatch.setattr(sft.lora, "snapshot", poisoned)
    with pytest.raises(DataError, match=r"the weight base_model\S+ of step 2 is not finite"):
        stage.run(micro_run.config(model, validate="never"), run)
    assert list((run.train / "checkpoints").iterdir()) == []


def test_a_gradient_that_is_not_finite_stops_the_run(model, run, monkeypatch):
    original = sft.answer_loss

    def poisoned(net, batch, tokens):
        loss = original(net, batch, tokens)
        loss.register_hook(lambda gradient: gradient * float("inf"))
        return loss

    monkeypatch.setattr(sft, "answer_loss", poisoned)
    with pytest.raises(DataError, match="the gradient of step 1 is not finite"):
        stage.run(micro_run.config(model), run)


def test_the_supervised_text_and_the_table_are_printed_before_the_first_step(model, run, capsys):
    stage.run(micro_run.config(model, epochs=0.1), run)
    told = capsys.readouterr().err
    assert "\nprecision: fp32\n" in told
    assert "supervised text: ' no<end_of_utterance>' | ' yes<end_of_utterance>' (9.5% of the tokens)" in told
    assert told.index("supervised text") < told.index("language_model") < told.index("step 1: validation")
    assert json.loads((run.train / "trainable.json").read_text())["language_model"]["trained"] > 0


def test_bf16_keeps_fp32_master_weights(model, run, monkeypatch, capsys):
    monkeypatch.setattr(cpu, "multiplies_bf16", lambda: False)
    stage.run(micro_run.config(model, epochs=1.0, precision="bf16"), run)
    told = "precision: bf16 (this CPU has no instructions for it; train.precision=auto is about ten times as fast)\n"
    assert told in capsys.readouterr().err
    _, state = checkpoints.newest(run.train / "checkpoints")
    assert {value.dtype for value in state.weights.values()} == {torch.float32}
    assert all(line["loss"] > 0 for line in micro_run.lines(run.train / "log.jsonl"))


def test_whole_components_train_resume_and_save(model, run, monkeypatch):
    config = micro_run.config(model)
    method = replace(config.method, dropout=0.0, targets=TargetsConfig("full", "full", "all"))
    config = replace(config, method=method)
    train_until(monkeypatch, config, run, 5)
    stage.run(config, run)
    loaded = models.load(config)
    attached = models.attach(loaded, run.train / "adapter")
    assert any("modules_to_save" in name for name, _ in attached.named_parameters())


def test_folds_train_one_adapter_each(model, tmp_path):
    whole = micro_run.prepare(tmp_path, train=6, val=2)
    for part in whole.parts(2):
        part.data.mkdir()
        for name in ("train", "val"):
            shutil.copy(whole.data / f"{name}.jsonl", part.split(name))
    config = micro_run.config(model, epochs=0.4)
    files = stage.run(replace(config, data=replace(config.data, folds=2)), whole)
    adapters = [path.parent.parent.name for path in files if path.name == "adapter_model.safetensors"]
    assert adapters == ["fold_0", "fold_1"]


def test_a_wrong_trainer_field_is_a_config_error(model, run):
    with pytest.raises(ConfigError, match=r"train.trainer.push_to_hub: cannot be set here"):
        stage.run(micro_run.config(model, trainer={"push_to_hub": True}), run)


def test_nothing_to_train_on_is_an_error(model, tmp_path):
    run = micro_run.prepare(tmp_path, train=0, val=2)
    with pytest.raises(DataError, match=r"train.jsonl holds no example; there is nothing to train on"):
        stage.run(micro_run.config(model), run)


def test_what_the_result_depends_on(model, run):
    config = micro_run.config(model)
    before = stage.reads(config, run)
    assert stage.sources(config) == {}
    assert json.loads(json.dumps(before)) == before
    assert stage.reads(replace(config, seed=4), run) != before
    with (run.data / "train.jsonl").open("a") as handle:
        handle.write("\n")
    assert stage.reads(config, run) != before
