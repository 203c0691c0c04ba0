"""The regression gate on files: what fails, what is noise, and what a CI system reads."""

import json
from xml.etree import ElementTree

import pytest
import synthetic
from scripted import answers, asked, every

from finetune.cli import gate
from finetune.errors import ConfigError, DataError, GateError, IntegrityError

N = 200
TEST = asked(["bad" if i % 2 else "good" for i in range(N)])
GOOD = every(N, lambda i: i % 10 == 3)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def side(tmp_path, name, marks, test=TEST):
    return write(tmp_path / name, synthetic.rows(answers(test, marks)))


def call(tmp_path, old, new, *more):
    gate.run([old, new, "--junit", str(tmp_path / "junit.xml"), *more])


def suite(tmp_path):
    return ElementTree.parse(tmp_path / "junit.xml").getroot()


def test_the_same_answers_pass(tmp_path, capsys):
    call(tmp_path, side(tmp_path, "old.jsonl", GOOD), side(tmp_path, "new.jsonl", GOOD))
    assert capsys.readouterr().out.count("pass") == 2
    found = suite(tmp_path)
    assert (found.get("tests"), found.get("failures")) == ("2", "0")
    assert [case.get("name") for case in found] == ["accuracy", "coverage"]


def test_noise_passes(tmp_path):
    """Five lost and nothing won: p = 0.0625 (exact McNemar), so it may be chance."""
    old, new = side(tmp_path, "old.jsonl", "+" * N), side(tmp_path, "new.jsonl", every(N, lambda i: i < 5))
    call(tmp_path, old, new)
    assert suite(tmp_path).get("failures") == "0"


def test_a_regression_fails_and_is_named(tmp_path):
    old, new = side(tmp_path, "old.jsonl", "+" * N), side(tmp_path, "new.jsonl", every(N, lambda i: i < 20))
    with pytest.raises(GateError, match=r"accuracy -10\.0 points.*0 gained, 20 lost, 200 items.*20 items were right"):
        call(tmp_path, old, new)
    failure = suite(tmp_path).find("testcase/failure")
    assert failure is not None
    assert failure.text.split()[:2] == ["i0000", "i0001"]
    call(tmp_path, old, new, "margin=0.2")  # declared to be acceptable


def test_a_model_that_falls_silent_fails(tmp_path):
    old = side(tmp_path, "old.jsonl", every(N, lambda i: i < 30))
    new = side(tmp_path, "new.jsonl", every(N, lambda i: i < 30, "u"))
    with pytest.raises(GateError, match=r"coverage -15\.0 points"):
        call(tmp_path, old, new)


def test_few_groups_that_all_lose_fail_and_one_lucky_draw_does_not(tmp_path):
    """Six groups of five: all six lose, p = 2 / 2^6 = 0.031; three of six, p = 0.25."""
    test = asked(["bad", "good"] * 15, [f"p{i // 5}" for i in range(30)])
    old = side(tmp_path, "old.jsonl", "+" * 30, test)
    with pytest.raises(GateError):
        call(tmp_path, old, side(tmp_path, "all.jsonl", every(30, lambda i: i % 5 in (0, 1) or i == 2), test))
    call(tmp_path, old, side(tmp_path, "some.jsonl", every(30, lambda i: i < 15), test))


def test_sensitivity_of_one_label(tmp_path):
    old, new = (
        side(tmp_path, "old.jsonl", "+" * N),
        side(tmp_path, "new.jsonl", every(N, lambda i: i in range(1, 40, 2))),
    )
    with pytest.raises(GateError, match=r"sensitivity -20\.0 points.*100 items"):
        call(tmp_path, old, new, "--metric", "sensitivity", "--positive", "bad")
    call(tmp_path, old, new, "--metric", "specificity", "--positive", "bad")
    with pytest.raises(ConfigError, match="--metric sensitivity needs --positive LABEL"):
        call(tmp_path, old, new, "--metric", "sensitivity")
    with pytest.raises(ConfigError, match=r"positive: got 'odd', expected one of the gold labels bad, good"):
        call(tmp_path, old, new, "--positive", "odd")


def spoiled(rows, how):
    first, second, *rest = rows
    return {
        "shuffled": [*rest, second, first],
        "missing": [second, *rest],
        "twice": [first, first, *rest],
        "not of this test split": [*rows, first | {"id": "stranger"}],
        "image_sha256": [first | {"image_sha256": "f" * 64}, second, *rest],
        "gold": [first | {"gold": "bad", "outcome": "wrong"}, second, *rest],
        "question": [first | {"question": "Really?"}, second, *rest],
        "group": [first | {"group": "other"}, second, *rest],
    }[how]


@pytest.mark.parametrize(
    "how", ["missing", "twice", "not of this test split", "image_sha256", "gold", "question", "group"]
)
def test_other_items_are_caught_and_named(tmp_path, how):
    rows = synthetic.rows(answers(TEST, GOOD))
    old = write(tmp_path / "old.jsonl", rows)
    with pytest.raises(IntegrityError, match=how) as caught:
        call(tmp_path, old, write(tmp_path / "new.jsonl", spoiled(rows, how)))
    assert any(key in str(caught.value) for key in ("i0000", "stranger"))


def test_the_order_of_a_file_does_not_matter(tmp_path):
    rows = synthetic.rows(answers(TEST, GOOD))
    call(tmp_path, write(tmp_path / "old.jsonl", rows), write(tmp_path / "new.jsonl", spoiled(rows, "shuffled")))


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", DataError, "is empty"),
        ("{", DataError, "line 1 is not JSON"),
        ("[1]", DataError, "line 1: got list, expected an object"),
        ('{"id": "a"}', DataError, "line 1: gold is missing or no text"),
        ('{"id": "a", "gold": "b"}', DataError, "line 1: answer is missing"),
        ('{"id": "a", "gold": "b", "outcome": "fine"}', DataError, "outcome is 'fine', expected one of correct"),
        (None, ConfigError, "there is no such file"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, text, error, message):
    path = tmp_path / "new.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(error, match=message):
        call(tmp_path, side(tmp_path, "old.jsonl", GOOD), str(path))


def test_a_folder_without_answers(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no eval/tuned\.predictions\.jsonl"):
        call(tmp_path, str(tmp_path), str(tmp_path))


def test_usage_is_said():
    with pytest.raises(ConfigError, match="gate: the following arguments are required: NEW"):
        gate.run(["old.jsonl"])
