"""Answers on their way: torn lines, other settings, other examples."""

from dataclasses import replace

import pytest
from training import micro

from finetune.example import Prediction
from finetune.partial import Partial
from finetune.rundir import RunDir

EXAMPLES = [micro.example(number) for number in range(5)]


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
