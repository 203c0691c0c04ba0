"""What people do with a finished run: verify it, move it, report it again, ask it about new images."""

import hashlib
import json
import shutil

import pytest
from acceptance import sources

from finetune.cli.main import main
from finetune.models import load as models


def digests(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def without_a_model(monkeypatch):
    """Fails whatever loads weights."""

    def refuse(*arguments, **options):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(models, "load", refuse)


def test_verify_and_one_changed_byte(whole, capsys):
    run, _ = whole
    sources.run("verify", str(run))
    assert "unbroken" in capsys.readouterr().out
    for name in ("train/adapter/adapter_model.safetensors", "data/summary.json", "eval/base.predictions.jsonl"):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
        sources.run("verify", str(run), code=5)
        assert name in capsys.readouterr().err
        (run / name).write_bytes(content)
    sources.run("verify", str(run))


def test_every_table_of_the_report_in_markdown_is_one(whole):
    """A blank line ends a table: what follows it would be text with bars."""
    run, _ = whole
    lines = ["", *(run / "report" / "report.md").read_text(encoding="utf-8").splitlines()]
    starts = [at for at, line in enumerate(lines) if line.startswith("|") and not lines[at - 1].startswith("|")]
    assert len(starts) >= 5
    assert [lines[at] for at in starts if set(lines[at + 1]) != set("|-")] == []
    widths = {at: lines[at].count("|") for at in starts}
    assert [lines[at + 1] for at, bars in widths.items() if lines[at + 1].count("|") != bars] == []


def test_the_same_command_again_does_nothing(whole, capsys, without_a_model):
    run, arguments = whole
    before = digests(run)
    sources.run(*arguments)
    said = capsys.readouterr().err
    for stage in ("prepare", "train", "evaluate", "export"):
        assert f"{stage}: unchanged, skipped" in said
    changed = {name for name, sha in digests(run).items() if before.get(name) != sha}
    assert changed <= {"run.json", "config.yaml", "audit.jsonl", "run.lock", "report/report.html", "report/report.md"}
    sources.run("verify", str(run))


def test_a_moved_run_reports_without_model_or_training(whole, capsys, without_a_model):
    run, arguments = whole
    shutil.rmtree(run / "report")
    sources.run(*arguments, "stages=[report]")
    printed = capsys.readouterr()
    assert (run / "report" / "report.html").is_file()
    assert str(run / "report" / "report.html") in printed.out
    sources.run("verify", str(run))


def test_nothing_in_a_run_names_its_own_place(made):
    """Apart from the configuration, which repeats what was typed, and what shows that configuration."""
    run = made[0]
    repeats = {"run.json", "config.yaml", "report/report.html", "run.lock"}
    found = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()} - repeats
    holding = [name for name in found if str(run).encode() in (run / name).read_bytes()]
    assert holding == []


def test_other_models_reuse_the_predictions_of_base_and_tuned(whole, capsys, without_a_model):
    run, arguments = whole
    before = digests(run / "eval")
    sources.run(*arguments, "stages=[evaluate,report]", "evaluate.models=[base,tuned]")
    said = capsys.readouterr().err
    assert "predictions of base are unchanged and reused" in said
    assert "predictions of tuned are unchanged and reused" in said
    after = digests(run / "eval")
    assert {name for name in before if after[name] != before[name]} == {"comparison.json", "metrics.json"}
    found = sources.document(run / "eval" / "comparison.json")
    assert (set(found["models"]), list(found["pairs"])) == ({"base", "tuned"}, ["tuned-base"])
    assert found["decision"]["looks"] == 2
    without_linear = "evaluate.models=[majority,base,tuned]"  # which is fitted anew, for the other metric
    sources.run(*arguments, "stages=[evaluate,report]", without_linear, "evaluate.decision.metric=balanced_accuracy")
    found = sources.document(run / "eval" / "comparison.json")
    assert (found["pairs"]["tuned-base"]["metric"], found["decision"]["looks"]) == ("balanced_accuracy", 3)


@pytest.mark.parametrize("change", ["train.epochs=2", "seed=4", "method.rank=4", "task.labels=[dark,bright]"])
def test_a_stage_left_out_must_match(whole, capsys, change):
    run, arguments = whole
    before = digests(run / "train")
    sources.run(*arguments, "stages=[evaluate]", change, code=5)
    assert "was made from another configuration" in capsys.readouterr().err
    assert digests(run / "train") == before


def test_a_tampered_record_stops_the_next_command(whole, capsys):
    run, arguments = whole
    entries = (run / "audit.jsonl").read_text().splitlines(keepends=True)
    (run / "audit.jsonl").write_text("".join(entries[:4] + entries[5:]))
    sources.run(*arguments, code=5)
    assert "the chain is broken" in capsys.readouterr().err


def test_an_adapter_of_another_base_is_refused(whole, capsys):
    run, _ = whole
    record = run / "train" / "adapter" / "finetune.json"
    record.write_text(json.dumps(sources.document(record) | {"base_sha256": "0" * 64}))
    sources.run("predict", str(run), "--images", str(run.parent), code=3)  # no image there: told before loading
    sources.folder(run.parent / "new", parts=2)
    sources.run("predict", str(run), "--images", str(run.parent / "new"), code=5)
    assert "finetune.json differs from the record of the run" in capsys.readouterr().err


def test_predictions_on_new_images(whole, tmp_path, capsys):
    run, _ = whole
    new = sources.folder(tmp_path / "new images", parts=3)
    (new / "bright" / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    capsys.readouterr()
    assert main(["predict", str(run), "--images", str(new)]) == 3
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["path"] for row in rows] == [
        str(new / "bright" / "p00_0.png"),
        str(new / "bright" / "p02_0.png"),
        str(new / "dark" / "p01_0.png"),
    ]
    for row in rows:
        assert set(row) == {"path", "text", "answer", "outcome", "probabilities", "seconds"}
        assert set(row["probabilities"]) == {"bright", "dark"}
        assert sum(row["probabilities"].values()) == pytest.approx(1)
    assert f"{new / 'bright' / 'broken.jpg'}: " in printed.err
    assert "1 of 4 files" in printed.err
    sources.run("verify", str(run))


def test_a_prediction_is_what_the_evaluation_said(whole, made, capsys):
    """The same image, asked again through `predict`, gets the recorded probabilities."""
    run, _ = whole
    recorded = sources.lines(run / "eval" / "tuned.predictions.jsonl")[0]
    capsys.readouterr()
    sources.run("predict", str(run), "--images", str(made[0].parent / "images" / "p03_0.png"))
    row = json.loads(capsys.readouterr().out)
    assert row["answer"] == recorded["answer"]
    assert row["probabilities"] == pytest.approx(recorded["probabilities"], abs=1e-4)
