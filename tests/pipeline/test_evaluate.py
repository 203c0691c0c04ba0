"""The evaluate stage on scripted answers: files, reuse, pairing, decision, and once with a real tiny model."""

import json
from dataclasses import replace

import built_run
import pytest
import synthetic
from training import micro

from finetune.config.checks import problems
from finetune.config.schema import Config, DecisionConfig, EvaluateConfig, ModelConfig, TaskConfig
from finetune.errors import ConfigError, DataError, IntegrityError
from finetune.evaluation import comparison
from finetune.images import decode
from finetune.pipeline import evaluate
from finetune.rundir import RunDir, read_json, read_jsonl, sha256_file

KEYS = [
    *("id", "image_sha256", "question", "gold", "text", "answer", "outcome"),
    *("probabilities", "seconds", "model", "parser", "group", "usage", "even_probabilities"),
]


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    synthetic.script(monkeypatch)
    return synthetic.prepare(tmp_path / "run", parts=10)


def test_files_have_the_promised_keys(prepared, capsys):
    chosen, run = prepared
    names = {path.relative_to(run.eval).as_posix() for path in evaluate.run(chosen, run)}
    assert names == {
        *(f"{who}.predictions.jsonl" for who in ("majority", "base", "tuned", "base.generated", "tuned.generated")),
        *("linear.predictions.jsonl", "base.validation.predictions.jsonl", "tuned.validation.predictions.jsonl"),
        *("predictions.json", "metrics.json", "comparison.json", "panels.json", "panels.replies.jsonl"),
    }
    for who in ("base", "tuned", "majority"):
        rows = list(read_jsonl(run.predictions(who)))
        assert [list(row) for row in rows] == [KEYS] * 30
        assert sum(rows[0]["probabilities"].values()) == pytest.approx(1)
    found = read_json(run.comparison)
    assert (found["schema"], found["n"], found["groups"]) == (3, 30, 10)
    who = ("tuned", "linear", "base", "majority")
    assert set(found["pairs"]) == {f"{a}-{b}" for i, a in enumerate(who) for b in who[i + 1 :]}
    pair = found["pairs"]["tuned-base"]
    assert {"metric", "difference", "low", "high", "b", "c", "p", "p_noninferiority"} <= set(pair)
    assert (pair["metric"], pair["p_noninferiority"]) == ("accuracy", None)
    assert set(found["models"]["tuned"]["sensitivity"]) == {"value", "low", "high"}
    assert "tuned - base" in capsys.readouterr().out


def test_numbers_reconcile_with_the_rows(prepared):
    chosen, run = prepared
    evaluate.run(chosen, run)
    found, metrics = read_json(run.comparison), read_json(run.metrics)
    rows = {who: list(read_jsonl(run.predictions(who))) for who in ("base", "tuned", "majority")}
    for who, own in rows.items():
        right = sum(row["outcome"] == "correct" for row in own)
        assert found["models"][who]["accuracy"]["value"] == right / 30
        assert sum(found["outcomes"][who].values()) == 30
        assert found["outcomes"][who]["correct"] == right
        assert sum(map(sum, metrics["models"][who]["confusion"]["rows"])) == 30
    both = list(zip(rows["tuned"], rows["base"], strict=True))
    pair = found["pairs"]["tuned-base"]
    assert pair["b"] == sum(t["outcome"] == "correct" != b["outcome"] for t, b in both)
    assert pair["c"] == sum(b["outcome"] == "correct" != t["outcome"] for t, b in both)
    generated = list(read_jsonl(run.predictions("base", True)))
    same = sum(a["answer"] == b["answer"] for a, b in zip(rows["base"], generated, strict=True))
    assert found["modes"]["base"]["agreement"]["value"] == same / 30
    assert found["modes"]["base"]["outcomes"]["unparsed"] == sum(row["answer"] is None for row in generated) > 0


def test_the_verdict_is_no_verdict_without_a_baseline(prepared):
    chosen, run = prepared
    evaluate.run(chosen, run)
    decision = read_json(run.comparison)["decision"]
    assert decision["verdict"] == "not_enough_evidence"
    assert "No proprietary baseline was evaluated" in decision["reason"]
    assert "only 9 of 10 groups" in decision["reason"] or "groups; below 20" in decision["reason"]
    assert len(decision["rule_sha256"]) == 64
    assert decision["looks"] == 1
    evaluate.run(chosen, run)
    assert read_json(run.comparison)["decision"]["looks"] == 2


def test_balanced_accuracy_may_be_the_primary_metric(prepared):
    chosen, run = prepared
    before = evaluate.reads(chosen, run)
    chosen = replace(chosen, evaluate=EvaluateConfig(decision=DecisionConfig(metric="balanced_accuracy")))
    assert evaluate.reads(chosen, run) != before
    evaluate.run(chosen, run)
    found = read_json(run.comparison)
    models, pair = found["models"], found["pairs"]["tuned-base"]
    assert pair["metric"] == "balanced_accuracy"
    expected = models["tuned"]["balanced_accuracy"]["value"] - models["base"]["balanced_accuracy"]["value"]
    assert pair["difference"] == pytest.approx(expected)


def asked(monkeypatch):
    calls = []

    def ask(config, run, part, who):
        calls.append(list(who))
        return synthetic.ask(config, run, part, who)

    monkeypatch.setattr(evaluate, "_ask_local", ask)
    return calls


def test_predictions_are_reused_when_only_the_comparison_changes(prepared, monkeypatch, capsys):
    chosen, run = prepared
    calls = asked(monkeypatch)
    evaluate.run(chosen, run)
    digest = sha256_file(run.predictions("tuned"))
    evaluate.run(replace(chosen, evaluate=EvaluateConfig(positive="pit")), run)
    assert calls == [["base", "tuned"]]
    assert sha256_file(run.predictions("tuned")) == digest
    assert "predictions of tuned are unchanged and reused" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["task", "adapter", "file"])
def test_predictions_are_made_again_when_they_may_differ(prepared, monkeypatch, change):
    chosen, run = prepared
    calls = asked(monkeypatch)
    evaluate.run(chosen, run)
    if change == "task":
        chosen = replace(chosen, task=replace(chosen.task, synonyms={"pit": ("hole",)}))
    elif change == "adapter":
        run.write_json(run.train / "adapter" / "finetune.json", {"family": "idefics3", "base_sha256": "cd" * 32})
    else:
        run.write_text(run.predictions("tuned"), "")
    evaluate.run(chosen, run)
    assert calls[1] == (["base", "tuned"] if change == "task" else ["tuned"])


def test_edited_images_do_not_pass(prepared):
    chosen, run = prepared
    synthetic.picture("pit", 999).save(run.images / "part003_view1.png")
    with pytest.raises(IntegrityError, match=r"1 test images are not those that prepare read: part003_view1\. Put"):
        evaluate.run(chosen, run)
    assert not run.comparison.exists()


def test_images_prepared_again_are_asked_again(prepared, monkeypatch):
    chosen, run = prepared
    calls = asked(monkeypatch)
    evaluate.run(chosen, run)
    synthetic.picture("pit", 999).save(run.images / "part003_view1.png")
    seen = decode.digest([synthetic.picture("pit", 999)])
    rows = [row | ({"pixels_sha256": seen} if row["id"] == "part003_view1" else {}) for row in read_jsonl(run.manifest)]
    run.write_jsonl(run.manifest, rows)
    evaluate.run(chosen, run)
    assert calls == [["base", "tuned"]] * 2


def test_folds_are_pooled_and_shown_apart(tmp_path, monkeypatch):
    _, run = synthetic.evaluated(monkeypatch, tmp_path / "run", parts=5, folds=3)
    found, metrics = read_json(run.comparison), read_json(run.metrics)
    assert (found["n"], found["groups"], found["folds"]) == (45, 15, 3)
    folds = metrics["models"]["tuned"]["folds"]
    assert [(name, fold["n"], fold["groups"]) for name, fold in folds.items()] == [
        (f"fold_{k}", 15, 5) for k in range(3)
    ]
    total = sum(fold["accuracy"]["value"] * fold["n"] for fold in folds.values())
    assert total == pytest.approx(45 * found["models"]["tuned"]["accuracy"]["value"])


def test_only_the_models_asked_for(prepared):
    chosen, run = prepared
    evaluate.run(replace(chosen, evaluate=EvaluateConfig(models=("majority",))), run)
    found = read_json(run.comparison)
    assert (list(found["models"]), found["pairs"], found["modes"]) == (["majority"], {}, {})


@pytest.mark.parametrize(
    ("models", "message"),
    [
        (("base", "tunned"), "evaluate.models: unknown model 'tunned'. Did you mean 'tuned'?"),
        ((), "evaluate.models: got [], expected at least one, each once"),
        (("base", "base"), "evaluate.models: got [base, base], expected at least one, each once"),
    ],
)
def test_models_are_checked_at_the_door(models, message):
    found = problems(replace(Config(), evaluate=EvaluateConfig(models=models)))
    assert [problem for problem in found if problem.startswith(message)]


def test_an_unknown_positive_label(prepared):
    chosen, run = prepared
    with pytest.raises(ConfigError, match=r"evaluate\.positive: unknown label 'scrach'\. Did you mean 'scratch'"):
        evaluate.run(replace(chosen, evaluate=EvaluateConfig(positive="scrach")), run)


def test_an_empty_test_split(prepared):
    chosen, run = prepared
    run.write_text(run.data / "test.jsonl", "")
    with pytest.raises(DataError, match="the test split is empty"):
        evaluate.run(chosen, run)


def spoiled(rows, how):
    first, second, *rest = rows
    return {
        "twice": [first, first, *rest],
        "missing": [second, *rest],
        "not of this test split": [*rows, replace(first, id="stranger")],
        "another order": [second, first, *rest],
        "gold": [replace(first, gold="pit"), second, *rest],
        "question": [replace(first, question="Really?"), second, *rest],
        "group": [replace(first, group="g"), second, *rest],
        "image_sha256": [replace(first, image_sha256="0" * 64), second, *rest],
    }[how]


@pytest.mark.parametrize(
    "how", ["twice", "missing", "not of this test split", "another order", "gold", "question", "group", "image_sha256"]
)
def test_pairing_cannot_slip(tmp_path, how):
    chosen = synthetic.config(tmp_path)
    _, run = synthetic.prepare(tmp_path / "run", parts=2)
    examples = synthetic.examples(chosen, run, "test", range(2))
    rows = [synthetic.answer(example, synthetic.LABELS, "base", "score", run.data) for example in examples]
    comparison.check_pairing("base", rows, examples, rows)
    with pytest.raises(IntegrityError, match=how) as caught:
        comparison.check_pairing("base", spoiled(rows, how), examples, rows)
    assert how == "another order" or repr(rows[0].id) in str(caught.value) or "stranger" in str(caught.value)


def test_tuned_answers_name_the_adapter(built):
    run = RunDir(built)
    evaluate.run(built_run.load(built, "evaluate.models=[tuned]"), run)
    digest = sha256_file(run.train / "adapter" / "adapter_model.safetensors")
    models = {row["model"] for row in read_jsonl(run.predictions("tuned"))}
    assert [model.rpartition("+")[2] for model in models] == [f"adapter@{digest[:12]}"]


def test_base_alone_on_a_real_model(tmp_path):
    """Through `models.load`, the predictor and both answering modes."""
    chosen, run = synthetic.prepare(tmp_path / "run", parts=5)
    chosen = replace(
        chosen,
        model=ModelConfig(path=str(micro.save(tmp_path / "model"))),
        task=TaskConfig(labels=synthetic.LABELS),
        evaluate=EvaluateConfig(models=("base", "majority"), batch_size=8),
    )
    evaluate.run(chosen, run)
    rows = list(read_jsonl(run.predictions("base")))
    assert len(rows) == 15
    assert rows[0]["model"].startswith("model@")
    assert {row["outcome"] for row in rows} <= {"correct", "wrong"}
    assert len(list(read_jsonl(run.predictions("base", True)))) == 15
    assert json.dumps(read_json(run.comparison)["pairs"]).count("base-majority") == 1
