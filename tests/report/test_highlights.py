"""Items that stand on the page: the gravest first, each once, with what everyone said."""

import pytest
from report import bare

from finetune.report import highlights

LOST, FELL = "tuned_wrong_baseline_right", "tuned_wrong_base_right"


def said(answer, outcome="wrong"):
    return {"answer": answer, "outcome": outcome}


def picked(tmp_path, regressions=(), suspects=(), count=3, who=("tuned", "rival", "base")):
    metrics = {"models": {}, "suspects": list(suspects), "regressions": [{"id": i, "kind": k} for i, k in regressions]}
    found = bare.facts(tmp_path, metrics=metrics, examples=bare.examples(count))
    for name in who:
        rows = [said("pit"), said(None, "api_error"), said("good", "correct")] * count
        found.run.write_jsonl(found.run.predictions(name), rows[:count])
    return highlights.out(found)


def test_lost_to_the_rival_comes_before_lost_to_the_base(tmp_path):
    found = picked(tmp_path, [("part0", FELL), ("part1", LOST), ("part2", FELL), ("part2", LOST)])
    assert [item.id for item in found.regressions] == ["part2", "part1", "part0"]
    assert found.all_regressions == 3
    assert found.counts == (("tuned wrong where rival was right", 2), ("tuned wrong where base model was right", 2))


def test_items_of_one_kind_stand_in_the_order_of_the_test(tmp_path):
    found = picked(tmp_path, [("part2", FELL), ("part0", FELL)])
    assert [item.index for item in found.regressions] == [0, 2]


def test_what_everyone_said_and_who_was_right(tmp_path):
    found = picked(tmp_path, [("part1", LOST), ("part2", LOST)])
    assert found.regressions[0].said == tuple(
        (who, "no answer (api error)", False) for who in ("tuned", "rival", "base")
    )
    assert found.regressions[1].said[0] == ("tuned", "good", True)
    assert found.regressions[1].gold == "good"


def test_a_model_without_answers_says_nothing(tmp_path):
    found = picked(tmp_path, [("part0", LOST)], who=("tuned",))
    assert [who for who, *_ in found.regressions[0].said] == ["tuned"]


def test_suspects_keep_their_order_and_say_how_sure_the_model_is(tmp_path):
    doubts = [{"id": "part2", "probability": 0.003}, {"id": "part0", "probability": 0.05}]
    found = picked(tmp_path, [("part0", LOST)], doubts)
    assert [item.id for item in found.suspects] == ["part2", "part0"]
    assert found.suspects[0].note == f"the tuned model gives this label 0.3{bare.NARROW}%"
    assert [item.twice for item in found.suspects] == [False, True]
    assert found.ids == ("part0", "part2", "part0")


def test_a_regression_that_is_not_on_the_page_holds_no_picture_for_a_suspect(tmp_path):
    """25 regressions, 24 shown: the 25th is a suspect too, and has to bring its own picture."""
    count = highlights.MOST_REGRESSIONS + 1
    every = [(f"part{n}", LOST) for n in range(count)]
    found = picked(tmp_path, every, [{"id": f"part{count - 1}", "probability": 0.1}], count)
    assert (len(found.regressions), found.all_regressions) == (24, 25)
    assert found.suspects[0].twice is False


def test_there_are_at_most_twelve_suspects_on_the_page(tmp_path):
    found = picked(tmp_path, (), [{"id": f"part{n}", "probability": 0.1} for n in range(20)], 20)
    assert (len(found.suspects), found.doubted) == (12, 20)


@pytest.mark.parametrize(("answer", "shown"), [("x" * 500, "x" * 120), ("pit", "pit")])
def test_long_answers_are_cut(answer, shown):
    assert highlights._answer(said(answer)) == shown


def test_nothing_to_single_out(tmp_path):
    found = picked(tmp_path)
    assert (found.regressions, found.suspects, found.ids) == ((), (), ())
