"""The whole panel: asked of a real (random) model once, and scripted for what does not need one."""

import json
from dataclasses import replace

import built_run
import pytest
import synthetic
from regressions.test_benchmark_files import SUITCASE, mmmu, mmstar, question

from finetune import stats
from finetune.baseline import fairness
from finetune.config.schema import BaselineConfig, EvaluateConfig
from finetune.errors import DataError
from finetune.regressions import panel as panels
from finetune.regressions import refusals
from finetune.rundir import RunDir, read_json, read_jsonl


@pytest.fixture
def scripted(tmp_path, monkeypatch):
    synthetic.script(monkeypatch)
    chosen, run = synthetic.prepare(tmp_path / "run", parts=4)
    run.make(run.eval)
    return chosen, run


def test_base_and_tuned_are_asked_and_reused(built, tmp_path, capsys, monkeypatch):
    """With the run's own model, both layouts, questions on its pictures and on blank ones."""
    (tmp_path / "hub").mkdir()
    mmstar(tmp_path / "hub/mmstar.parquet", [{"question": SUITCASE, "answer": "B"}] * 3)
    mmmu(tmp_path / "hub/val.parquet", [question(n) for n in range(2)] + [question(9, answer="?")])
    config, run = built_run.load(built, f"evaluate.general={tmp_path / 'hub'}"), RunDir(built)
    assert panels.write(config, run) == [run.panels, run.panel_replies]
    found = read_json(run.panels)
    rows = list(read_jsonl(run.panel_replies))
    asked = {(row["set"], row["who"]): 0 for row in rows}
    for row in rows:
        asked[row["set"], row["who"]] += 1
    tests = min(refusals.ITEMS, len(list(read_jsonl(run.data / "test.jsonl"))))
    sizes = {"mmmu": 2, "mmstar": 3, "blank": tests, "absent": tests}
    assert asked == {(name, who): n for name, n in sizes.items() for who in ("base", "tuned")}
    assert [(row["set"], row["n"], row["left_out"]) for row in found["general"]] == [
        ("mmmu", 2, {"no answer": 1}),
        ("mmstar", 3, {}),
    ]
    for row in found["general"]:
        for who in ("base", "tuned"):
            right = sum(r["outcome"] == "correct" for r in rows if (r["set"], r["who"]) == (row["set"], who))
            assert row[who]["value"] == right / row["n"]
            assert sum(row["outcomes"][who].values()) == row["n"]
    assert {row["beside"] for row in found["references"]} == {"mmmu"}
    assert {r["model"] for r in rows if r["who"] == "tuned"} != {r["model"] for r in rows if r["who"] == "base"}
    monkeypatch.setattr(panels, "_ask", None)
    before = run.panels.read_bytes()
    panels.write(config, run)
    assert "replies to the general questions are unchanged and reused" in capsys.readouterr().err
    assert run.panels.read_bytes() == before


def test_general_rows_by_hand(scripted):
    chosen, run = scripted
    panels.write(chosen, run)
    found = read_json(run.panels)
    (row,) = found["general"]
    assert (row["set"], row["n"], row["base"]["value"], row["tuned"]["value"]) == ("surfaces", 28, 0.5, 10 / 28)
    # of 0..27 an even number is right for base, a multiple of 3 for tuned: 5 odd multiples, 9 even others
    assert (row["difference"]["b"], row["difference"]["c"]) == (5, 9)
    low, high = stats.tango(5, 9, 28)
    assert (row["difference"]["low"], row["difference"]["high"]) == (pytest.approx(low), pytest.approx(high))
    assert row["reading"] == "open"
    blank = found["refusals"]["unanswerable"]["blank"]
    assert (blank["n"], blank["base"]["declined"]["value"], blank["tuned"]["declined"]["value"]) == (5, 0.6, 0.0)
    assert (blank["base"]["own_label"]["value"], blank["tuned"]["own_label"]["value"]) == (0.0, 1.0)
    assert blank["difference"]["difference"] == pytest.approx(-0.6)
    answerable = found["refusals"]["answerable"]
    assert (answerable["n"], answerable["tuned"]["unanswered"]["value"]) == (28, 0.0)
    assert found["notes"] == []
    json.dumps(found, allow_nan=False)


def test_other_weights_are_asked_again(scripted, monkeypatch):
    chosen, run = scripted
    calls = []
    monkeypatch.setattr(panels, "_ask", lambda config, run: (calls.append(1), synthetic.panel_replies(config, run))[1])
    panels.write(chosen, run)
    panels.write(chosen, run)
    run.write_json(run.train / "adapter" / "finetune.json", {"family": "idefics3", "base_sha256": "cd" * 32})
    panels.write(chosen, run)
    assert len(calls) == 2


@pytest.mark.parametrize("models", [("majority",), ("tuned", "majority")])
def test_without_both_models_there_is_a_note(scripted, models):
    chosen, run = scripted
    chosen = replace(chosen, evaluate=EvaluateConfig(models=models))
    assert panels.write(chosen, run) == [run.panels]
    found = read_json(run.panels)
    assert (found["general"], found["refusals"]) == ([], None)
    assert "evaluate.models does not name both" in found["notes"][0]


def test_a_real_base_without_question_sets_is_told_how(scripted, monkeypatch):
    chosen, run = scripted
    kept = {name: rows for name, rows in synthetic.panel_replies(chosen, run)[1].items() if name != "surfaces"}
    monkeypatch.setattr(panels, "_ask", lambda config, run: ({}, kept))
    panels.write(chosen, run)
    found = read_json(run.panels)
    assert found["refusals"]["answerable"] is None
    assert "evaluate.general names no folder" in found["notes"][0]
    (note,) = panels._notes(replace(chosen, data=replace(chosen.data, folds=2)), {"identity": "x", "general": [1]})
    assert "that of the first fold" in note


def test_a_folder_that_is_missing_is_named(scripted):
    chosen, _ = scripted
    chosen = replace(chosen, evaluate=EvaluateConfig(general="absent"))
    with pytest.raises(DataError, match=r"evaluate\.general=absent is no folder"):
        panels.sources(chosen)
    assert panels.sources(replace(chosen, evaluate=EvaluateConfig())) == {}


def test_own_labels_and_declining_are_told_apart(tmp_path):
    chosen, run = synthetic.prepare(tmp_path / "run", parts=2)
    examples = synthetic.examples(chosen, run, "test", range(2))
    items = refusals.items(examples, ("good", "unknown", "Cannot tell"), tmp_path)
    (blank, absent) = items["blank"][0], items["absent"][1]
    assert blank.choices == ("good", "unknown", "cannot tell")
    assert "unknown" not in blank.synonyms["cannot tell"]
    assert "not visible" in blank.synonyms["cannot tell"]
    assert blank.example.question == f"{examples[0].question} {refusals.HINT}"
    assert (tmp_path / blank.example.images[0].path).is_file()
    assert absent.example.images == examples[1].images[:1]
    assert absent.example.question == f"{refusals.ABSENT[1]} {refusals.HINT}"


def test_the_fairness_of_a_run_reads_what_the_baseline_wrote(tmp_path):
    chosen, run = synthetic.prepare(tmp_path / "run", parts=2)
    chosen = replace(chosen, baseline=BaselineConfig(kind="any_llm", name="rival", model="openai/gpt-4o", max_side=48))
    rows = synthetic.panel_replies(chosen, run)[1]["blank"]["base"]
    unparsed = [*rows, replace(rows[0], answer=None, outcome="unparsed")]
    found = {row["check"]: row for row in fairness.of_run(chosen, run, unparsed, run.data)}
    assert found["pixels"]["detail"] == "The baseline got at most 48 px a side, the tuned model saw 96 px."
    assert found["schema"]["detail"] == "No enum schema of the labels was used, and 1 replies named no single answer."
    about = {"prompt_choice": [], "parameters": {"response_format": {"value": None, "status": "accepted"}}}
    run.write_json(run.eval / "rival.baseline.json", about | {"pixel_policy": {"max_side": None}})
    found = {row["check"]: row["status"] for row in fairness.of_run(chosen, run, unparsed, run.data)}
    assert found == {"pixels": "pass", "prompt": "fail", "snapshot": "pass", "schema": "fail"}
    shaped = [replace(row, text=chosen.task.labels[0]) for row in unparsed]
    found = {row["check"]: row["status"] for row in fairness.of_run(chosen, run, shaped, run.data)}
    assert found["schema"] == "pass"
