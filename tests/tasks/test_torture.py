"""Replies in the style of real models, each with what a careful reader takes from it, or null where one hesitates."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune import plugins
from finetune.scoring.replies import fold, without_reasoning
from finetune.tasks import answer, classify, tags

ROWS = [json.loads(line) for line in Path(__file__).with_name("torture.jsonl").read_text("utf-8").splitlines()]


def test_there_are_enough_and_none_twice():
    assert len(ROWS) >= 150
    assert sum(row["answer"] is None for row in ROWS) >= 75
    keys = Counter((row["task"], tuple(row["labels"]), row["reply"]) for row in ROWS)
    assert [key for key, count in keys.items() if count > 1] == []


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['task']}: {row['case']}: {row['reply'][:30]!a}" for row in ROWS])
def test_nothing_is_guessed_and_nothing_plain_is_missed(row):
    parse = plugins.load("task", row["task"]).parse
    assert parse(row["reply"], tuple(row["labels"]), row.get("synonyms")) == row["answer"]


LABELS = ("good", "dent", "open", "open circuit", "no", "yes", "A", "B", "2", "no defect", "C#", "d\u00e9faut")
SYNONYMS = {"dent": ("dented", "bump"), "yes": ("indeed",)}
SPELLINGS = {label: (label, *SYNONYMS.get(label, ())) for label in LABELS}
WORDS = [
    *(spelling for group in SPELLINGS.values() for spelling in group),
    *("not", "no", "a", "or", "and", "Answer:", "final answer is", "\\boxed{", "}", "<think>", "</think>", "<answer>"),
    *("</answer>", "**", "\n", ". ", "?", "could be", "if", "option", "0.", "%", "[", "]", '"', "{", ":", "unlike"),
]
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=14).map(" ".join) | st.text(max_size=60)


def names(text, label):
    """Whether the letters of a label or a synonym stand in a text; marks and blanks left out on both sides."""
    plain = "".join(char for char in fold(text) if char not in " *_`~#\t\n")
    return any("".join(c for c in fold(s) if c not in " *_`~#") in plain for s in SPELLINGS[label])


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_a_label_that_is_returned_stands_in_the_text(text):
    found = classify.parse(text, LABELS, SYNONYMS)
    assert found is None or (found in LABELS and names(text, found))


@settings(deadline=None, max_examples=200)
@given(TEXTS)
def test_tags_that_are_returned_stand_in_the_text(text):
    found = tags.parse(text, LABELS, SYNONYMS)
    assert found is None or all(tag in LABELS and names(text, tag) for tag in json.loads(found))
    assert found != "[]" or "none" in fold(text) or re.search(r"\[\s*\]|\{\s*\"", text)


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=80), st.sampled_from(["", "Answer: ", "<think>x</think>", "**"]))
def test_an_open_answer_is_made_of_the_reply(text, before):
    found = answer.parse(before + text, ())
    wide = {ord(char): None for char in " \t\n\r*`~#_"}
    assert found is None or set(fold(found).translate(wide)) <= set(fold(before + text))


@settings(deadline=None, max_examples=100)
@given(
    st.sampled_from(["good", "dent", "open circuit", "yes"]),
    st.sampled_from(["{}", "**{}**", "Answer: {}.", "It is {}."]),
)
def test_plain_answers_are_read_whatever_was_thought_before(label, form):
    assert classify.parse(f"<think>no, or is it A?</think>{form.format(label)}", LABELS, SYNONYMS) == label


@pytest.mark.parametrize(
    "piece", ["[", "{", '{"a":', "<think>", "\\boxed{", "Answer: ", "no a ", "answer is x. ", "not, "]
)
def test_hostile_repetition_takes_no_long_time(piece):
    """Nested or backtracking patterns would need minutes for these; the suite's time limit would end them."""
    for kind in ("classify", "answer", "tags", "extract", "detect"):
        plugins.load("task", kind).parse(piece * 2000, ("good", "dent"), {})


def test_reasoning_is_left_out_whichever_tag_is_missing():
    assert without_reasoning("a<think>b</think>c").split() == ["a", "c"]
    assert without_reasoning("b</think>c") == "c"
    assert without_reasoning("a<think>b") == "a"
    assert without_reasoning("<think>a</think>b<think>c</think>d").split() == ["b", "d"]


@settings(deadline=None, max_examples=200)
@given(
    TEXTS, st.sampled_from(["not ", "It is never ", "Absent: ", "without "]), st.sampled_from(["dent", "yes", "good"])
)
def test_a_denied_list_is_never_the_answer(before, denial, tag):
    """What is read is what stands before it, where a reasoning tag that is never closed hides the list, or nothing."""
    assert tags.parse(f'{before}.\n{denial}["{tag}"]', LABELS, SYNONYMS) in (None, tags.parse(before, LABELS, SYNONYMS))
