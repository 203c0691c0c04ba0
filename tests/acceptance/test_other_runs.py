"""Whole runs that are not the plain one: folds, 4-bit, labels that attack, an interruption, a busy directory."""

import html.parser
import json
import os
import signal
import subprocess
import sys

import pytest
from acceptance import sources
from acceptance.conftest import command

from finetune.training import trainer as sft


def test_folds_test_every_image_once_and_export_nothing(tmp_path, base, capsys):
    found = sources.rows(tmp_path, parts=12)
    source = [*sources.table(tmp_path, found), "data.group=part", "data.folds=2", "data.split.val=0"]
    arguments = command(source, base, tmp_path / "run")
    sources.run(*arguments, "train.epochs=3")  # the first step, at the foot of the warm-up, changes nothing
    said = capsys.readouterr().err
    assert "export: 2 folds trained as many adapters" in said
    run = tmp_path / "run"
    tested = [row["id"] for k in (0, 1) for row in sources.lines(run / "data" / f"fold_{k}" / "test.jsonl")]
    assert sorted(tested) == sorted(f"images/{row['image']}#1" for row in found)
    for who in ("base", "tuned", "majority"):
        assert [row["id"] for row in sources.lines(run / "eval" / f"{who}.predictions.jsonl")] == tested
    comparison = sources.document(run / "eval" / "comparison.json")
    assert (comparison["n"], comparison["groups"], comparison["folds"]) == (12, 12, 2)
    adapters = [(run / "train" / f"fold_{k}" / "adapter" / "adapter_model.safetensors").read_bytes() for k in (0, 1)]
    assert adapters[0] != adapters[1]
    assert not (run / "export" / "merged").exists()
    sources.run("verify", str(run))
    sources.run("predict", str(run), "--images", str(tmp_path / "images"), code=2)
    assert "trained 2 adapters, one a fold" in capsys.readouterr().err


@pytest.mark.slow
def test_four_bits(tmp_path, capsys):
    """With the embedded model: a block of 4-bit weights is wider than the micro model."""
    source = sources.table(tmp_path, sources.rows(tmp_path, parts=15))
    options = ["method=qlora", "data.split.column=split", "train.epochs=1", "hardware.device=cpu"]
    sources.run(*source, *options, f"run.dir={tmp_path / 'run'}", f"run.root={tmp_path}")
    run = tmp_path / "run"
    components = sources.document(run / "train" / "trainable.json")
    # Vision, projector and head stay as they were.
    assert {name: row["quantised"] > 0 for name, row in components.items()} == {
        "vision_tower": False,
        "projector": False,
        "language_model": True,
        "head": False,
    }
    parity = sources.document(run / "export" / "parity.json")
    assert parity["answers_equal"] == parity["n"] == 6
    assert parity["evaluated"]["quantise"] == "nf4"
    sources.run("verify", str(run))
    capsys.readouterr()
    sources.run("predict", str(run), "--images", str(tmp_path / "images" / "p03_0.png"))
    assert json.loads(capsys.readouterr().out)["answer"] in sources.LABELS


ATTACKS = ("<image>", "=cmd('x')|a", "</script><script>alert(1)</script>", "<end_of_utterance>")


class Page(html.parser.HTMLParser):
    """Counts elements and gathers attributes that could run something."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.active: list[tuple[str, str]] = []
        self.items = ""

    def handle_starttag(self, tag, attributes):
        self.elements.append(tag)
        self.active += [(tag, name) for name, _ in attributes if name.startswith("on")]
        self.active += [(tag, name) for name, value in attributes if str(value).startswith("javascript:")]

    def handle_data(self, data):
        if self.elements and self.elements[-1] == "script" and data.startswith('{"items":'):
            self.items = data


def test_labels_that_look_like_tokens_markup_and_formulas(tmp_path, base):
    found = sources.rows(tmp_path, parts=20)
    for number, row in enumerate(found):
        row |= {"label": ATTACKS[number % 4], "split": "test" if number % 8 < 4 else "train"}
    source = [*sources.table(tmp_path, found, "jsonl"), "data.split.column=split", "data.split.val=0"]
    run = tmp_path / "run"
    sources.run(*command(source, base, run))
    page = Page()
    page.feed((run / "report" / "report.html").read_text(encoding="utf-8"))
    assert page.elements.count("script") == 2  # the items and our own
    assert page.active == []
    assert {item["gold"] for item in json.loads(page.items)["items"]} == set(ATTACKS)
    for path in (run / "report" / "report.md", run / "export" / "README.md"):
        assert "<script" not in path.read_text(encoding="utf-8").replace("\\<", "")
    rows = sources.lines(run / "eval" / "tuned.predictions.jsonl")
    assert {label for row in rows for label in row["probabilities"]} == set(ATTACKS)
    assert sources.document(run / "data" / "summary.json")["labels"] == sorted(ATTACKS)


def steps(run):
    return [
        {key: value for key, value in row.items() if key not in ("samples_per_s", "peak_memory_mib")}
        for row in sources.lines(run / "train" / "log.jsonl")
    ]


def test_interrupted_and_continued_by_the_same_command(made, whole, monkeypatch, capsys):
    """SIGTERM while step 2 of 3 is computed; the end is that of the run that was never interrupted."""
    original = sft.AnswerTrainer.training_step

    def interrupted(trainer, *arguments, **options):
        if trainer.state.global_step == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(trainer, *arguments, **options)

    run, arguments = whole
    fresh = [*arguments, f"run.dir={run.parent / 'again'}"]
    with monkeypatch.context() as patched:
        patched.setattr(sft.AnswerTrainer, "training_step", interrupted)
        sources.run(*fresh, code=75)
    run = run.parent / "again"
    status = sources.document(run / "run.json")
    assert (status["status"], status["error"]["exit_code"]) == ("interrupted", 75)
    assert not (run / "train" / "adapter").exists()
    capsys.readouterr()
    sources.run(*fresh)
    assert "prepare: unchanged, skipped" in capsys.readouterr().err
    assert sources.document(run / "run.json")["resumed_from_step"] == 2
    name = "train/adapter/adapter_model.safetensors"
    assert (run / name).read_bytes() == (made[0] / name).read_bytes()
    assert steps(run) == steps(made[0])
    for name in ("base.predictions.jsonl", "tuned.predictions.jsonl"):
        pairs = zip(sources.lines(run / "eval" / name), sources.lines(made[0] / "eval" / name), strict=True)
        assert all(row | {"seconds": 0} == other | {"seconds": 0} for row, other in pairs)
    sources.run("verify", str(run))


HOLDER = """
import fcntl, sys
handle = open(sys.argv[1], "a+")
fcntl.lockf(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_directory_that_another_process_holds(whole, capsys):
    run, arguments = whole
    before = (run / "run.json").read_bytes()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run / "run.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            sources.run(*arguments, code=7)
        finally:
            holder.stdin.close()
    assert f"{run} is in use by another run (pid {os.getpid()} on " in capsys.readouterr().err
    assert (run / "run.json").read_bytes() == before
    sources.run(*arguments, "stages=[report]")


@pytest.mark.slow
def test_the_default_model_on_a_folder(tmp_path, capsys):
    """No `model.path`: the embedded model, through every stage."""
    source = sources.folder(tmp_path / "source", views=2)
    options = ["hardware.device=cpu", "train.epochs=1", "data.split.test=0.3", "data.group='regex:p[0-9]+'"]
    sources.run(f"data.path={source}", f"run.dir={tmp_path / 'run'}", f"run.root={tmp_path}", *options)
    comparison = sources.document(tmp_path / "run" / "eval" / "comparison.json")
    assert comparison["n"] == 2 * comparison["groups"]
    assert sources.document(tmp_path / "run" / "export" / "parity.json")["answers_equal"] == comparison["n"]
    sources.run("verify", str(tmp_path / "run"))
