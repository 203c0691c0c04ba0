"""What terminal and report say of a comparison, word for word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report import bare

from finetune.report import verdict_page, wording


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("tuned", "tuned model"),
        ("majority", "always the commonest answer"),
        ("gpt4o", "gpt4o"),
        ("predictions:old/cnn.jsonl", "old/cnn.jsonl"),
    ],
)
def test_who_is_called_what(name, called):
    assert wording.who(name) == called


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("accuracy", 0.5, f"50.0{bare.NARROW}%"),
        ("accuracy", None, "\u2013"),
        ("auroc", 0.91249, "0.912"),
        ("weighted_kappa", -0.2, "-0.200"),
        ("mean_absolute_error", 3.0, "3.000"),
        ("a_new_share", 1.0, f"100.0{bare.NARROW}%"),
    ],
)
def test_values_in_their_unit(name, value, text):
    assert wording.number(name, value) == text


@pytest.mark.parametrize(
    ("name", "score", "text"),
    [
        ("accuracy", {"low": 0.1, "high": 0.25}, "10.0 to 25.0"),
        ("auroc", {"low": 0.1, "high": 0.25}, "0.100 to 0.250"),
        ("accuracy", {"low": None, "high": 0.25}, ""),
        ("accuracy", {}, ""),
    ],
)
def test_intervals_in_their_unit(name, score, text):
    assert wording.span(name, score) == text


@given(st.floats(-1, 1))
def test_points_keep_the_sign_and_use_no_hyphen(value):
    text = wording.points(value)
    assert text[0] in ("+", bare.MINUS)
    assert "-" not in text
    assert float(text.replace(bare.MINUS, "-")) == pytest.approx(100 * value, abs=0.0501)


@given(st.floats(0, 1))
def test_a_p_value_is_never_said_to_be_zero(p):
    assert wording.p_value(p) != "p = 0.000"
    assert wording.p_value(p).startswith(("p = ", "p < "))


@pytest.mark.parametrize(
    ("text", "raised"), [("", ""), ("iOS", "IOS"), ("\u00e4rger", "\u00c4rger"), ("a b", "A b"), ("12 x", "12 x")]
)
def test_only_the_first_letter_is_raised(text, raised):
    assert wording.capital(text) == raised


@pytest.mark.parametrize(
    ("n", "groups", "text"),
    [
        (1, 1, "1 test image"),
        (1, 0, "1 test image in 0 groups"),
        (1200, 44, "1,200 test images in 44 groups"),
        (10, 1, "10 test images in 1 group"),
    ],
)
def test_what_was_tested(n, groups, text):
    assert wording.tested({"n": n, "groups": groups}) == text


def test_irregular_plurals():
    assert (wording.many(2, "class", "classes"), wording.many(1, "class", "classes")) == ("2 classes", "1 class")


@pytest.mark.parametrize(
    ("low", "high", "discordant", "groups", "said"),
    [
        (0.1, 0.3, 20, 44, "better than its base."),
        (0.1, 0.3, 19, 44, "on too few groups to be sure."),
        (-0.3, -0.1, 2, 44, "worse than its base."),
        (-0.1, 0.1, 40, 44, "is proven."),
        (0.1, 0.3, 6, 100, "better than its base."),
    ],
)
def test_the_headline_of_the_tuning(low, high, discordant, groups, said):
    found = bare.pair(0.1, low, high, groups=groups, discordant_groups=discordant)
    assert wording.headline({"pairs": {"tuned-base": found}}).endswith(said)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.5, -0.4, "It is worse than a linear classifier on the frozen vision tower."),
        (-0.1, 0.1, "It is not proven to be better than a linear classifier on the frozen vision tower."),
    ],
)
def test_a_linear_classifier_that_does_as_well_is_in_the_headline_and_beside_it(low, high, said):
    pairs = {"tuned-base": bare.pair(0.3, 0.2, 0.4), "tuned-linear": bare.pair((low + high) / 2, low, high)}
    found = bare.comparison(pairs=pairs)
    found["models"]["linear"] = {"accuracy": bare.score(0.95)}
    assert wording.headline(found) == f"The tuned model is better than its base. {said}"
    (line,) = wording.beside_linear(found)
    assert line.startswith(
        "The linear classifier reached 95.0\u202f% accuracy, the tuned model 80.0\u202f%. Next: train"
    )
    assert wording.table(found).endswith(f"{said}\n{line}")
    assert line in verdict_page.sentences(bare.facts(comparison=found))
    assert said in verdict_page.title(bare.facts(comparison=found | {"decision": found["decision"] | {"rule": {}}}))


def test_a_tuned_model_above_the_linear_classifier_says_nothing_of_it():
    pairs = {"tuned-base": bare.pair(0.3, 0.2, 0.4), "tuned-linear": bare.pair(0.1, 0.05, 0.2)}
    found = bare.comparison(pairs=pairs)
    assert wording.headline(found) == "The tuned model is better than its base."
    assert wording.beside_linear(found) == wording.beside_linear(bare.comparison()) == []


def test_no_pair_no_headline():
    assert wording.headline({"pairs": {}}) == "Tuned and base model were not both evaluated."


def test_the_summary_by_hand():
    told = wording.summary(bare.comparison())
    assert [line.replace(bare.NARROW, " ") for line in told] == [
        "On 100 test images kept out of training, the tuned model reached 80.0 % accuracy, its base 50.0 %.",
        "The difference of +30.0 points lies between +20.0 and +40.0 with 95 % confidence: of the images on which the "
        "two disagree, 12 went to the tuned model and 5 to the base.",
    ]


def test_the_summary_of_another_names_it():
    first, second = wording.summary(bare.comparison(), "rival")
    assert first.endswith(f"accuracy, rival 70.0{bare.NARROW}%.")
    assert second.endswith("12 went to the tuned model and 5 to rival.")
    assert wording.summary(bare.comparison(), "nobody") == ["100 test images."]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.1, 0.3, "is above that."), (-0.1, 0.3, "is not proven to be above that."), (-0.3, -0.1, "is below that.")],
)
def test_the_summary_says_what_guessing_would_reach(low, high, said):
    found = bare.comparison()
    models = found["models"] | {"majority": {"accuracy": bare.score(0.55)}}
    pairs = found["pairs"] | {"tuned-majority": bare.pair(0.25, low, high)}
    last = wording.summary(bare.comparison(models=models, pairs=pairs))[-1]
    assert last == f"Always giving the commonest answer would reach 55.0{bare.NARROW}%; the tuned model {said}"


def test_columns_in_the_order_of_the_list_then_by_name():
    models = {
        "tuned": {"zeta": bare.score(0.1), "coverage": bare.score(0.9), "accuracy": bare.score(0.8), "macro_f1": None},
        "base": {"alpha": bare.score(0.1), "accuracy": None},
    }
    assert wording.columns({"models": models}) == ["accuracy", "coverage", "alpha", "zeta"]


def test_the_table_of_the_terminal():
    models = {
        "base": {"accuracy": bare.score(0.5), "auroc": None},
        "tuned": {"accuracy": {"value": 0.8, "low": None, "high": None}, "auroc": bare.score(0.9, 0.85, 0.95)},
    }
    pairs = {"tuned-base": bare.pair(0.3, 0.2, 0.4, p=0.00001), "tuned-gpt-4o": bare.pair(-0.1, -0.2, 0.0, b=0)}
    modes = {"base": {"agreement": {"value": 0.75}}}
    told = wording.table(bare.comparison(models=models, pairs=pairs, modes=modes))
    assert told.splitlines() == [
        "100 test images; percent [95 % interval]",
        "",
        "       accuracy           AUROC                 same answer when generated",
        "base   50.0 [40.0, 60.0]                        75.0",
        "tuned  80.0               0.900 [0.850, 0.950]",
        "",
        "tuned - base    accuracy  +30.0 points [+20.0, +40.0]  12 better, 5 worse  p < 0.0001",
        "tuned - gpt-4o  accuracy  -10.0 points [-20.0, +0.0]   0 better, 5 worse   p = 0.143",
        "",
        "The tuned model is better than its base.",
    ]
