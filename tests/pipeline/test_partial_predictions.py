"""Answers on their way: torn lines, other settings, other examples."""

from dataclasses import replace

import pytest

from finetune.errors import IntegrityError
from finetune.example import Example, Prediction
from finetune.pipeline.partial_predictions import Partial
from finetune.rundir import RunDir

EXAMPLES = [Example(f"e{number}", (), "no", f"g{number}") for number in range(5)]


def said(example, text="no"):
    one = Prediction(example.id, "0", "?", "no", text, "no", "correct", {"no": 1.0}, 0.5, "m", "p", example.group)
    return one, replace(one, probabilities=None)


@pytest.fixture
def opened(tmp_path):
    run = RunDir(tmp_path)
    return lambda identity="a": Partial(run, run.partial("tuned", "", "test"), identity)


def test_goes_on_where_it_stopped(opened):
    opened().extend((said(example) for example in EXAMPLES[:2]), 1)
    again = opened()
    assert again.left(EXAMPLES) == EXAMPLES[2:]
    again.extend((said(example) for example in EXAMPLES[2:]), 2)
    assert list(opened().read()) == [said(example) for example in EXAMPLES]
    assert again.ids == [example.id for example in EXAMPLES]


@pytest.mark.parametrize("cut", [1, 40])
def test_a_line_that_was_cut_off_is_taken_away(opened, cut):
    first = opened()
    first.extend((said(example) for example in EXAMPLES[:3]), 1)
    content = first.path.read_bytes()
    first.path.write_bytes(content[:-cut])
    assert opened().left(EXAMPLES) == EXAMPLES[2:]
    assert list(opened().read()) == [said(example) for example in EXAMPLES[:2]]


def test_a_kill_before_the_first_line(opened, tmp_path):
    path = RunDir(tmp_path).partial("tuned", "", "test")
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"identity": "a')
    assert opened().left(EXAMPLES) == EXAMPLES


def test_other_settings_begin_anew(opened):
    opened("a").extend((said(example) for example in EXAMPLES), 1)
    assert opened("b").left(EXAMPLES) == EXAMPLES
    assert list(opened("b").read()) == []


def test_other_examples_begin_anew(opened):
    opened().extend((said(example) for example in EXAMPLES[1:3]), 1)
    again = opened()
    assert again.left(EXAMPLES) == EXAMPLES
    assert (again.ids, list(opened().read())) == ([], [])


def test_what_was_said_before_a_failure_is_kept(opened):
    def failing():
        yield said(EXAMPLES[0])
        raise RuntimeError("no power")

    with pytest.raises(RuntimeError, match="no power"):
        opened().extend(failing(), 10)
    assert opened().left(EXAMPLES) == EXAMPLES[1:]


@pytest.mark.parametrize("first", [b"\0\0\0\n", b"[]\n", b"7\n", b"\xff\n", b"\n", b""])
def test_what_a_power_cut_left_begins_anew(opened, tmp_path, first):
    path = RunDir(tmp_path).partial("tuned", "", "test")
    path.parent.mkdir(parents=True)
    path.write_bytes(first)
    assert opened().left(EXAMPLES) == EXAMPLES
    opened().extend([said(EXAMPLES[0])], 1)
    assert opened().left(EXAMPLES) == EXAMPLES[1:]


def test_a_line_in_the_middle_that_is_none_is_named(opened):
    first = opened()
    first.extend((said(example) for example in EXAMPLES[:3]), 1)
    lines = first.path.read_bytes().splitlines(keepends=True)
    first.path.write_bytes(b"".join([*lines[:2], b"\0\0\n", *lines[3:]]))
    with pytest.raises(IntegrityError, match="line 3 is not JSON"):
        opened()


@pytest.mark.parametrize("text", ["", "a\nb", "\u2028", '"', "\U0001f9ea"])
def test_any_text_stays_one_line(opened, text):
    opened().extend([said(EXAMPLES[0], text)], 1)
    assert list(opened().read()) == [said(EXAMPLES[0], text)]
