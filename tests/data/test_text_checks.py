"""Texts of a source that look like others, and marks that would be read as text."""

import unicodedata

import pytest
from PIL import Image

from finetune.config.schema import Config, DataConfig, TaskConfig
from finetune.data import source, text_checks
from finetune.example import BadRow


def rows(folder, lines, **data):
    """Examples and bad rows of a table with the columns image, label, patient, question."""
    named = [f"{number}.png,{line}" for number, line in enumerate(lines)]
    (folder / "labels.csv").write_text("\n".join(["image,label,patient,question", *named]), encoding="utf-8")
    for number in range(len(lines)):
        Image.new("RGB", (4, 4)).save(folder / f"{number}.png")
    config = Config(data=DataConfig(adapter="table", path=str(folder), **data), task=TaskConfig())
    return list(source.examples(config, folder))


@pytest.mark.parametrize(
    ("hidden", "named"),
    [
        ("\u200b", "U+200B (zero width space)"),
        ("\u00a0", "U+00A0 (no-break space)"),
        ("\ufeff", "U+FEFF (zero width no-break space)"),
        ("\u00ad", "U+00AD (soft hyphen)"),
        ("\u202e", "U+202E (right-to-left override)"),
        ("\u200d", "U+200D (zero width joiner)"),
        ("\x07", "U+0007 (a control character)"),
    ],
)
def test_a_label_with_a_character_that_nobody_sees(tmp_path, hidden, named):
    good, bad = rows(tmp_path, ["good,1,", f"go{hidden}od,2,"])
    assert good.target == "good"
    assert isinstance(bad, BadRow)
    assert bad.reason.startswith(f"the label {f'go{hidden}od'!r} holds {named}, which looks like nothing")


@pytest.mark.parametrize(
    "label", ["sehr gut", "\u0645\u06cc\u200c\u0634\u0648\u062f", "gr\u00fcn", "\U0001f469\u200d\U0001f52c"]
)
def test_spellings_that_need_a_joiner_and_plain_blanks(tmp_path, label):
    (row,) = rows(tmp_path, [f"{label},1,"])
    assert row.target == label


def test_relabelling_mends_such_a_label(tmp_path):
    (row,) = rows(tmp_path, ["go\u200bod,1,"], options={"relabel": {"go\u200bod": "good"}})
    assert row.target == "good"


@pytest.mark.parametrize(
    ("first", "second"),
    [("1", "001"), ("P1", "p1"), ("P1", "P01"), ("7", "7.0"), ("M\u00fc", unicodedata.normalize("NFD", "M\u00fc"))],
)
def test_a_group_in_two_spellings(tmp_path, first, second):
    good, bad = rows(tmp_path, [f"x,{first},", f"x,{second},"], group="patient")
    assert good.group == first
    assert isinstance(bad, BadRow)
    assert bad.reason.startswith(f"the group {second!r} is also spelled {first!r}")
    assert bad.row == "labels.csv line 3"


@pytest.mark.parametrize(
    ("first", "second"), [("1", "10"), ("P1", "P10"), ("0", "00a"), ("1.5", "1.05"), ("P1", "Q1"), ("100", "1")]
)
def test_groups_that_are_two(tmp_path, first, second):
    assert [row.group for row in rows(tmp_path, [f"x,{first},", f"x,{second},"], group="patient")] == [first, second]


def test_groups_are_compared_only_where_one_was_named(tmp_path):
    assert len([row for row in rows(tmp_path, ["x,P1,", "x,p1,"]) if not isinstance(row, BadRow)]) == 2


@pytest.mark.parametrize(
    "mark",
    [
        "<image>", "<image_1>", "<image 1>", "<|image|>", "<|image_1|>", "<|image_pad|>", "<|vision_start|>", "[IMG]",
        "<image_placeholder>", "<ImageHere>", "<start_of_image>", "<IMG_CONTEXT>", "<img>a.png</img>", "{{image}}",
        "<image_soft_token>", "<im_patch>",
    ],
)  # fmt: skip
def test_marks_of_other_tools_in_a_question(tmp_path, mark):
    (bad,) = rows(tmp_path, [f"x,1,{mark} What is it?"], options={"question": "question"})
    assert isinstance(bad, BadRow)
    assert bad.reason.startswith(f"a turn of the user holds {mark!r}")


@pytest.mark.parametrize("text", ["Is a < b?", "What does <b> do?", "the image 1 of 2", "[IMAGE quality]", "{labels}"])
def test_questions_that_only_look_alike(tmp_path, text):
    (row,) = rows(tmp_path, [f"x,1,{text}"], options={"question": "question"})
    assert row.messages[0].text == text


def test_a_picture_in_a_row_reaches_no_record():
    long = "data:image/png;base64," + "QUJD" * 5000
    short = text_checks.shortened(BadRow("a.json row 1", long, f"cannot read {long} or {'QUJD' * 200}"))
    named = "data:image/png;base64,... (20,022 characters)"
    assert short == BadRow("a.json row 1", named, f"cannot read {named} or ... (800 characters)")
    name = "a" * 255 + "/" + "b" * 255 + ".png"
    assert text_checks.shortened(BadRow(name, name, name)) == BadRow(name, name, name)
