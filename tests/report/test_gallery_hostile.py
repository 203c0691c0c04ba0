"""Text and pictures that attack the report: whatever they hold, the page shows them as text and small pictures."""

import base64
import html.parser
import io
import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from finetune.example import Example, ImageRef, Message
from finetune.report import gallery, model_card
from finetune.report.render import markdown_safe

ATTACKS = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "<img src=x onerror=alert(1)>",
    "]]>",
    "\u2028alert(1)\u2029",
    "&lt;b&gt;",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "\"'`${x}\\",
    '=HYPERLINK("http://x")',
    "| a | b |\n|---|---|",
    "[x](javascript:alert(1)) ![y](http://z) # *_`",
    "\x00\x1b[2J\x7f",
    "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
]
TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(ATTACKS)
FAST = settings(deadline=None, max_examples=80)


class Scripts(html.parser.HTMLParser):
    """The elements of a page, and the text of each script."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data if self.tags[-1:] == ["script"] else ""


@FAST
@given(st.recursive(TEXT | st.none() | st.booleans() | st.integers(), lambda inner: st.lists(inner, max_size=4)))
@example(ATTACKS)
def test_json_in_a_page_stays_json(value):
    text = gallery.safe_json({"value": value})
    assert json.loads(text) == {"value": value}
    assert not set(text) & set("<>&\u2028\u2029")
    page = Scripts()
    page.feed(f'<script type="application/json">{text}</script><p>')
    assert page.tags == ["script", "p"]


def test_no_number_that_json_does_not_know():
    with pytest.raises(ValueError, match="not JSON compliant"):
        gallery.safe_json({"p": float("nan")})


@FAST
@given(TEXT)
@example("\\|")
@example("a\\\n|b")
def test_text_in_a_markdown_cell_stays_in_its_cell(text):
    for written in (markdown_safe(text), model_card.plain(text)):
        assert written.splitlines() in ([], [written])
        bare = re.sub(r"\\.", "", written)  # what an escape covers is text
        assert not set(bare) & set("|`*_[]<")
        assert "\\" not in bare


def answers(labels, said):
    """Rows of a predictions file that answer the examples as told."""
    return [
        {
            "text": text,
            "answer": text if text in labels else None,
            "outcome": "correct" if text == gold else "wrong" if text in labels else "unparsed",
            "probabilities": {label: 1 / len(labels) for label in labels},
        }
        for gold, text in said
    ]


def examples(golds):
    message = (Message("user", ATTACKS[0]),)
    return [Example(f"{n}{ATTACKS[2]}", (ImageRef("x"),), gold, ATTACKS[4], message) for n, gold in enumerate(golds)]


@FAST
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("abc"), st.sampled_from("abc")), max_size=30))
def test_every_item_has_one_kind_and_the_worst_come_first(rows):
    golds = [gold for gold, _, _ in rows]
    deployed = {
        "base": answers("ab", [(gold, base) for gold, base, _ in rows]),
        "tuned": answers("ab", [(gold, tuned) for gold, _, tuned in rows]),
    }
    found = gallery.build(examples(golds), deployed, {}, None, False)
    assert found.pictures == 0
    expected = {
        "broken": sum(tuned != gold == base for gold, base, tuned in rows),
        "both_wrong": sum(base != gold and tuned != gold for gold, base, tuned in rows),
        "fixed": sum(base != gold == tuned for gold, base, tuned in rows),
        "both_right": sum(base == gold == tuned for gold, base, tuned in rows),
    }
    assert {kind: count for kind, (_, count) in found.kinds.items()} == expected
    assert list(found.kinds) == ["broken", "both_wrong", "fixed", "both_right"]
    assert [item["gold"] for item in found.items] == golds


def test_pictures_are_spent_on_mistakes(monkeypatch):
    monkeypatch.setattr(gallery, "MOST_PICTURES", 2)
    said = {
        "base": answers("ab", [("a", "a"), ("a", "a"), ("a", "b"), ("a", "b")]),
        "tuned": answers("ab", [("a", "a"), ("a", "b"), ("a", "a"), ("a", "b")]),
    }
    found = gallery.build(examples("aaaa"), said, {}, lambda _: Image.new("RGB", (4, 4)), False)
    assert [item["picture"] is not None for item in found.items] == [False, True, False, True]
    monkeypatch.setattr(gallery, "MOST_BYTES", 0)
    assert gallery.build(examples("aaaa"), said, {}, lambda _: Image.new("RGB", (4, 4)), False).pictures == 0


@pytest.mark.parametrize("size", [(1, 1), (4000, 3), (3, 4000), (225, 224), (17, 16)])
@pytest.mark.parametrize("blurred", [False, True])
def test_any_shape_becomes_a_small_picture(size, blurred):
    uri = gallery.thumbnail(Image.new("RGB", size, "red"), blurred)
    kind, _, data = uri.partition(",")
    assert kind == "data:image/webp;base64"
    small = Image.open(io.BytesIO(base64.b64decode(data)))
    assert max(small.size) <= 224
    assert min(small.size) >= 1


def test_a_thumbnail_carries_no_metadata():
    """Camera, place and time of a photograph must not travel with the report."""
    exif = Image.Exif()
    exif[0x010F] = "camera of ward 7"
    image = Image.new("RGB", (300, 200), "blue")
    image.info = {"exif": exif.tobytes(), "comment": b"camera of ward 7", "icc_profile": b"camera of ward 7"}
    for blurred in (False, True):
        content = base64.b64decode(gallery.thumbnail(image, blurred).partition(",")[2])
        assert b"ward 7" not in content
        assert not Image.open(io.BytesIO(content)).getexif()


def test_blurring_leaves_sixteen_pixels_a_side():
    """Stripes finer than that come out as one even colour: nothing is there to be undone."""
    image = Image.new("L", (512, 512))
    image.putdata([255 * (x // 4 % 2) for _ in range(512) for x in range(512)])
    content = base64.b64decode(gallery.thumbnail(image.convert("RGB"), True).partition(",")[2])
    low, high = Image.open(io.BytesIO(content)).convert("L").getextrema()
    assert high - low < 20
