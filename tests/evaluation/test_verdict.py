import dataclasses

import pytest

from finetune.config.compose import compose
from finetune.errors import ConfigError
from finetune.evaluation import verdict
from finetune.evaluation.pairing import Test
from finetune.example import Example, ImageRef, Prediction

GOLDS = ("yes", "right lung", "no")
EXAMPLES = tuple(Example(str(i), (ImageRef("x.png"),), gold, f"g{i}") for i, gold in enumerate(GOLDS))


def config_of(*overrides):
    return compose(["recipe=defects", "task.labels=[]", "task.synonyms={}", *overrides])


def asked(labels=("yes", "no"), task="answer"):
    return Test(labels, EXAMPLES, ("a", "b", "c"), "accuracy", None, 0, task)


def said(answers):
    return [
        Prediction(
            e.id, "", "q", e.target, a or "", a, "correct" if a == e.target else "wrong", None, 0.0, "m", "p", e.group
        )
        for e, a in zip(EXAMPLES, answers, strict=True)
    ]


def test_open_answers_stay_out_of_the_verdict():
    narrow = verdict.narrowed(config_of("task.kind=answer", "evaluate.decision.margin=0.05"), asked())
    assert [example.id for example in narrow.examples] == ["0", "2"]
    assert narrow.folds == ("a", "c")
    rows = verdict.rows_of(narrow, {"tuned": said(["yes", "lung", "yes"])})
    assert [row.gold for row in rows["tuned"]] == ["yes", "no"]
    assert [row.gold for row in verdict.closed(("yes", "no"), {"tuned": said(["no"] * 3)})["tuned"]] == ["yes", "no"]


def test_open_answers_are_shown_beside_it():
    found = verdict.extras(config_of("task.kind=answer").task, said(["yes", "lung", "yes"]))
    assert set(found) == {"exact_match", "token_f1"}
    assert found["token_f1"]["value"] == pytest.approx(2 / 3)


def test_a_reply_that_never_arrived_is_missing_there_and_no_mistake():
    task = config_of("task.kind=answer").task
    rows = said(["yes", None, "yes"])
    lost = [dataclasses.replace(row, outcome="api_error") if row.answer is None else row for row in rows]
    assert verdict.extras(task, rows)["token_f1"]["value"] == 0
    assert verdict.extras(task, lost) == {}
    free = [dataclasses.replace(row, gold="left lung", answer="left lung") for row in lost[:1]]
    assert verdict.extras(task, [*lost, *free])["token_f1"]["value"] == 1
    nothing = [dataclasses.replace(row, outcome="api_error") for row in rows]
    assert verdict.extras(task, nothing) == {}


def test_a_margin_without_anything_that_decides_is_refused():
    config = config_of("task.kind=describe", "evaluate.decision.margin=0.05")
    with pytest.raises(ConfigError, match=r"no question of this test can carry a verdict \(task\.kind=describe\)"):
        verdict.narrowed(config, asked((), "describe"))
    shown = verdict.narrowed(config_of("task.kind=describe"), asked((), "describe"))
    assert len(shown.examples) == 3


def test_classes_all_decide_and_only_ordered_ones_have_distances():
    labels = ("yes", "right lung", "no")
    config = config_of("task.labels=[yes_,b,c]")
    assert len(verdict.narrowed(config, asked(labels, "classify")).examples) == 3
    assert verdict.extras(config.task, said(GOLDS)) == {}
    task = dataclasses.replace(config.task, labels=labels, options={"ordered": True})
    assert verdict.extras(task, said(["yes", "yes", "no"]))["mean_steps_off"]["value"] == pytest.approx(1 / 3)
