"""Forgetting and refusals from replies written here; intervals against formulas worked out beside them."""

from math import sqrt

import pytest

from finetune.example import Prediction
from finetune.regressions import general_ability, refusals


def reply(number, answer, outcome="wrong"):
    return Prediction(
        *(f"q{number}", "00", "Is it?", "yes", answer or "Well.", answer, outcome),
        probabilities=None,
        seconds=0.1,
        model="m",
        parser="p",
        group=f"q{number}",
    )


def replies(base, tuned):
    """Outcomes of both models by one letter a question: c(orrect), w(rong), u(nparsed), r(efused)."""
    names = {"c": "correct", "w": "wrong", "u": "unparsed", "r": "refused"}
    made = {"base": base, "tuned": tuned}
    return {
        who: [reply(n, "yes" if kind in "cw" else None, names[kind]) for n, kind in enumerate(kinds)]
        for who, kinds in made.items()
    }


def wilson(hits, n, z=1.959964):
    """Wilson 1927, formula 5."""
    share, scale = hits / n, 1 + z * z / n
    middle, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - half) / scale, (middle + half) / scale


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.2, -0.1, "lower"),
        (0.1, 0.2, "higher"),
        (-0.1, 0.1, "open"),
        (0.0, 0.2, "open"),
        (-0.2, 0.0, "open"),
    ],
)
def test_what_an_interval_says(low, high, said):
    assert general_ability.reading(low, high) == said


def test_a_model_that_forgot():
    """Of 40 questions base has 36 and tuned 6, all of them among the 36."""
    row = general_ability.row("mine", replies("c" * 36 + "w" * 4, "c" * 6 + "w" * 34), {"no image": 2}, ["a.parquet"])
    assert (row["set"], row["n"], row["left_out"], row["files"]) == ("mine", 40, {"no image": 2}, ["a.parquet"])
    assert (row["base"]["value"], row["tuned"]["value"]) == (0.9, 0.15)
    assert (row["base"]["low"], row["base"]["high"]) == pytest.approx(wilson(36, 40), abs=1e-6)
    assert (row["difference"]["difference"], row["difference"]["b"], row["difference"]["c"]) == (
        pytest.approx(-0.75),
        0,
        30,
    )
    assert row["reading"] == "lower"


def test_outcomes_are_counted_whole():
    row = general_ability.row("mine", replies("cwur", "uuuu"), {}, ())
    assert {name: n for name, n in row["outcomes"]["base"].items() if n} == {
        "correct": 1,
        "wrong": 1,
        "unparsed": 1,
        "refused": 1,
    }
    assert row["outcomes"]["tuned"]["unparsed"] == 4
    assert sum(row["outcomes"]["tuned"].values()) == 4


def test_equal_replies_prove_nothing():
    row = general_ability.row("mine", replies("cwcw", "cwcw"), {}, ())
    assert (row["difference"]["difference"], row["reading"]) == (0, "open")
    assert row["difference"]["low"] < 0 < row["difference"]["high"]


def declining(base, tuned):
    """Replies by one letter: d(eclined), l(abel of the run), n(othing understood), r(efused)."""
    said = {"d": refusals.DECLINED, "l": "good", "n": None, "r": None}
    return {
        who: [reply(n, said[kind], "refused" if kind == "r" else "wrong") for n, kind in enumerate(kinds)]
        for who, kinds in (("base", base), ("tuned", tuned))
    }


def test_declining_and_answering_with_a_label_by_hand():
    found = refusals.panel({"blank": declining("dddrn", "dllll")}, [], ("good", "pit"))["unanswerable"]["blank"]
    assert (found["n"], found["base"]["declined"]["value"], found["tuned"]["declined"]["value"]) == (5, 0.8, 0.2)
    assert (found["base"]["own_label"]["value"], found["tuned"]["own_label"]["value"]) == (0.0, 0.8)
    assert found["difference"]["difference"] == pytest.approx(-0.6)
    assert len(found["examples"]) == 3


def test_the_regression_is_proven_when_it_is_large():
    found = refusals.panel({"blank": declining("d" * 20, "l" * 20)}, [], ("good",))["unanswerable"]["blank"]
    assert found["difference"]["reading"] == "lower"


def test_general_sets_are_taken_together():
    told = refusals.panel({}, [replies("cw", "cu"), replies("u", "u")], ())["answerable"]
    assert (told["n"], told["base"]["unanswered"]["value"], told["tuned"]["unanswered"]["value"]) == (
        3,
        pytest.approx(1 / 3),
        pytest.approx(2 / 3),
    )
    assert told["difference"]["difference"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("answerable", [[], [{"base": [], "tuned": []}]])
def test_nothing_asked_is_nothing_said(answerable):
    assert refusals.panel({"blank": {"base": [], "tuned": []}}, answerable, ()) == {
        "unanswerable": {},
        "answerable": None,
    }
