import json
import stat

import built_run
import peft
import pytest
import torch
import yaml
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from finetune.data import example_files, source
from finetune.errors import DataError, IntegrityError
from finetune.example import Example
from finetune.images import decode
from finetune.models import load as models
from finetune.models.encoding import Encoder
from finetune.pipeline import export
from finetune.rundir import RunDir, read_json


def inputs(run: RunDir) -> dict[str, torch.Tensor]:
    config = built_run.load(run.root)
    base = models.load(config)
    examples = example_files.read_split(run.parts(0)[0].split("test"))[:3]
    pictures = [[decode.load(source.image_root(config, run), r) for r in e.images] for e in examples]
    return Encoder(base.processor, base.family).prompts(examples, pictures)


def logits(model, batch) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(**batch).logits[:, -1]


def test_adapter_and_merged_load_with_plain_libraries_and_answer_alike(built):
    run = RunDir(built)
    files = export.run(built_run.load(built), run)
    base = AutoModelForImageTextToText.from_pretrained(built.parent / "base", dtype=torch.float32)
    merged = AutoModelForImageTextToText.from_pretrained(built / "export/merged", dtype=torch.float32)
    batch = inputs(run)
    untouched = logits(base, batch)
    adapted = logits(PeftModel.from_pretrained(base, built / "export/adapter"), batch)
    torch.testing.assert_close(logits(merged, batch), adapted, rtol=1e-4, atol=1e-4)
    assert (adapted - untouched).abs().max() > 0.1
    processor = AutoProcessor.from_pretrained(built / "export/merged")
    assert processor.chat_template == AutoProcessor.from_pretrained(built.parent / "base").chat_template
    assert {f.relative_to(built).as_posix() for f in files} >= {
        "export/README.md",
        "export/parity.json",
        "export/adapter/finetune.json",
        "export/adapter/adapter_model.safetensors",
        "export/merged/model.safetensors",
        "export/merged/tokenizer.json",
    }
    assert {stat.S_IMODE(f.stat().st_mode) for f in files} == {0o640}
    assert not list(built.glob("export/.*"))


def test_parity_is_measured_on_the_file_that_is_published(built):
    run = RunDir(built)
    export.run(built_run.load(built), run)
    parity = read_json(built / "export/parity.json")
    n = len(example_files.read_split(run.parts(0)[0].split("test")))
    assert (parity["n"], parity["answers_equal"], parity["dtype"]) == (n, n, "float32")
    assert 0 < parity["max_abs_logit_difference"] < 1e-3 <= parity["tolerance"]
    assert parity["evaluated"] is None


def test_weights_that_answer_otherwise_are_not_published(built, monkeypatch):
    run = RunDir(built)
    export.run(built_run.load(built), run)
    monkeypatch.setattr(peft.LoraModel, "merge_and_unload", lambda model: model.unload())
    with pytest.raises(IntegrityError, match=r"merged weights are not the adapter.*deploy export/adapter") as caught:
        export.run(built_run.load(built), run)
    assert str(built / "export/parity.json") in str(caught.value)
    assert not (built / "export/merged").exists(), "the former one would pass for this one"
    assert read_json(built / "export/parity.json")["max_abs_logit_difference"] > 0.1


def test_logits_are_asked_for_where_answers_stand_alone(built):
    run, config = RunDir(built), built_run.load(built)
    base, root, labels = models.load(config), source.image_root(config, run), example_files.labels(run)
    examples = example_files.read_split(run.parts(0)[0].split("test"))[:3]
    shapes = []

    def seen(model, args, given, output):
        if "pixel_values" in given:
            shapes.append((output.logits.shape[1], given["input_ids"].shape[1]))

    hook = base.model.register_forward_hook(seen, with_kwargs=True)
    found, scores = export._observe(base, config, examples, root, labels)
    hook.remove()
    assert shapes
    assert all(4 * logits < tokens for logits, tokens in shapes), shapes
    pictures = [[decode.load(root, r) for r in e.images] for e in examples]
    batch = Encoder(base.processor, base.family).supervised(examples, pictures)
    wanted = batch.pop("labels")[:, 1:] != -100
    with torch.no_grad():
        whole = base.model.eval()(**batch).logits[:, :-1]
    torch.testing.assert_close(found, whole[wanted], rtol=1e-4, atol=1e-4)
    assert scores.shape == (3, len(labels))


def nudged(monkeypatch, size):
    """Changes the scores of the published weights: the best answer of the adapter loses `size`."""
    observe, seen = export._observe, []

    def scored(*arguments):
        logits, scores = observe(*arguments)
        if seen:
            best = seen[0].argmax(-1, keepdim=True)
            scores = seen[0].scatter_add(-1, best, torch.full(best.shape, -size))
        seen.append(scores)
        return logits, scores

    monkeypatch.setattr(export, "_observe", scored)
    return seen


def test_answers_that_only_rounding_decides_are_ties(built, monkeypatch):
    monkeypatch.setattr(export, "TOLERANCE", {"float32": 1e6})
    seen = nudged(monkeypatch, 100.0)
    export.run(built_run.load(built), RunDir(built))
    parity = read_json(built / "export/parity.json")
    flips = int((seen[0].argmax(-1) != seen[1].argmax(-1)).sum())
    assert flips == parity["n"]
    assert (parity["answers_equal"], parity["answers_tied"]) == (0, flips)
    assert (built / "export/merged/model.safetensors").is_file()


def test_answers_that_flip_against_a_clear_margin_are_not_published(built, monkeypatch):
    seen = nudged(monkeypatch, 100.0)
    with pytest.raises(IntegrityError, match=r"0 of \d+ answers are equal, 0 more were ties"):
        export.run(built_run.load(built), RunDir(built))
    assert float((seen[0][:, 0] - seen[0][:, 1]).abs().min()) > 1e-3
    assert not (built / "export/merged").exists()


def test_weights_that_are_not_finite_are_not_published(built):
    file = built / "train/adapter/adapter_model.safetensors"
    weights = load_file(file)
    next(w for name, w in weights.items() if "lora_B" in name)[0, 0] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(IntegrityError, match=r"not finite, the first is model\.text_model"):
        export.run(built_run.load(built), RunDir(built))
    assert not (built / "export/merged").exists()


def test_answers_are_compared_with_those_of_the_evaluation(built):
    run, config = RunDir(built), built_run.load(built, "method=qlora")
    test = example_files.read_split(run.parts(0)[0].split("test"))
    built_run.evaluated(run, {example.id: "neither" for example in test})
    export.run(config, run)
    assert read_json(built / "export/parity.json")["evaluated"] == {
        "n": len(test),
        "answers_equal": 0,
        "quantise": "nf4",
    }
    card = (built / "export/README.md").read_text(encoding="utf-8")
    assert f"| same answers as in the evaluation | 0 of {len(test)} (made with a 4-bit base; these weights are" in card


def test_folds_have_no_adapter_to_export(built, capsys):
    assert export.run(built_run.load(built, "data.folds=3"), RunDir(built)) == []
    assert "3 folds trained as many adapters" in capsys.readouterr().err
    assert not (built / "export").exists()


def test_nothing_to_compare_on(built):
    (built / "data/test.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(DataError, match="the test split is empty"):
        export.run(built_run.load(built), RunDir(built))


def test_a_changed_adapter_changes_what_the_stage_reads(built):
    run, config = RunDir(built), built_run.load(built)
    before = export.reads(config, run)
    json.dumps(before)
    (built / "train/adapter/finetune.json").write_text("{}", encoding="utf-8")
    after = export.reads(config, run)
    changed = {name for name in before["files"] if before["files"][name] != after["files"][name]}
    assert changed == {"train/adapter/finetune.json"}
    assert export.sources(config) == {}


@pytest.mark.parametrize(("count", "ids"), [(1, [0]), (64, list(range(64))), (130, list(range(0, 128, 2)))])
def test_held_out_examples_are_spread_over_the_split(count, ids):
    test = [Example(str(number), (), "x", "g") for number in range(count)]
    assert [int(example.id) for example in export._held_out(test)] == ids


def test_card_tells_measured_from_configured_and_missing(built):
    run = RunDir(built)
    test = example_files.read_split(run.parts(0)[0].split("test"))
    built_run.evaluated(run, {example.id: example.target for example in test})
    export.run(built_run.load(built), run)
    front, card = (built / "export/README.md").read_text(encoding="utf-8").split("---\n", 2)[1:]
    assert yaml.safe_load(front)["pipeline_tag"] == "image-text-to-text"
    assert "| tuned: accuracy | 0.750 (95 % interval 0.500 to 0.875) | measured |" in card
    assert "| tuned-base: difference in accuracy | 0.250 (95 % interval 0.125 to 0.375) | measured |" in card
    assert "| trained parameters | 20 of 2,000 | measured |" in card
    assert "| optimiser steps | 3 | measured |" in card
    assert "| labels | no defect, scratch | measured |" in card
    groups = ", ".join(f"{name} {count}" for name, count in read_json(run.summary)["groups"].items())
    assert f"| groups by split | {groups} | measured |" in card
    assert "| intended use |  | missing |" in card
    assert "**Draft.** 5 required fields are missing: intended use" in card.splitlines()[3]
