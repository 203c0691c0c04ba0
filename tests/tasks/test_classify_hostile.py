"""Replies as models write them, each with the answer that a careful reader takes from it."""

import pytest

from finetune.tasks.classify import parse

DEFECTS = ("good", "scratch", "dent", "crack")
SPELLED = {"good": ("no defect", "intact"), "scratch": ("scratched",)}
CIRCUITS = ("ok", "open", "open circuit", "short circuit")
CELLS = ("functional", "defective")
CHOICE = ("yes", "no")

READ = [
    # As asked.
    (DEFECTS, "dent", "dent"),
    (DEFECTS, " Dent\n", "dent"),
    (DEFECTS, "DENT!", "dent"),
    (DEFECTS, "\u201cdent\u201d", "dent"),
    (DEFECTS, "The answer is dent.", "dent"),
    (DEFECTS, "Answer = crack", "crack"),
    (DEFECTS, "I see a crack.", "crack"),
    (DEFECTS, "It's a dent", "dent"),
    (DEFECTS, "This part looks good to me.", "good"),
    (DEFECTS, "The surface is scratched.", "scratch"),
    (DEFECTS, "The part is intact", "good"),
    # Markdown, lists, JSON, tags.
    (DEFECTS, "**Answer:** crack", "crack"),
    (DEFECTS, "**Answer: crack**", "crack"),
    (DEFECTS, "## Result\n\n- `dent`", "dent"),
    (DEFECTS, "```\ndent\n```", "dent"),
    (DEFECTS, '```json\n{"answer": "dent"}\n```', "dent"),
    (DEFECTS, '{"label": "scratch", "confidence": 0.93}', "scratch"),
    (DEFECTS, "<answer>\n dent \n</answer>", "dent"),
    (DEFECTS, "| finding |\n|---|\n| dent |", "dent"),
    (DEFECTS, "1. dent", "dent"),
    (DEFECTS, "(crack)", "crack"),
    (DEFECTS, "__crack__", "crack"),
    (DEFECTS, "Final Answer: **scratch**", "scratch"),
    (DEFECTS, "$\\boxed{dent}$", "dent"),
    # Thinking aloud.
    (DEFECTS, "<think>A scratch? No, the rim is pushed in.</think>\ndent", "dent"),
    (DEFECTS, "<thinking>crack or dent</thinking>Answer: crack", "crack"),
    (DEFECTS, "First I took it for a scratch, but it has depth.\nAnswer: dent", "dent"),
    (DEFECTS, "Answer: scratch? Let me look again.\nFinal answer: dent", "dent"),
    (DEFECTS, "<answer>crack</answer>\nThere may also be a dent.", "crack"),
    # What it is not.
    (DEFECTS, "There is no scratch and no dent, but a crack.", "crack"),
    (DEFECTS, "Not a crack: this is a dent.", "dent"),
    (DEFECTS, "It isn't a dent, it's a scratch", "scratch"),
    (DEFECTS, "It isn\u2019t a dent. It is a crack.", "crack"),
    (DEFECTS, "I would rule it a dent rather than a crack.", "dent"),
    (DEFECTS, "No defect.", "good"),
    (DEFECTS, "There's no defect visible.", "good"),
    (DEFECTS, "scratch: no, dent: yes", "dent"),
    (DEFECTS, "Free of scratch marks; there is one dent.", "dent"),
    (DEFECTS, "dent, dent and again dent", "dent"),
    # Labels inside labels and words.
    (CIRCUITS, "open circuit", "open circuit"),
    (CIRCUITS, "An open\ncircuit at R4", "open circuit"),
    (CIRCUITS, "Short Circuit.", "short circuit"),
    (CIRCUITS, "It is open", "open"),
    (CIRCUITS, "OK", "ok"),
    (CELLS, "The cell is defective.", "defective"),
    (CELLS, "functional", "functional"),
    (CHOICE, "Yes, there is a crack.", "yes"),
    (CHOICE, "No.", "no"),
    (CHOICE, "**No**, I see none.", "no"),
    (CHOICE, "yes\n\nExplanation: the edge is broken off.", "yes"),
    (("0", "1"), "1", "1"),
    (("0", "1"), "Answer: 0", "0"),
    (("class 1", "class 10"), "class 10", "class 10"),
    (("class 1", "class 10"), "This is class 1.", "class 1"),
    (("\u5408\u683c", "\u4e0d\u826f"), "\u4e0d\u826f", "\u4e0d\u826f"),
    (("gut", "m\u00e4ngelhaft"), "M\u00c4NGELHAFT", "m\u00e4ngelhaft"),
    (("pin_hole", "good"), "pin_hole", "pin_hole"),
    (("<image>", "=cmd()"), "<image>", "<image>"),
    (("<image>", "=cmd()"), "=cmd()", "=cmd()"),
]
UNREAD = [
    (DEFECTS, "scratch and dent"),
    (DEFECTS, "Either a crack or a scratch."),
    (DEFECTS, "Answer: crack or dent"),
    (DEFECTS, "<answer>crack</answer> <answer>dent</answer>"),
    (DEFECTS, "Answer with one of: good, scratch, dent, crack."),
    (DEFECTS, "I'm sorry, but I can't help with that."),
    (DEFECTS, "The image is too dark to tell."),
    (DEFECTS, "There is no crack."),
    (DEFECTS, "No scratch, no dent, no crack."),
    (DEFECTS, "It does not look good."),
    (DEFECTS, "not good"),
    (DEFECTS, "A crack can be excluded."),
    (DEFECTS, "accident, indented, cracker, goodness"),
    (DEFECTS, "<think>dent, I am sure"),
    (DEFECTS, "{}"),
    (DEFECTS, "\u200b"),
    (DEFECTS, "d e n t"),
    (CELLS, "The cell is not functional."),
    (CELLS, "non-functional"),
    (CELLS, "dysfunctional"),
    (CELLS, "It cannot be called defective."),
    (CHOICE, "yes and no"),
    (CHOICE, "Nothing to note here, I know."),
    (("0", "1"), "10"),
    (("class 1", "class 10"), "class 100"),
]


@pytest.mark.parametrize(("labels", "reply", "expected"), READ, ids=[reply[:40] for _, reply, _ in READ])
def test_a_plain_answer_is_read(labels, reply, expected):
    assert parse(reply, labels, SPELLED if labels is DEFECTS else None) == expected


@pytest.mark.parametrize(("labels", "reply"), UNREAD, ids=[reply[:40] for _, reply in UNREAD])
def test_a_reply_without_one_answer_stays_without(labels, reply):
    assert parse(reply, labels, SPELLED if labels is DEFECTS else None) is None


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("I doubt that this is a crack; dent it is.", "dent"),
        ("A scratch would be thinner, so: dent", "dent"),
        ("It could be good, if it were not for the dent.", "dent"),
        ("Is it good? No. There is a crack.", "crack"),
        ("Answer: not crack, dent", "dent"),
        ("no visible crack, only a scratch", "scratch"),
        ("The crack is absent, the dent is present.", "dent"),
    ],
)
def test_a_winding_answer_is_read_or_missed_and_never_misread(reply, right):
    assert parse(reply, DEFECTS, SPELLED) in (right, None)


def test_a_long_reply_takes_no_long_time():
    """Patterns that backtrack would need years for these."""
    for piece in (
        "no ",
        "<think>",
        "answer: ",
        "<answer>",
        "not a ",
        "dent ",
        "* ",
        "is is ",
        "n't ",
        "<answer><conclusion>",
        "<|begin_of_box|>",
        "\\boxed{",
        "dent (",
        "dent: with ",
        "[ ] ",
    ):
        assert parse(piece * 3000, DEFECTS, SPELLED) in ("dent", None)
