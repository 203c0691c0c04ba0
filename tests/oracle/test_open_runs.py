"""`verify` on runs of every task: nothing differs, an altered number is named, the first code is not asked again."""

from dataclasses import asdict, replace
from importlib import import_module

import pytest
import synthetic

import oracle
from finetune import plugins
from finetune.config.schema import Config, DataConfig, EvaluateConfig, TaskConfig, TilesConfig
from finetune.data import example_files, tiles
from finetune.evaluation import verdict
from finetune.evaluation.pairing import Test
from finetune.example import Example, ImageRef, Message
from finetune.rundir import RunDir, read_json, read_jsonl
from finetune.tasks import Judge

DENT = '[{"label": "dent", "box": [100, 100, 200, 200]}]'
SCORED = (
    '[{"label": "dent", "box": [100, 100, 200, 180], "score": 0.9}, '
    '{"label": "pit", "box": [1, 1, 9, 9], "score": 0.4}]'
)
SORRY = "I'm sorry, I can't help with that."
CASES = {
    "tags": (TaskConfig(kind="tags", labels=("dent", "pit")), ['["dent"]', '["dent", "pit"]', "[]"], ["dent", "none"]),
    "detect": (TaskConfig(kind="detect", labels=("dent", "pit")), [DENT, "[]"], [SCORED, SCORED, "?"]),
    "tiles": (TaskConfig(kind="detect", labels=("dent", "pit")), [DENT, "[]"], [DENT, SCORED, "[]", "?"]),
    "extract": (
        TaskConfig(kind="extract", options={"fields": ["lot", "size"]}),
        ['{"lot": "A", "size": 3}', '{"lot": "B", "size": null}'],
        ['{"lot": "a", "size": 3.0}', '{"lot": "B", "size": 4, "more": 1}', "?"],
    ),
    "describe": (
        TaskConfig(kind="describe"),
        ["A dent at the rim.", "Nothing."],
        ["A dent.", "The dent at the rim", ""],
    ),
    "choices": (
        TaskConfig(kind="answer", options={"choices": "listed", "absolute": 0.5, "unit": "mm"}),
        ["yes", "no", "left"],
        ["yes", "left", "It is unclear."],
    ),
    "open": (
        TaskConfig(kind="answer", options={"absolute": 0.5, "unit": "mm"}),
        ["yes", "no", "10 mm", "the liver"],
        ["yes", "1.03 cm", "Liver", "no"],
    ),
    "ordered": (
        TaskConfig(labels=("none", "mild", "severe"), options={"ordered": True}),
        ["none", "mild", "severe"],
        ["mild", "severe", "none", "?"],
    ),
}
METRIC = {
    "tags": ["tag_f1", "jaccard", "exact_set"],
    "detect": ["f1_iou50", "count_error", "map_50"],
    "tiles": ["f1_iou50", "count_error"],
    "extract": ["field_accuracy", "field_f1", "whole_object"],
    "describe": ["token_f1", "rouge_l"],
    "choices": ["closed_accuracy", "exact_match", "token_f1"],
    "open": ["exact_match", "token_f1"],
    "ordered": ["weighted_kappa", "mean_steps_off", "within_one_step"],
}
COUNT = 12


def examples(kind, task, golds):
    found = []
    for number in range(COUNT):
        one = Example(
            f"i{number:02d}",
            (ImageRef(f"{number}.png"),),
            golds[number % len(golds)],
            f"part{number // 2}",
            messages=(Message("user", "Which?"),),
            meta={"listed": "yes|no|left"},
        )
        found += [one] if kind != "tiles" else tiles.pieces(one, (10, 16), TilesConfig(size=10, overlap=4))
    return tuple(found)


def predictions(judge, asked, texts, who):
    """Who says what the texts hold in turn; tuned is right every second time; one refusal, one failure."""
    found = []
    for number, one in enumerate(asked):
        text = one.target if who == "tuned" and number % 2 else texts[number % len(texts)]
        text = SORRY if number == 4 else text
        told = judge.prediction(
            one, text, judge.parse(text, one), image_sha256=f"{number:064x}", seconds=0.5, model=who
        )
        found.append(replace(told, answer=None, outcome="api_error") if number == 7 else told)
    return found


def finished(root, kind):
    """A run of a task as far as `evaluate` writes it."""
    task, golds, texts = CASES[kind]
    evaluate = EvaluateConfig(models=("base", "tuned"), aggregate="nms" if kind == "tiles" else None)
    config = replace(Config(), data=DataConfig(adapter="synthetic"), task=task, evaluate=evaluate)
    config = replace(config, run=replace(config.run, root=str(root), dir=str(root / "run")))
    run, asked = RunDir(root / "run"), examples(kind, task, golds)
    labels = plugins.load("task", task.kind).labels(task, asked)
    run.write_jsonl(run.parts(0)[0].split("test"), map(example_files.to_row, asked))
    run.write_jsonl(run.manifest, [{"id": e.id, "pixels_sha256": f"{n:064x}"} for n, e in enumerate(asked)])
    run.write_json(run.summary, {"labels": labels, "leaks": [{"ids": [asked[0].id]}]})
    run.update_status(schema=1, versions={"finetune": "0.1.0"})
    answers = {who: predictions(Judge(task, labels), asked, texts, who) for who in ("base", "tuned")}
    for who, rows in answers.items():
        run.write_jsonl(run.predictions(who), map(asdict, rows))
    test = Test(labels, asked, ("",) * len(asked), evaluate.decision.metric, None, 0, task.kind)
    verdict.settle(config, run, test, answers, {})
    return config, run


@pytest.fixture(params=CASES)
def case(request, tmp_path, monkeypatch):
    return request.param, *finished(tmp_path, request.param)


def spoil(run, change):
    told = read_json(run.comparison)
    change(told)
    run.write_json(run.comparison, told)


def test_a_run_of_every_task_is_what_its_predictions_give(check, case):
    kind, config, run = case
    checked, found = check(run, config)
    assert found == []
    assert checked > 100
    assert set(METRIC[kind]) <= set(read_json(run.comparison)["models"]["tuned"])


def test_an_altered_score_of_an_open_task_is_named(check, case):
    kind, config, run = case
    for name in METRIC[kind]:
        for part in ("value", "low", "high"):
            before = run.comparison.read_bytes()
            spoil(run, lambda told, name=name, part=part: told["models"]["base"][name].update({part: 0.123456}))
            (line,) = check(run, config)[1]
            assert line.startswith(f"comparison.json models base {name} {part}: is 0.123456, recomputed ")
            run.comparison.write_bytes(before)


def test_the_first_code_is_not_asked_again(case, monkeypatch):
    """Whatever the stage's scores and rules of right would say now, `verify` does not ask them."""

    def refuse(*given, **more):
        raise AssertionError("the first code was asked")

    _, config, run = case
    module = plugins.load("task", config.task.kind)
    for name in ("metrics", "extras", "outcome", "judge", "decides"):
        if name in vars(module):
            monkeypatch.setattr(module, name, refuse)
    for name in ("box_metrics", "box_precision", "fields", "numbers", "labels", "ratio", "tags", "text"):
        scoring = import_module(f"finetune.scoring.{name}")
        for function in [own for own, value in vars(scoring).items() if callable(value) and own.islower()]:
            monkeypatch.setattr(scoring, function, refuse)
    monkeypatch.setattr(tiles, "joined", refuse)
    assert oracle.check(run, config)[1] == []


@pytest.mark.parametrize(("field", "value"), [("outcome", "wrong"), ("answer", "?"), ("text", "!")])
def test_an_altered_row_of_an_open_task_is_named(check, case, field, value):
    _, config, run = case
    rows = list(read_jsonl(run.predictions("tuned")))
    place = next(i for i, row in enumerate(rows) if row["outcome"] == "correct")
    rows[place][field] = value
    run.write_jsonl(run.predictions("tuned"), rows)
    found = check(run, config)[1]
    assert found
    assert all(line.startswith(f"tuned.predictions.jsonl {rows[place]['id']}: ") for line in found)


def test_an_error_of_the_first_code_is_seen(tmp_path, monkeypatch):
    """A stage that counts every tag twice writes numbers that the second code does not give."""
    from finetune.scoring import tags

    before = tags.f1
    monkeypatch.setattr(tags, "f1", lambda golds, answers, groups: replace(before(golds, answers, groups), value=0.99))
    config, run = finished(tmp_path, "tags")
    found = oracle.check(run, config)[1]
    assert {line.partition(": is 0.99")[0] for line in found} >= {"comparison.json models base tag_f1 value"}


@pytest.mark.parametrize("change", [{"answer": "pit"}, {"outcome": "wrong"}, {"gold": "pit"}])
def test_an_altered_row_of_validation_is_named(check, tmp_path, monkeypatch, change):
    config, run = synthetic.evaluated(monkeypatch, tmp_path / "whole", parts=5)
    assert check(run, config)[1] == []
    rows = list(read_jsonl(run.validation("tuned")))
    place = next(i for i, row in enumerate(rows) if row["outcome"] == "correct" and row["gold"] == "good")
    rows[place] |= change
    run.write_jsonl(run.validation("tuned"), rows)
    found = check(run, config)[1]
    assert found
    assert all(line.startswith(f"tuned.validation.predictions.jsonl {rows[place]['id']}: ") for line in found)
