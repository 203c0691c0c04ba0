"""What becomes of an item, what is said of it, and who gets a picture."""

import base64
import io

import pytest
from PIL import Image
from report import bare

from finetune.report import gallery


def row(right=True, answer="good", **changes):
    said = {"answer": answer, "text": answer, "outcome": "correct" if right else "wrong", "probabilities": None}
    return said | changes


def built(deployed, generated=None, load=None, count=None, **settings):
    examples = bare.examples(count or len(next(iter(deployed.values()))))
    return gallery.build(examples, deployed, generated or {}, load, settings.pop("blurred", False), **settings)


@pytest.mark.parametrize(
    ("tuned", "base", "kind"),
    [(True, True, "both_right"), (True, False, "fixed"), (False, True, "broken"), (False, False, "both_wrong")],
)
def test_against_the_base(tuned, base, kind):
    found = built({"tuned": [row(tuned)], "base": [row(base)]})
    assert found.items[0]["kinds"] == [kind]
    assert found.kinds[kind] == (gallery.KINDS[kind], 1)
    assert sum(count for _, count in found.kinds.values()) == 1


@pytest.mark.parametrize(("right", "kind"), [(True, "right"), (False, "wrong")])
def test_without_a_base(right, kind):
    found = built({"tuned": [row(right)]})
    assert (found.items[0]["kinds"], list(found.kinds)) == ([kind], ["wrong", "right"])


@pytest.mark.parametrize(
    ("tuned", "rival", "more"), [(True, False, ["won"]), (False, True, ["lost"]), (True, True, []), (False, False, [])]
)
def test_against_the_rival(tuned, rival, more):
    deployed = {"tuned": [row(tuned)], "base": [row(True)], "gpt": [row(rival)]}
    found = built(deployed, rival="gpt")
    assert found.items[0]["kinds"][1:] == more
    assert found.kinds["lost"] == ("Tuned wrong, gpt right", int("lost" in more))


def test_a_rival_that_was_not_asked_adds_no_filter():
    assert "lost" not in built({"tuned": [row()], "base": [row()]}, rival="gpt").kinds


def test_the_text_is_kept_where_it_says_more_than_the_answer():
    said = built({"tuned": [row(), row(text="I see good.")]}).items
    assert "text" not in said[0]["said"]["tuned"]
    assert said[1]["said"]["tuned"]["text"] == "I see good."


def test_probabilities_are_ranked_rounded_and_of_the_answer():
    chances = {"a": 0.05, "good": 0.7000049, "pit": 0.25}
    said = built({"tuned": [row(probabilities=chances)]}).items[0]["said"]["tuned"]
    assert said["p"] == 0.7000049
    assert said["probabilities"] == [["good", 0.7], ["pit", 0.25], ["a", 0.05]]


def test_six_probabilities_at_most():
    chances = {f"l{n}": n / 45 for n in range(10)}
    said = built({"tuned": [row(answer="l9", probabilities=chances)]}).items[0]["said"]["tuned"]
    assert [label for label, _ in said["probabilities"]] == ["l9", "l8", "l7", "l6", "l5", "l4"]


def test_the_written_reply_stands_beside_the_scored_one_where_it_differs():
    deployed = {"tuned": [row(), row()]}
    written = {"tuned": [row(text="good"), row(False, text="A pit.", answer="pit")], "nobody": [row(), row()]}
    same, other = (item["said"]["tuned"] for item in built(deployed, written).items)
    assert "written" not in same
    assert (other["written"], other["written_outcome"], same["written_outcome"]) == ("A pit.", "wrong", "correct")


def test_an_item_without_an_answer_says_so():
    said = built({"tuned": [row(False, None, text="No idea.", outcome="unparsed")]}).items[0]["said"]["tuned"]
    assert said == {"answer": None, "outcome": "unparsed", "text": "No idea."}


@pytest.mark.parametrize(("count", "kept"), [(1, 600), (5000, 500), (100_000, 80)])
def test_replies_are_cut_so_that_the_page_stays_small(count, kept, monkeypatch):
    """2,500,000 characters over 5,000 items of one model are 500 each; never under 80, never over 600."""
    shortened = min(count, 2)
    monkeypatch.setattr(gallery, "MOST_TEXT", gallery.MOST_TEXT * shortened // count)
    found = built({"tuned": [row(text="x" * 2000)] * shortened})
    assert len(found.items[0]["said"]["tuned"]["text"]) == kept


def test_questions_are_listed_once_and_cut():
    examples = (*bare.examples(1, "Q" * 3000), *bare.examples(2, "short"))
    found = gallery.build(examples, {"tuned": [row()] * 3}, {}, None, blurred=False)
    assert [item["question"] for item in found.items] == [0, 1, 1]
    assert [len(question) for question in found.questions] == [2000, 5]


def plain(example):
    return Image.new("RGB", (8, 8), "grey")


def test_pictures_go_to_the_most_worrying_first(monkeypatch):
    monkeypatch.setattr(gallery, "MOST_PICTURES", 2)
    right = {"tuned": [True, True, False, False], "base": [True, False, False, True]}
    deployed = {who: [row(one) for one in rows] for who, rows in right.items()}
    found = built(deployed, load=plain)
    assert [bool(item["picture"]) for item in found.items] == [False, False, True, True]
    assert found.pictures == 2


def test_lost_to_the_rival_comes_before_everything(monkeypatch):
    monkeypatch.setattr(gallery, "MOST_PICTURES", 1)
    right = {"tuned": [False, False], "base": [True, False], "gpt": [False, True]}
    found = built({who: [row(one) for one in rows] for who, rows in right.items()}, load=plain, rival="gpt")
    assert [bool(item["picture"]) for item in found.items] == [False, True]


def test_items_of_the_page_get_theirs_first_and_once(monkeypatch):
    monkeypatch.setattr(gallery, "MOST_PICTURES", 1)
    found = built({"tuned": [row(False), row(), row()]}, load=plain, first=("part2", "part1", "part2"))
    assert [item["picture"] for item in found.items] == [None, None, "#pic-2"]
    assert found.shown["part2"].startswith("data:image/webp;base64,")
    assert found.shown["part1"] is None


def test_pictures_end_where_the_page_would_grow_too_large(monkeypatch):
    monkeypatch.setattr(gallery, "MOST_BYTES", len(gallery.thumbnail(plain(None), blurred=False)) * 2)
    found = built({"tuned": [row()] * 4}, load=plain)
    assert found.pictures == 2
    assert sum(bool(item["picture"]) for item in found.items) == 2


def test_no_pictures_at_all():
    found = built({"tuned": [row(False)]}, first=("part0",))
    assert (found.pictures, found.items[0]["picture"], found.shown) == (0, None, {"part0": None})


def decoded(image, blurred=False):
    uri = gallery.thumbnail(image, blurred)
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


@pytest.mark.parametrize(
    ("size", "small"), [((448, 224), (224, 112)), ((100, 50), (100, 50)), ((1, 1), (1, 1)), ((2000, 4), (224, 1))]
)
def test_thumbnails_keep_their_shape_and_never_grow(size, small):
    found = decoded(Image.new("RGB", size, "red"))
    assert (found.size, found.format) == (small, "WEBP")


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16", "CMYK", "1", "P"])
def test_any_kind_of_picture_becomes_a_thumbnail(mode):
    assert decoded(Image.new(mode, (30, 20))).size == (30, 20)


def test_blurred_pictures_hold_no_fine_pattern():
    """A checkerboard of single pixels, as sharp as can be, is one even grey afterwards."""
    board = Image.frombytes("L", (224, 224), bytes(255 * ((x + y) % 2) for y in range(224) for x in range(224)))
    low, high = decoded(board, blurred=True).convert("L").getextrema()
    assert high - low < 12
    low, high = decoded(board).convert("L").getextrema()
    assert high - low > 100


def test_the_probabilities_beside_an_answer_are_those_that_gave_it():
    own = {"probabilities": {"good": 0.8, "pit": 0.2}, "even_probabilities": {"good": 0.4, "pit": 0.6}}
    found = built({"tuned": [row(answer="pit", **own)]}).items[0]["said"]["tuned"]
    assert (found["p"], found["probabilities"][0], found["even"]) == (0.6, ["pit", 0.6], True)
    plain = built({"tuned": [row(answer="good", probabilities={"good": 0.8, "pit": 0.2})]}).items[0]["said"]["tuned"]
    assert (plain["p"], "even" in plain) == (0.8, False)
