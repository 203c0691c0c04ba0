"""What was tested and how it was made: from the files alone, shortened without losing what identifies it."""

from dataclasses import replace

import pytest
from report import bare

from finetune.config.schema import BaselineConfig, TargetsConfig
from finetune.report import provenance


def said(tmp_path, rows, who="tuned", audit=False):
    found = bare.facts(tmp_path)
    path = found.run.write_jsonl(found.run.predictions(who), rows)
    if audit:
        found.run.record([path])
    return provenance.models(found)


def row(model="m1", parser="classify-3", probabilities=None):
    return {"model": model, "parser": parser, "probabilities": probabilities}


@pytest.mark.parametrize(
    ("scores", "mode"),
    [
        ([{"good": 1.0}, {"good": 1.0}], "labels scored"),
        ([None, None], "reply written"),
        ([{"good": 1.0}, None], "both"),
    ],
)
def test_the_answering_mode_is_read_from_the_answers(tmp_path, scores, mode):
    (found,) = said(tmp_path, [row(probabilities=one) for one in scores])
    assert (found["who"], found["mode"], found["sha256"]) == ("tuned", mode, "")


def test_every_model_that_answered_is_named_and_digested(tmp_path):
    (found,) = said(tmp_path, [row("b"), row("a"), row("b")], audit=True)
    assert found["model"] == "a, b"
    assert len(found["sha256"]) == 64


def test_a_model_without_answers_is_left_out(tmp_path):
    assert said(tmp_path, [], "rival") == []


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b", "c"], "a, b, c"),
        (["a", "b", "c", "d"], "a, b and 2 more"),
        (list("abcdefg"), "a, b and 5 more"),
    ],
)
def test_many_names_are_counted(names, text):
    assert provenance.some(names) == text


def test_the_commonest_questions():
    asked = [*bare.examples(3, "Q1"), *bare.examples(5, "Q2"), *bare.examples(1, "Q3"), *bare.examples(1, "Q4")]
    found = bare.facts(examples=tuple(asked))
    assert provenance.questions(found) == [("Q2", 5), ("Q1", 3), ("Q3", 1)]
    assert provenance.asked_differently(found) == 4


def packed(tmp_path, told=None, pack=None, **settings):
    """The baseline's lines where the run holds `told` and the pack's folder `pack`."""
    given = {"kind": "recorded", "name": "rival"} | settings
    if pack is not None:
        given["path"] = str(tmp_path / "pack")
    found = bare.facts(tmp_path / "run", config=replace(bare.config(), baseline=BaselineConfig(**given)))
    if told is not None:
        found.run.write_json(found.run.eval / "rival.baseline.json", told)
    if pack is not None:
        found.run.write_json(tmp_path / "pack" / "pack.json", pack)
    return provenance.pack(found)


def test_what_a_pack_says(tmp_path):
    told = {
        "provider": "openai",
        "model_returned": ["m-1", "m-2"],
        "recorded_to": "2026-05-01",
        "recorded_by": None,
        "parameters": {"temperature": {"value": 0, "status": "accepted"}},
        "pixel_policy": {"max_side": None, "format": "png", "jpeg_quality": 95},
        "secret": "not shown",
    }
    assert packed(tmp_path, told, max_side=512) == [
        ("Provider", "openai"),
        ("Model returned", "m-1, m-2"),
        ("Recorded to", "2026-05-01"),
        ("Parameters", "temperature value 0; status accepted"),
        ("Pictures sent", "format png; jpeg quality 95"),
        ("Largest side of the pictures sent", "512 px"),
    ]


def test_the_run_knows_better_than_the_pack(tmp_path):
    lines = dict(packed(tmp_path, {"provider": "of the run"}, {"provider": "of the pack"}))
    assert lines["Provider"] == "of the run"


def test_the_pack_is_asked_where_the_run_says_nothing(tmp_path):
    assert dict(packed(tmp_path, None, {"provider": "of the pack"}))["Provider"] == "of the pack"


def test_a_baseline_that_says_nothing_is_what_the_configuration_says(tmp_path):
    assert packed(tmp_path, kind="any_llm", model="openai/gpt-4o") == [
        ("Kind", "any_llm"),
        ("Model", "openai/gpt-4o"),
        ("Largest side of the pictures sent", "as they are"),
    ]
    assert packed(tmp_path, kind="none") == []


def test_how_the_model_was_made(tmp_path):
    found = bare.facts(tmp_path)
    method = replace(found.config.method, rank=8, alpha=16.0, quantise="nf4")
    train = replace(found.config.train, epochs=2.5, batch_size=4, accumulate=8, learning_rate=0.0001)
    found = replace(found, config=replace(found.config, method=method, train=train, seed=7))
    found.run.write_json(found.parts[0].adapter / "finetune.json", {"base_sha256": "cd" * 32})
    told = dict(provenance.made(found))
    assert told["Run"] == f"{tmp_path.name}, started 2026-11-02T08:00:00Z, seed 7"
    assert told["Adaptation"].startswith("LoRA rank 8, alpha 16, base weights in nf4; ")
    whole = replace(method, quantise="none", targets=TargetsConfig("full", "none", "full"))
    trained = replace(found, config=replace(found.config, method=whole))
    assert dict(provenance.made(trained))["Adaptation"].startswith("whole weights, no LoRA; vision tower full, ")
    assert told["Training"].startswith("2.5 epochs, batch 4 x 8, learning rate 0.0001, precision ")
    assert told["Versions"] == "torch 2.14.1"
    assert told["Commit"] == "not recorded"
    assert told["Base sha256"] == "cd" * 32
    assert "sha256 of data/manifest.jsonl" not in told


def test_the_manifest_is_named_by_its_digest(tmp_path):
    found = bare.facts(tmp_path)
    found.run.record([found.run.write_jsonl(found.run.manifest, [{"id": "a"}])])
    assert len(dict(provenance.made(found))["sha256 of data/manifest.jsonl"]) == 64


def logged(found, part, steps, best=None):
    found.run.write_jsonl(part.train / "log.jsonl", [{"step": n, "loss": 1.0} for n in range(1, steps + 1)])
    rows = [{"step": n, "value": n / 10, "metric": "macro_f1", "best": n == best} for n in range(1, steps + 1)]
    found.run.write_jsonl(part.train / "validation.jsonl", rows)


def test_curves_of_one_training_mark_the_best(tmp_path):
    found = bare.facts(tmp_path)
    logged(found, found.parts[0], 4, best=3)
    loss, validation = provenance.curves(found.parts)
    assert (loss.title, [name for name, _ in loss.lines]) == ("Training loss, smoothed", ["training"])
    assert validation.title == "Validation macro-F1, %"
    assert [text for *_, text in validation.markers] == ["30"]


def test_curves_of_folds_mark_none(tmp_path):
    found = bare.facts(tmp_path)
    parts = tuple(found.run.parts(2))
    for part in parts:
        logged(found, part, 3, best=2)
    loss, validation = provenance.curves(parts)
    assert [name for name, _ in loss.lines] == ["fold 0", "fold 1"]
    assert validation.markers == ()


def test_without_logs_there_are_no_curves(tmp_path):
    assert provenance.curves(bare.facts(tmp_path).parts) == []


def test_reasons_for_rows_set_aside_are_counted(tmp_path):
    found = bare.facts(tmp_path)
    reasons = ["is empty", "is no image", "is empty", *(f"r{n}" for n in range(9))]
    found.run.write_jsonl(found.run.quarantine, [{"reason": reason} for reason in reasons])
    rows = provenance.quarantined(found)
    assert rows[:2] == [("is empty", 2), ("is no image", 1)]
    assert len(rows) == 8
    assert provenance.quarantined(bare.facts(tmp_path / "other")) == []


def test_components_leave_out_what_is_no_table(tmp_path):
    found = bare.facts(tmp_path)
    table = {"modules": 3, "parameters": 100, "trained": 10}
    found.run.write_json(found.parts[0].train / "trainable.json", {"projector": table, "schema": 1})
    assert provenance.components(found) == {"projector": table}


def test_the_class_balance_by_split():
    data = bare.summary(
        balance={"train": {"good": 1200}, "fold_0_test": {"good": 3, "pit": 4}},
        by_split={"train": 1200, "fold_0_test": 7},
        groups={"train": 300, "fold_0_test": 2},
    )
    head, rows = provenance.split_table(data)
    assert head == ["", "good", "pit", "images", "groups"]
    assert rows == [["train", "1,200", "0", "1,200", "300"], ["fold 0 test", "3", "4", "7", "2"]]
