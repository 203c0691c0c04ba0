"""YOLO sets written by hand: names, label files, pairs by key, options, refusals with line numbers."""

import pytest
from adapters.sources import picture, save
from hypothesis import given, settings
from hypothesis import strategies as st

from data_adapters import yolo
from data_adapters.yolo import Options
from finetune.errors import DataError
from finetune.example import BadRow, Box, Example, ImageRef

SIZE = (20, 10)


def write(root, labels, names="names: [dent, long scratch]\n", folder=""):
    """Images by stem with the text of their label file, or None for no file."""
    for number, (stem, text) in enumerate(labels.items()):
        save(root / folder / "images" / f"{stem}.png", picture(number, SIZE))
        if text is not None:
            place = root / folder / "labels" / f"{stem}.txt"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
    (root / "data.yaml").write_text(names, encoding="utf-8")


def read(root, **options):
    return list(yolo.read(root, Options(**options), root))


def test_a_set_by_hand(tmp_path):
    """20 x 10 pixels: a centre of (0.5, 0.5) with (0.25, 0.4) is 7.5 to 12.5 across and 3 to 7 down."""
    write(tmp_path, {"b": "1 0.5 0.5 0.25 0.4\n0 0.05 0.1 0.1 0.2\n", "a": ""})
    assert read(tmp_path) == [
        Example("images/a.png#1", (ImageRef("images/a.png"),), "", "images/a.png", boxes=(), row="labels/a.txt"),
        Example(
            "images/b.png#1",
            (ImageRef("images/b.png"),),
            "",
            "images/b.png",
            boxes=(Box(7.5, 3, 12.5, 7, "long scratch"), Box(0, 0, 2, 2, "dent")),
            row="labels/b.txt",
        ),
    ]


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("images/a", "labels/a"),
        ("images/train/a", "labels/train/a"),
        ("train/images/a", "train/labels/a"),
        ("images/images/a", "images/labels/a"),
        ("a/images", "a/images"),
        ("images", "images"),
        ("pictures/a", "pictures/a"),
    ],
)
def test_the_last_folder_images_becomes_labels(key, label):
    assert yolo._label_key(key) == label


def test_labels_beside_images(tmp_path):
    save(tmp_path / "all" / "a.png", picture(0, SIZE))
    (tmp_path / "all" / "a.txt").write_text("0 0.5 0.5 1 1")
    (tmp_path / "data.yaml").write_text("names: [dent]")
    (example,) = read(tmp_path)
    assert (example.boxes, example.row) == ((Box(0, 0, 20, 10, "dent"),), "all/a.txt")


def test_images_without_labels(tmp_path):
    write(tmp_path, {"a": None})
    (row,) = read(tmp_path)
    assert (row.row, row.path) == ("images/a.png", "images/a.png")
    assert row.reason.startswith("has no label file. Give it one (an empty file says that it shows nothing)")
    assert "data.options.missing=background" in row.reason
    (example,) = read(tmp_path, missing="background")
    assert (example.boxes, example.row) == ((), "images/a.png")


def test_labels_without_images_are_told_in_order(tmp_path):
    write(tmp_path, {"a": ""})
    for stem in "hgfedcb":
        (tmp_path / "labels" / f"{stem}.txt").write_text("")
    (tmp_path / "README.txt").write_text("about this set")  # lies in no folder `labels`
    _, *rows = read(tmp_path)
    assert rows == [BadRow(f"labels/{s}.txt", f"labels/{s}.txt", "has no image of its name.") for s in "bcdefgh"]


def test_two_images_of_one_key(tmp_path):
    write(tmp_path, {"a": ""})
    save(tmp_path / "images" / "a.jpg", picture(1, SIZE))
    one, other = read(tmp_path)
    assert one == BadRow(
        "images/a.jpg",
        "images/a.jpg",
        "shares the key 'images/a' with 'images/a.png'; which one does the annotation mean?",
    )
    assert other.path == "images/a.png"


def test_names_that_differ_in_case_or_form_stay_apart(tmp_path):
    """Each name has a box as wide as its place in the list says, so a wrong pair shows."""
    names = ["a", "A", "\u00e9", "e\u0301", "new\nline", "dot.ted", " space "]
    write(tmp_path, {name: f"0 0.5 0.5 {(n + 1) / 10} 1" for n, name in enumerate(names)})
    widths = {row.images[0].path: row.boxes[0].x2 - row.boxes[0].x1 for row in read(tmp_path)}
    assert widths == pytest.approx({f"images/{name}.png": 2.0 * (n + 1) for n, name in enumerate(names)})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 0.5 0.5 0.1", "line 1 has 4 fields; expected class, x, y, width, height, or class and a polygon."),
        (
            "\n0 0.5 0.5 0.1 0.1 0.9",
            "line 2 has 6 fields; expected class, x, y, width, height, or class and a polygon.",
        ),
        ("0 .1 .1 .2 .2 .3 .3 .4", "line 1 has 8 fields; expected class, x, y, width, height, or class and a polygon."),
        ("2 0.5 0.5 0.1 0.1", "line 1 has class '2'; expected 0 to 1."),
        ("-1 0.5 0.5 0.1 0.1", "line 1 has class '-1'; expected 0 to 1."),
        ("0.0 0.5 0.5 0.1 0.1", "line 1 has class '0.0'; expected 0 to 1."),
        ("dent 0.5 0.5 0.1 0.1", "line 1 has class 'dent'; expected 0 to 1."),
        ("\u00b2 0.5 0.5 0.1 0.1", "line 1 has class '\u00b2'; expected 0 to 1."),
        ("0000000009 0.5 0.5 0.1 0.1", "line 1 has class '0000000009'; expected 0 to 1."),
        ("1" * 5000 + " 0.5 0.5 0.1 0.1", f"line 1 has class '{'1' * 20}'; expected 0 to 1."),
        ("0 0,5 0.5 0.1 0.1", "a value of line 1 is '0,5', expected a number."),
        ("0 nan 0.5 0.1 0.1", "line 1 has a value outside 0 to 1; YOLO's are shares of the image, not pixels."),
        ("0 10 5 4 4", "line 1 has a value outside 0 to 1; YOLO's are shares of the image, not pixels."),
        ("0 0.5 0.5 0 0.1", "box 1 (dent) [10, 4.5, 10, 5.5] has no area; expected x1 < x2 and y1 < y2."),
        ("0 0.5 0.5 0.2 0.2\n1 1 0.5 0.5 0.2", "box 2 (long scratch) [15, 4, 25, 6] lies outside the image of 20 x 10"),
    ],
)
def test_a_line_that_is_wrong(tmp_path, text, reason):
    write(tmp_path, {"a": text})
    (row,) = read(tmp_path)
    assert (row.row, row.path) == ("labels/a.txt", "images/a.png")
    assert row.reason.startswith(reason)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from([0, 1]), *[st.integers(0, 90)] * 2, *[st.integers(1, 10)] * 2), max_size=5),
    st.integers(100, 5000),
    st.integers(100, 5000),
)
def test_shares_come_back_as_pixels(found, width, height):
    """Boxes in hundredths of an image, written as shares by hand."""
    for kind, x, y, w, h in found:
        line = f"{kind} {(x + w / 2) / 100!r} {(y + h / 2) / 100!r} {w / 100!r} {h / 100!r}"
        box = yolo._box(line, 1, ["dent", "hole"], (width, height))
        corners = (x * width / 100, y * height / 100, (x + w) * width / 100, (y + h) * height / 100)
        assert (box.x1, box.y1, box.x2, box.y2) == pytest.approx(corners, abs=1e-8)
        assert box.label == ["dent", "hole"][kind]


def test_key_points_are_no_polygons(tmp_path):
    write(tmp_path, {"a": "0 0.5 0.5 0.2 0.2 0.4 0.4 0.5 0.5\n"}, names="names: [dent]\nkpt_shape: [2, 2]\n")
    with pytest.raises(DataError, match=r"data.yaml has kpt_shape: its labels hold key points"):
        read(tmp_path)
