"""The second code by itself: rows against the test, values against files, and formulas against hand-made figures."""

from dataclasses import replace

import numpy as np
import pytest
import synthetic
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import answers, asked, rule

from finetune import stats
from finetune.config import compared_models
from finetune.config.schema import EVALUATED, Config, TaskConfig
from finetune.evaluation import decision_units
from oracle import calibration, compared, differences, formulas
from oracle.rows import Setting, decisive
from oracle.tasks import Reader

TEST = asked(["bad", "good", "bad", "good"])
ROWS = synthetic.rows(answers(TEST, "+-ue"))
READER = Reader(TaskConfig(labels=TEST.labels), TEST.labels)
PIXELS = {row["id"]: row["image_sha256"] for row in ROWS}


def scored(rows, pixels=PIXELS):
    return list(differences._scored("tuned.predictions.jsonl", "test", rows, READER, TEST.examples, pixels))


def altered(place, **change):
    return [row | change if i == place else row for i, row in enumerate(ROWS)]


def test_rows_that_follow_from_their_texts():
    assert scored(ROWS) == []
    assert (
        scored(ROWS, dict.fromkeys(PIXELS)) == []
    )  # `prepare` read headers alone, so there is nothing to hold against


@pytest.mark.parametrize(
    ("place", "change", "told"),
    [
        (0, {"gold": "good"}, "gold is 'good', in the test 'bad'"),
        (0, {"question": "Sure?"}, "question is 'Sure?', in the test 'Which is it?'"),
        (1, {"group": "g0000"}, "group is 'g0000', in the test 'g0001'"),
        (2, {"image_sha256": "f" * 64}, f"image_sha256 is '{'f' * 64}', in the test '{2:064x}'"),
        (0, {"answer": "good"}, "answer is 'good', its text gives 'bad'"),
        (0, {"outcome": "wrong"}, "outcome is 'wrong', its text gives 'correct'"),
        (1, {"outcome": "correct"}, "outcome is 'correct', its text gives 'wrong'"),
        (2, {"outcome": "correct"}, "outcome is 'correct', its text gives 'unparsed'"),
    ],
)
def test_one_altered_field_of_one_row_is_named(place, change, told):
    assert scored(altered(place, **change)) == [f"tuned.predictions.jsonl i{place:04d}: {told}"]


def test_an_altered_text_is_named_with_answer_and_outcome():
    found = scored(altered(0, text="It is good."))
    assert [line.partition(": ")[2] for line in found] == [
        "answer is 'bad', its text gives 'good'",
        "outcome is 'correct', its text gives 'wrong'",
    ]


@pytest.mark.parametrize("outcome", ["refused", "filtered", "api_error", "truncated"])
def test_outcomes_that_only_the_service_knows_are_taken_as_they_are(outcome):
    assert scored(altered(0, outcome=outcome)) == []


@pytest.mark.parametrize(
    "change", [lambda r: r[::-1], lambda r: r[:-1], lambda r: [*r, r[0]], lambda r: [r[0], r[0], *r[2:]], lambda r: []]
)
def test_shuffled_dropped_and_doubled_rows_are_named(change):
    assert scored(change(ROWS)) == ["tuned.predictions.jsonl: its ids are not those of the test split, in order"]


def told(wanted, got):
    return [line for line in differences._compared(wanted, got, "f.json") if line]


@pytest.mark.parametrize(
    ("wanted", "got", "lines"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, []),
        ({"a": 1}, {}, ["f.json a: is missing"]),
        ({"a": {"b": 1}}, {"a": 3}, ["f.json a b: is missing"]),
        ({"a": [1, 2]}, {"a": [1]}, ["f.json a: holds 1 entries, recomputed 2"]),
        ({"a": [1]}, {"a": None}, ["f.json a: holds None entries, recomputed 1"]),
        ({"a": [1, 2]}, {"a": [1, 3]}, ["f.json a[1]: is 3, recomputed 2"]),
        ({"a": True}, {"a": 1}, []),
        ({"a": True}, {"a": False}, ["f.json a: is False, recomputed True"]),
        ({"a": None}, {"a": 0.0}, ["f.json a: is 0.0, recomputed None"]),
        ({"a": 0.0}, {"a": None}, ["f.json a: is None, recomputed 0.0"]),
        ({"a": "keep"}, {"a": "replace"}, ["f.json a: is 'replace', recomputed 'keep'"]),
        ({"a": 0.5}, {"a": 0.5 + 1e-9}, []),
        ({"a": 0.5}, {"a": 0.5000001}, ["f.json a: is 0.5000001, recomputed 0.5"]),
        ({"a": 0.5}, {"a": float("nan")}, ["f.json a: is nan, recomputed 0.5"]),
        ({"temperature": 1.0}, {"temperature": 1.0005}, []),
        ({"temperature": 1.0}, {"temperature": 1.002}, ["f.json temperature: is 1.002, recomputed 1.0"]),
    ],
)
def test_values_against_a_file(wanted, got, lines):
    assert told(wanted, got) == lines


@given(st.integers(1, 9), st.integers(0, 6), st.booleans())
def test_one_changed_digit_of_a_number_is_seen(digit, place, up):
    """Of the first seven decimals, whichever it is."""
    other = 0.5555555 + (1 if up else -1) * digit * 10 ** -(place + 1)
    assert told({"value": 0.5555555}, {"value": other})


def test_looks_are_counted_from_their_history_and_the_rule_comes_from_the_settings():
    setting = Setting((), rule(0.03), "gpt", 0, (), (), "classify")
    decision = {"scope": {"dates": {"evaluated": "2026-12-31"}}, "looks_history": [{"rule_sha256": "a"}] * 2}
    found = differences._ruled(setting, decision, "ab")
    assert (found["looks"], found["rules"], len(found["rule_sha256"])) == (3, 2, 64)
    assert (found["rule"]["decision"]["margin"], found["rule"]["baseline"]) == (0.03, "gpt")
    assert found["expires"] == "2027-06-29"  # 180 days on: 31, 28, 31, 30 and 31 of them before June
    same = decision | {"looks_history": [{"rule_sha256": found["rule_sha256"]}]}
    assert (differences._ruled(setting, same, "")["looks"], differences._ruled(setting, same, "")["rules"]) == (2, 1)


@pytest.mark.parametrize(
    ("got", "lines"),
    [
        ({"n": 3}, []),
        ({"n": 3, "schema": 2, "decision": {"reason": "so", "scope": {"device": {"x": 1}}}}, []),
        ({"n": 3, "extra": {"value": 0.7}}, ["f.json extra value: no prediction gives this value"]),
        ({"n": 3, "decision": {"verdict": "replace"}}, ["f.json decision verdict: no prediction gives this value"]),
        (
            {"n": 3, "list": [1, {"a": 2}]},
            ["f.json list: no prediction gives this value"] * 1 + ["f.json list a: no prediction gives this value"],
        ),
    ],
)
def test_what_no_prediction_gives_is_named_unless_it_is_known_to_be_shown_only(got, lines):
    assert [line for line in differences._held({"n": 3}, got, "f.json") if line] == lines


def test_the_line_of_two_confidences_by_hand():
    """Right 1 of 2 at 0.6 and 3 of 4 at 0.9: the line passes through both, logit(3/4) / (logit(0.9) - logit(0.6))."""
    top, hits = np.array([0.6] * 2 + [0.9] * 4), np.array([1.0, 0, 1, 1, 1, 0])
    slope, intercept = calibration.line(top, hits)
    assert slope == pytest.approx(np.log(3) / (np.log(9) - np.log(1.5)))
    assert (2 / (1 + np.exp(-(intercept + np.log(1.5)))) + 4 / (1 + np.exp(-(intercept + np.log(9))))) == pytest.approx(
        4
    )
    assert calibration.line(np.array([0.6, 0.9]), np.array([0.0, 1])) == (None, None)
    assert calibration.line(top, np.ones(6)) == (None, None)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.34, 0.999), min_size=8, max_size=40), st.integers(0, 2**40 - 1))
def test_the_line_and_the_null_band_are_the_same_by_either_code(top, bits):
    hits = [bool(bits >> i & 1) for i in range(len(top))]
    other, found = stats.slope_intercept(top, hits), calibration.line(np.array(top), np.array(hits, float))
    assert (found == (None, None)) == (other is None)
    assert other is None or found == pytest.approx(other, rel=1e-3, abs=1e-3)
    errors, wanted = calibration._errors(np.array(top), np.array(hits, float), 3), stats.ece(top, hits, seed=3)
    assert errors["ece_null"] == pytest.approx([wanted.null.low, wanted.null.high], abs=1e-9)
    assert errors["ece_debiased"] == pytest.approx(wanted.debiased, abs=1e-9)


def test_items_that_may_carry_a_verdict_or_all_where_none_may():
    questions = Reader(TaskConfig(kind="answer"), ("bad",))
    assert questions.deciding(TEST.examples) == {"i0000", "i0002"}
    assert replace(questions, labels=()).deciding(TEST.examples) == {"i0000", "i0001", "i0002", "i0003"}
    assert Reader(TaskConfig(kind="tags"), ()).deciding(TEST.examples[:2]) == {"i0000", "i0001"}


UNITS = asked(["good", "bad", "good", "good", "good", "good"], ["p", "p", "p", "q", "q", "q"])


@settings(max_examples=60, deadline=None)
@given(
    st.text("+-urfet", min_size=6, max_size=6),
    st.lists(st.floats(0.01, 0.99), min_size=6, max_size=6),
    st.sampled_from(["any", "max", "vote"]),
    st.sampled_from([None, 0.2, 0.5, 0.8]),
)
def test_units_are_the_same_by_either_code(marks, chances, aggregate, threshold):
    evaluate = rule(unit="group", aggregate=aggregate, threshold=threshold)
    rows = answers(UNITS, marks, chances)
    setting = Setting(UNITS.labels, evaluate, None, 0, UNITS.folds, [{}] * 6, "classify")
    own = decision_units.aggregate(decision_units.at_threshold(rows, "bad", threshold), UNITS, evaluate)
    again = decisive("tuned", synthetic.rows(rows), setting)
    assert [(r["gold"], r["answer"], r["outcome"]) for r in again] == [(r.gold, r.answer, r.outcome) for r in own]
    for one, two in zip(own, again, strict=True):
        assert two["probabilities"] == (None if one.probabilities is None else pytest.approx(one.probabilities))


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"), [(44, 50, 0.762, 0.944), (880, 1000, 0.858, 0.899), (0, 0, 0, 1)]
)
def test_wilson_as_published(hits, n, low, high):
    assert formulas.wilson(hits, n) == pytest.approx((low, high), abs=5e-4)


@pytest.mark.parametrize(
    ("b", "c", "p"), [(5, 0, 0.0625), (6, 0, 0.03125), (12, 4, 0.0768), (20, 8, 0.0357), (0, 0, 1)]
)
def test_mcnemar_as_published(b, c, p):
    assert formulas.mcnemar(b, c) == pytest.approx(p, abs=5e-5) == pytest.approx(stats.mcnemar_exact(b, c), abs=5e-5)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(1, 40))
def test_tango_by_either_code(b, c, rest):
    assert formulas.tango(b, c, b + c + rest) == pytest.approx(stats.tango(b, c, b + c + rest), abs=1e-8)


@pytest.mark.parametrize("k", [3, 13, 14, 40])
def test_sign_flips_by_either_code(k):
    """2^13 are counted out, from 14 on 10,000 are drawn: the same ones, whatever is held at a time."""
    sums = np.random.default_rng(k).normal(0.4, 1, k)
    assert formulas.flips(sums, 5) == pytest.approx(stats.sign_flip(sums, 5), abs=1e-12)


def test_sign_flips_do_not_depend_on_how_many_are_held(monkeypatch):
    from finetune.stats import resampling

    sums = np.random.default_rng(0).normal(0.3, 1, 30)
    whole = stats.sign_flip(sums, 1)
    monkeypatch.setattr(resampling, "_AT_ONCE", 7_000)
    assert stats.sign_flip(sums, 1) == whole


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(1e-9, 1.0), min_size=2, max_size=20), st.integers(0, 2**20 - 1))
def test_the_temperature_is_the_same_by_either_code(chances, golds):
    """Also where the model is always right and sure, and every low temperature does as well."""
    logs = np.log(np.clip([[p, 1 - p] for p in chances], 1e-12, 1.0))
    gold = [golds >> i & 1 for i in range(len(chances))]
    assert calibration._temperature(logs, gold) == pytest.approx(stats.fit_temperature(logs, gold), abs=1e-3)


@pytest.mark.parametrize("kind", ["none", "recorded"])
@pytest.mark.parametrize(
    "models", [EVALUATED, ("tuned", "predictions:/a/Site B-2.predictions.jsonl"), ("linear", "gpt")]
)
@pytest.mark.parametrize("primary", [None, "gpt", "predictions:x/OLD.cnn.jsonl"])
@pytest.mark.parametrize("task", ["classify", "tags"])
def test_who_is_compared_is_the_same_by_either_code(kind, models, primary, task):
    config = Config(
        task=TaskConfig(kind=task),
        baseline=replace(Config().baseline, kind=kind, name="gpt"),
        evaluate=rule(models=models, primary_baseline=primary),
    )
    assert compared.names(config) == compared_models.names(config)
    assert compared.replaced(config) == compared_models.replaced(config)
