"""Prediction files of other tools: what is read, what is refused, and how files of the same items are paired."""

import json
from dataclasses import replace

import pytest
from scripted import answers, asked

from finetune.errors import ConfigError, DataError, IntegrityError
from finetune.evaluation import answer_files

LEAST = {"id": "a", "gold": "crack", "answer": "crack"}


def write(path, *rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read(tmp_path, **row):
    return answer_files.read(write(tmp_path / "x.jsonl", {"id": "a", "gold": "crack", **row}))[0]


@pytest.mark.parametrize(
    ("row", "answer", "outcome"),
    [
        ({"answer": "crack"}, "crack", "correct"),
        ({"answer": "good"}, "good", "wrong"),
        ({"answer": None}, None, "unparsed"),
        ({"outcome": "correct"}, "crack", "correct"),
        ({"outcome": "wrong"}, None, "wrong"),
        ({"outcome": "refused"}, None, "refused"),
        ({"outcome": "api_error", "answer": None}, None, "api_error"),
        ({"answer": "Crack.", "outcome": "correct"}, "Crack.", "correct"),  # open answers match after normalising
        ({"answer": "good", "outcome": "truncated"}, "good", "truncated"),
    ],
)
def test_answer_and_outcome_follow_from_each_other(tmp_path, row, answer, outcome):
    found = read(tmp_path, **row)
    assert (found.answer, found.outcome) == (answer, outcome)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"answer": 3}, r"line 1: answer is 3, expected text or null; write numbers as text"),
        ({"answer": True}, r"answer is True, expected text"),
        ({"answer": "good", "text": ["good"]}, r"text is \['good'\], expected text"),
        ({"answer": "good", "group": 7}, r"group is 7, expected text; write numbers as text"),
        ({"answer": "good", "question": {}}, r"question is {}, expected text"),
        ({"answer": "good", "image_sha256": 0}, r"image_sha256 is 0, expected text"),
        ({"answer": "good", "seconds": "fast"}, r"seconds is 'fast', expected a number"),
        ({"answer": "good", "probabilities": [0.1, 0.9]}, r"probabilities is \[0.1, 0.9\], expected an object"),
        (
            {"answer": "good", "probabilities": {"crack": -0.2}},
            r"probability of 'crack' is -0.2, expected a number from 0",
        ),
        (
            {"answer": "good", "probabilities": {"crack": 1.2}},
            r"probability of 'crack' is 1.2, expected a number from 0 to",
        ),
        ({"answer": "good", "probabilities": {"crack": True}}, r"probability of 'crack' is True, expected a number"),
        ({"answer": "good", "probabilities": {"crack": "1"}}, r"probability of 'crack' is '1', expected a number"),
        ({"answer": "good", "probabilities": {"crack": float("nan")}}, r"line 1 is not JSON in UTF-8 \(Out of range"),
        ({"answer": "good", "usage": 3}, r"usage is 3, expected an object of numbers"),
        (
            {"answer": "crack", "outcome": "wrong"},
            r"outcome is 'wrong', but the answer is 'crack' and the gold 'crack'",
        ),
        ({"answer": None, "outcome": "correct"}, r"outcome is 'correct', but the answer is None"),
        ({"answer": "good", "outcome": "maybe"}, r"outcome is 'maybe', expected one of correct, wrong, unparsed"),
        ({"answer": "good", "id": 4}, r"id is missing or no text"),
        ({"answer": "good", "gold": None}, r"gold is missing or no text"),
        ({}, r"answer is missing or no text"),
    ],
)
def test_a_field_of_another_form_is_named(tmp_path, row, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, **row)


def test_null_is_as_good_as_left_out(tmp_path):
    found = read(tmp_path, answer="good", seconds=None, model=None, parser=None, question=None, probabilities=None)
    assert (found.seconds, found.model, found.parser, found.question, found.probabilities) == (0.0, "", "", "", None)


def test_what_is_unknown_is_ignored(tmp_path):
    assert read(tmp_path, answer="good", logits=[1, 2], reader="Dr. A").answer == "good"


@pytest.mark.parametrize("odd", ["\u2028", "\u2029", "\x85", "\x0b", "\x1c"])
def test_separators_inside_a_text_end_no_line(tmp_path, odd):
    """`str.splitlines` would cut the row in two; JSON in UTF-8 may hold these as they are."""
    assert read(tmp_path, answer="good", text=f"a{odd}b").text == f"a{odd}b"


def test_windows_line_ends_are_line_ends(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"id": "a", "gold": "b", "answer": "b"}\r\n{"id": "c", "gold": "b", "answer": "d"}\r\n')
    assert [row.id for row in answer_files.read(path)] == ["a", "c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: there is nothing to compare"),
        (b"\xff\xfe", "line 1 is not JSON in UTF-8"),
        (b'{"id": "a", "gold": "b", "answer": "b"}\n\n', "line 2 is not JSON"),
        (b'{"id": "a", "gold": "b", "answer": "b"}\n{"id"', "line 2 is not JSON"),
        (b'"a"', "line 1: got str, expected an object with id, gold and answer"),
        (b"null", "line 1: got NoneType, expected an object"),
    ],
)
def test_a_line_that_is_no_row_is_named(tmp_path, content, message):
    path = tmp_path / "x.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        answer_files.read(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file; expected lines as those of"):
        answer_files.of(tmp_path / "none.jsonl")


def test_the_answers_of_a_run_are_those_of_a_model_of_it(tmp_path):
    (tmp_path / "eval").mkdir()
    write(tmp_path / "eval" / "base.predictions.jsonl", LEAST)
    assert [row.id for row in answer_files.of(tmp_path, "base")] == ["a"]
    with pytest.raises(ConfigError, match=r"holds no eval/tuned\.predictions\.jsonl; evaluate that run first"):
        answer_files.of(tmp_path)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["metric=accuracy", "a.jsonl"], ["--metric=accuracy", "a.jsonl"]),
        (["junit=out.xml", "margin=0.1"], ["--junit=out.xml", "--margin=0.1"]),
        (["--margin", "0.1"], ["--margin", "0.1"]),
        (["metric", "x=y.jsonl"], ["metric", "x=y.jsonl"]),  # a file may have such a name
    ],
)
def test_settings_in_the_form_of_every_other_command(words, expected):
    assert answer_files.flags(words) == expected


TEST = asked(["bad", "good", "bad", "good"], ["p", "p", "q", "q"])
ROWS = answers(TEST, "++-+")


def test_files_are_brought_into_the_order_of_the_first():
    found = answer_files.paired({"a": ROWS, "b": ROWS[::-1], "c": [ROWS[i] for i in (2, 0, 3, 1)]})
    assert [[row.id for row in rows] for rows in found.values()] == [[row.id for row in ROWS]] * 3


def bare(rows, *fields):
    return [replace(row, **dict.fromkeys(fields, "")) for row in rows]


def test_groups_that_one_file_leaves_out_are_those_of_the_other():
    """Else four views of two parts would count as four parts, and the interval would be too narrow."""
    for sides in ({"a": bare(ROWS, "group"), "b": ROWS}, {"a": ROWS, "b": bare(ROWS, "group")}):
        assert [[row.group for row in rows] for rows in answer_files.paired(sides).values()] == [list("ppqq")] * 2
    alone = answer_files.paired({"a": bare(ROWS, "group"), "b": bare(ROWS, "group")})
    assert [row.group for row in alone["b"]] == [row.id for row in ROWS]


@pytest.mark.parametrize(
    ("field", "value"),
    [("gold", "good"), ("question", "Another?"), ("image_sha256", "f" * 64), ("group", "r")],
)
@pytest.mark.parametrize("first_is_silent", [False, True])
def test_one_altered_field_of_one_item_is_named(field, value, first_is_silent):
    """Also where the first file leaves the field out: the second and the third are held against each other."""
    altered = [ROWS[0], ROWS[1], replace(ROWS[2], **{field: value}), ROWS[3]]
    first = bare(ROWS, field) if first_is_silent and field != "gold" else ROWS
    with pytest.raises(IntegrityError, match=rf"a and c: {field} differs for 1 ids: 'i0002'\. They did not answer"):
        answer_files.paired({"a": first, "b": ROWS, "c": altered})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], "predictions of b: 1 ids missing: 'i0000'"),
        (lambda rows: [*rows, rows[0]], "predictions of b: 1 ids twice: 'i0000'"),
        (lambda rows: [*rows, replace(rows[0], id="x")], "predictions of b: 1 ids not of this test split: 'x'"),
        (lambda rows: [replace(rows[0], id="x"), *rows[1:]], "predictions of b: 1 ids missing: 'i0000'"),
    ],
)
def test_dropped_doubled_and_foreign_rows_are_named(change, message):
    with pytest.raises(IntegrityError, match=message):
        answer_files.paired({"a": ROWS, "b": change(ROWS)})


def test_the_labels_are_the_golds_and_answers_that_occur():
    odd = [replace(ROWS[0], answer="dent", outcome="wrong"), *ROWS[1:]]
    assert answer_files.asked({"a": ROWS, "b": odd}, "accuracy", None).labels == ("bad", "dent", "good")
    cut = [replace(ROWS[0], answer="dent", outcome="truncated"), *ROWS[1:]]  # begins like an answer, and is none
    assert answer_files.asked({"a": ROWS, "b": cut}, "accuracy", None).labels == ("bad", "good")


@pytest.mark.parametrize(("count", "closed"), [(50, True), (51, False)])
def test_more_answers_than_a_list_of_labels_holds_are_open(count, closed):
    test = asked([f"finding {i}" for i in range(count)])
    rows = answers(test, "+" * count)
    assert bool(answer_files.asked({"a": rows}, "accuracy", None).labels) is closed


def test_the_positive_label_is_a_gold():
    with pytest.raises(ConfigError, match="positive: got 'dent', expected one of the gold labels bad, good"):
        answer_files.asked({"a": [replace(ROWS[0], answer="dent", outcome="wrong"), *ROWS[1:]]}, "accuracy", "dent")


def test_half_a_surrogate_pair_is_refused(tmp_path):
    """It stands in JSON as an escape, and nothing that is printed or written could hold it."""
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": "\\ud800", "gold": "crack", "answer": "crack"}\n')
    with pytest.raises(DataError, match=r"line 1 is not JSON in UTF-8 .*surrogates not allowed"):
        answer_files.read(path)
