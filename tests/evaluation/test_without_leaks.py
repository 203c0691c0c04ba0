"""Figures without items that may have been seen in training: counted by hand, and by the second code."""

import pytest
import synthetic
from scripted import answers, asked, constant, rule

from finetune.evaluation import without_leaks
from finetune.recompute import headline
from finetune.recompute.differences import _held
from finetune.recompute.rows import Setting

TEST = asked(["bad", "good"] * 20)
LEAKS = [{"ids": ["i0000", "i0001", "of training"]}, {"ids": ["i0002", "i0001"], "kind": "near"}]
ANSWERS = {
    "tuned": answers(TEST, "+++" + "+-" * 18 + "-"),
    "service": answers(TEST, "---" + "+" * 37),
    "majority": constant(TEST, "good"),
}


def found(leaks=LEAKS, evaluate=None):
    return without_leaks.without(TEST, ANSWERS, evaluate or rule(), "service", leaks)


def test_by_hand():
    """Three of 40 are suspects, all of them right for tuned: 18 of the other 37 are right."""
    told = found()
    assert (told["touched"], told["n"], told["groups"]) == (3, 37, 37)
    assert told["models"]["tuned"]["accuracy"]["value"] == pytest.approx(18 / 37)
    assert told["models"]["service"]["accuracy"]["value"] == 1.0
    assert set(told["pairs"]) == {"tuned-service", "tuned-majority"}
    pair = told["pairs"]["tuned-service"]
    assert (pair["b"], pair["c"], pair["n"]) == (0, 19, 37)


@pytest.mark.parametrize(
    ("leaks", "touched", "n"),
    [([], 0, None), ([{"ids": ["elsewhere"]}], 0, None), ([{"ids": [e.id for e in TEST.examples]}], 40, 0)],
)
def test_nothing_to_leave_out_and_nothing_left(leaks, touched, n):
    none = {"touched": touched, "n": n, "groups": None, "models": {}, "pairs": {}}
    assert found(leaks) == none


@pytest.mark.parametrize("evaluate", [rule(), rule(metric="balanced_accuracy"), rule(unit="group", aggregate="any")])
def test_the_second_code_agrees(evaluate, monkeypatch):
    from finetune.recompute import formulas
    from finetune.stats import resampling

    monkeypatch.setattr(resampling, "REPLICATES", 200)
    monkeypatch.setattr(formulas, "REPLICATES", 200)
    own = without_leaks.without(
        asked(["bad", "good"] * 20, metric=evaluate.decision.metric), ANSWERS, evaluate, "service", LEAKS
    )
    setting = Setting(TEST.labels, evaluate, "service", 0, TEST.folds, [{}] * 40, TEST.task)
    rows = {who: synthetic.rows(said) for who, said in ANSWERS.items()}
    wanted = headline.without_suspects(rows, setting, {"i0000", "i0001", "i0002"})
    assert [line for line in _held({"without_suspects": wanted}, {"without_suspects": own}, "c") if line] == []
