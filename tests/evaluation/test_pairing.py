"""Two models side by side: every slip is caught and named, and what counts for a metric is counted by hand."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import OUTCOMES, answers, asked

from finetune.errors import IntegrityError
from finetune.evaluation import pairing

TEST = asked(["bad", "good", "bad", "good", "good"], ["p", "p", "q", "q", "q"])
ROWS = answers(TEST, "++-+u")


def check(rows, twin=ROWS):
    pairing.check_pairing("tuned", rows, TEST.examples, twin)


def test_the_right_rows_are_let_through():
    check(ROWS)
    check(answers(TEST, "-----"))  # other answers to the same questions


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[::-1], "predictions of tuned are in another order than the test split"),
        (lambda rows: [rows[1], rows[0], *rows[2:]], "in another order"),
        (lambda rows: rows[:-1], "1 ids missing: 'i0004'"),
        (lambda rows: rows[:2], "3 ids missing: 'i0002', 'i0003', 'i0004'"),
        (lambda rows: [*rows, rows[3]], "1 ids twice: 'i0003'"),
        (lambda rows: [*rows[:4], rows[3]], "1 ids twice: 'i0003'"),
        (lambda rows: [*rows, replace(rows[0], id="i9")], "1 ids not of this test split: 'i9'"),
        (lambda rows: [], "5 ids missing: 'i0000', 'i0001', 'i0002', 'i0003', 'i0004'"),
    ],
)
def test_shuffled_dropped_and_doubled_rows_are_named(change, message):
    with pytest.raises(IntegrityError, match=message):
        check(change(ROWS))


@pytest.mark.parametrize(
    ("field", "value"),
    [("gold", "good"), ("question", "Which is it ?"), ("group", "r"), ("image_sha256", f"{2:063x}1")],
)
def test_one_altered_field_is_named(field, value):
    rows = [*ROWS[:2], replace(ROWS[2], **{field: value}), *ROWS[3:]]
    with pytest.raises(IntegrityError, match=rf"predictions of tuned: {field} differs for 1 ids: 'i0002'\. Data and"):
        check(rows)


def test_pixels_are_held_against_the_twin_alone():
    """Both may have seen other pixels than prepare; the stage compares those with the manifest."""
    other = [replace(row, image_sha256="e" * 64) for row in ROWS]
    check(other, twin=other)
    with pytest.raises(IntegrityError, match="image_sha256 differs for 5 ids"):
        check(other)


@given(st.lists(st.text(max_size=3), max_size=6), st.lists(st.text(max_size=3), max_size=6, unique=True))
def test_ids_pass_exactly_where_they_are_equal(ids, wanted):
    if ids == wanted:
        pairing.check_ids("x", ids, wanted)
        return
    with pytest.raises(IntegrityError, match="predictions of x"):
        pairing.check_ids("x", ids, wanted)


def test_many_ids_are_cut_short():
    assert pairing.some(list("abcde")) == "'a', 'b', 'c', 'd', 'e'"
    assert pairing.some(list("abcdef")) == "'a', 'b', 'c', 'd', 'e', ..."
    assert pairing.some([]) == ""


@pytest.mark.parametrize("mark", list(OUTCOMES))
def test_a_failure_is_no_answer_whatever_it_says(mark):
    """A reply that was cut off may begin with the right label."""
    row = replace(answers(TEST, f"{mark}++++")[0], answer="bad")
    assert pairing.counted(row) is None
    for metric in ("accuracy", "balanced_accuracy", "sensitivity", "specificity"):
        assert not pairing.hit(row, metric, "bad")
        assert not pairing.hit(row, metric, "good")


def test_outcomes_add_up_and_name_every_kind():
    found = pairing.outcomes(answers(TEST, "+-uer"))
    assert found == {
        "correct": 1,
        "wrong": 1,
        "unparsed": 1,
        "refused": 1,
        "filtered": 0,
        "api_error": 1,
        "truncated": 0,
    }
    assert sum(pairing.outcomes([]).values()) == 0


@pytest.mark.parametrize(
    ("metric", "gold", "expected"),
    [
        ("accuracy", "bad", True),
        ("balanced_accuracy", "good", True),
        ("sensitivity", "bad", True),
        ("sensitivity", "good", False),
        ("specificity", "bad", False),
        ("specificity", "good", True),
    ],
)
def test_which_items_a_metric_is_about(metric, gold, expected):
    assert pairing.relevant(gold, metric, "bad") is expected


LAID = [
    # metric, first, second, hits of the first, hits of the second, weights
    ("accuracy", "+-+-+", "++--u", "10101", "11000", None),
    ("balanced_accuracy", "+-+-+", "++--u", "10101", "11000", [1 / 4, 1 / 6, 1 / 4, 1 / 6, 1 / 6]),
    ("sensitivity", "+-+-+", "++--u", "11", "10", None),
    ("specificity", "+-+-+", "++--u", "001", "100", None),
]


@pytest.mark.parametrize(("metric", "one", "two", "first", "second", "weights"), LAID)
def test_hits_and_weights_by_hand(metric, one, two, first, second, weights):
    laid = pairing.sides(answers(TEST, one), answers(TEST, two), metric, "bad")
    assert ["".join("01"[hit] for hit in side) for side in (laid.first, laid.second)] == [first, second]
    assert laid.excluded == 0
    assert laid.weights is None if weights is None else laid.weights == pytest.approx(weights)


def test_specificity_takes_another_wrong_label_for_good():
    """`scratch` for a good part is no call of `bad`: wrong in accuracy, right in the specificity of `bad`."""
    test = asked(["good", "bad"], labels=("bad", "good", "scratch"))
    row = replace(answers(test, "+-")[0], answer="scratch", outcome="wrong")
    assert pairing.hit(row, "specificity", "bad")
    assert not pairing.hit(row, "accuracy", "bad")


@pytest.mark.parametrize(("one", "two"), [("e++++", "+++++"), ("+++++", "e++++"), ("e++++", "e++++")])
def test_what_was_never_answered_is_left_out_on_both_sides_and_counted(one, two):
    laid = pairing.sides(answers(TEST, one), answers(TEST, two), "accuracy")
    assert (len(laid.first), len(laid.second), laid.excluded) == (4, 4, 1)
    assert laid.groups == ["p", "q", "q", "q"]


@pytest.mark.parametrize("mark", list(OUTCOMES))
def test_with_failures_as_right_only_those_of_the_second_are_right(mark):
    failing, fine = answers(TEST, mark + "++++"), answers(TEST, "+++++")
    against = pairing.sides(fine, failing, "accuracy", failures_right=True)
    assert (against.second, against.excluded) == ([True] * 5, 0)
    own = pairing.sides(failing, fine, "accuracy", failures_right=True)
    assert (own.first, own.excluded) == ([False, True, True, True, True], 0)


@given(st.text("+-urfet", min_size=5, max_size=5), st.text("+-urfet", min_size=5, max_size=5))
def test_failures_as_right_never_helps_the_candidate(one, two):
    first, second = answers(TEST, one), answers(TEST, two)
    lenient = pairing.sides(first, second, "accuracy", failures_right=True)
    strict = pairing.sides(first, second, "accuracy")
    assert len(lenient.first) == len(strict.first) + strict.excluded == 5
    assert sum(lenient.first) <= sum(pairing.hit(row, "accuracy", None) for row in first)
    assert sum(lenient.second) >= sum(strict.second)


def test_models_of_another_number_of_items_are_never_laid_side_by_side():
    with pytest.raises(ValueError, match="shorter"):
        pairing.sides(ROWS, ROWS[:-1], "accuracy")
