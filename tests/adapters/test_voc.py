"""Pascal VOC sets written by hand: corners, sizes, names, pairs by key, XML that is refused."""

import pytest
from adapters.sources import picture, save
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_adapters import voc
from data_adapters.voc import Options
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Box, Example, ImageRef

SIZE = (20, 10)


def thing(name="dent", corners=(1, 2, 3, 4)):
    edges = "".join(f"<{e}>{c}</{e}>" for e, c in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))
    return f"<object><name>{name}</name><bndbox>{edges}</bndbox></object>"


def write(root, things, images="JPEGImages", annotations="Annotations"):
    """Images by stem with the inside of their annotation, or None for no file."""
    (root / annotations).mkdir(exist_ok=True)
    for number, (stem, text) in enumerate(things.items()):
        save(root / images / f"{stem}.png", picture(number, SIZE))
        if text is not None:
            place = root / annotations / f"{stem}.xml"
            place.parent.mkdir(exist_ok=True, parents=True)
            place.write_text(f"<annotation>{text}</annotation>", encoding="utf-8")


def read(root, **options):
    return list(voc.read(root, Options(**options), root))


def test_a_set_by_hand(tmp_path):
    """VOC counts pixels from 1 and both corners are inside: 2-4 across is x 1 to 4."""
    write(tmp_path, {"b": thing(" long scratch ", (2, 3, 4, 6)) + thing(corners=(1, 1, 20, 10)), "a": ""})
    assert read(tmp_path) == [
        Example("JPEGImages/a.png#1", (ImageRef("JPEGImages/a.png"),), "", "JPEGImages/a.png", boxes=(),
                row="Annotations/a.xml"),
        Example("JPEGImages/b.png#1", (ImageRef("JPEGImages/b.png"),), "", "JPEGImages/b.png",
                boxes=(Box(1, 2, 4, 6, "long scratch"), Box(0, 0, 20, 10, "dent")), row="Annotations/b.xml"),
    ]  # fmt: skip


def test_folders_of_other_names_and_depths(tmp_path):
    write(tmp_path, {"train/p1/a": thing(), "val/p2/a": thing()}, images="img", annotations="xml")
    found = read(tmp_path, images="img", annotations="xml", split="path", group="parent")
    assert [(row.split, row.group, row.row) for row in found] == [
        ("train", "img/train/p1", "xml/train/p1/a.xml"),
        ("val", "img/val/p2", "xml/val/p2/a.xml"),
    ]


def test_a_group_that_misses_one_image(tmp_path):
    write(tmp_path, {"p1_a": "", "x": ""})
    good, bad = read(tmp_path, group=r"regex:(p\d)")
    assert good.group == "p1"
    assert bad == BadRow("Annotations/x.xml", "JPEGImages/x.png", "data.group=regex:(p\\d) does not match its path")


@pytest.mark.parametrize("first_pixel", [0, 1])
def test_the_number_of_the_first_pixel(tmp_path, first_pixel):
    write(tmp_path, {"a": thing(corners=(1 + first_pixel, 2 + first_pixel, 7, 8))})
    (example,) = read(tmp_path, first_pixel=first_pixel)
    assert example.boxes == (Box(1, 2, 7, 8, "dent"),)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first_pixel": 2}, "data.options.first_pixel: got 2, expected 0 or 1"),
        ({"split": "set"}, "data.split.column: got 'set'; here there are no columns"),
        ({"group": "lot"}, "data.group: got 'lot', expected 'parent' or 'regex:PATTERN'"),
    ],
)
def test_options_that_this_format_has_not(tmp_path, options, message):
    write(tmp_path, {"a": ""})
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": "gone"}, r"has no folder 'gone'; it is named in data.options"),
        ({"annotations": "gone"}, r"has no folder 'gone'; it is named in data.options"),
        ({"images": "../x"}, r"'../x' is not below data.path"),
        ({"annotations": "/etc"}, r"'/etc' is not below data.path"),
    ],
)
def test_folders_that_are_not_there(tmp_path, options, message):
    write(tmp_path, {"a": ""})
    with pytest.raises(DataError, match=message):
        read(tmp_path, **options)


def test_what_has_no_partner(tmp_path):
    write(tmp_path, {"a": None, "b": ""})
    for stem in "hgfedc":
        (tmp_path / "Annotations" / f"{stem}.xml").write_text("<annotation/>")
    save(tmp_path / "JPEGImages" / "b.jpg", picture(3, SIZE))
    first, *twins = read(tmp_path)[:3]
    assert first == BadRow("JPEGImages/a.png", "JPEGImages/a.png", "has no annotation Annotations/a.xml.")
    assert [row.path for row in twins] == ["JPEGImages/b.jpg", "JPEGImages/b.png"]
    assert all(row.reason.startswith("shares the key 'b' with 'JPEGImages/b.") for row in twins)
    strays = read(tmp_path)[3:]
    assert [row.row for row in strays] == [f"Annotations/{stem}.xml" for stem in "cdefgh"]
    assert {row.reason for row in strays} == {"has no image of its name."}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (thing(""), "object 1 has no name."),
        (thing() + "<object><bndbox/></object>", "object 2 has no name."),
        ("<object><name>dent</name></object>", "xmin of object 1 is '', expected a number."),
        (thing(corners=("1", "two", "3", "4")), "ymin of object 1 is 'two', expected a number."),
        (thing(corners=("1", "2", "nan", "4")), "box 1 (dent) [0, 1, nan, 4] is not made of finite numbers."),
        (thing(corners=("1", "2", "1e999", "4")), "box 1 (dent) [0, 1, inf, 4] is not made of finite numbers."),
        (
            thing(corners=(0, 2, 3, 4)),
            "object 1 has an edge at 0, where no pixel is with data.options.first_pixel=1; if",
        ),
        (thing(corners=(3, 2, 2, 4)), "box 1 (dent) [2, 1, 2, 4] has no area; expected x1 < x2 and y1 < y2."),
        (thing(corners=(1, 2, 22, 4)), "box 1 (dent) [0, 1, 22, 4] lies outside the image of 20 x 10 pixels."),
        (
            "<size><width>10</width><height>20</height></size>",
            "the annotation is for 10 x 20 pixels, the image has 20 x 10.",
        ),
        (f"<size><width>{'9' * 400}</width><height>1</height></size>", "the annotation is for a side of inf pixels"),
        ("<object>", "is not XML: mismatched tag"),
        ("&nbsp;", "is not XML: undefined entity"),
        ("\x01", "is not XML: not well-formed"),
    ],
)
def test_an_annotation_that_is_wrong(tmp_path, text, reason):
    write(tmp_path, {"a": text})
    (row,) = read(tmp_path)
    assert (row.row, row.path) == ("Annotations/a.xml", "JPEGImages/a.png")
    assert row.reason.startswith(reason)


@pytest.mark.parametrize(
    ("whole", "reason"),
    [
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><annotation/>", "declares a document type or an entity"),
        ("<!doctype annotation SYSTEM 'file:///etc/passwd'><annotation/>", "declares a document type or an entity"),
        ("<html/>", "is no VOC annotation: its root is <html>, expected <annotation>."),
        ("", "is not XML: no element found"),
    ],
)
def test_a_file_that_is_no_annotation(tmp_path, whole, reason):
    write(tmp_path, {"a": ""})
    (tmp_path / "Annotations" / "a.xml").write_text(whole)
    (row,) = read(tmp_path)
    assert row.reason.startswith(reason)


NESTED = "; expected <object> in <annotation> with <bndbox>."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"<objects>{thing()}</objects>", "has <object> in <objects>" + NESTED),
        (thing() + f"<layer><group>{thing()}</group></layer>", "has <object> in <group>" + NESTED),
        (thing().replace("object>", "Object>"), "has <Object> in <annotation>" + NESTED),
        ("<bndbox><xmin>1</xmin></bndbox>", "has <bndbox> in <annotation>" + NESTED),
        (thing().replace("<bndbox>", "<robndbox/><bndbox>"), "has <robndbox> in <object>" + NESTED),
        (thing().replace("</bndbox>", "</bndbox><bndbox/>"), "object 1 has several boxes."),
        ("<size><width>unknown</width><height>10</height></size>", "the size is 'unknown', expected a number."),
        ("<size><width>20.5</width><height>10</height></size>", "the annotation is for a side of 20.5 pixels"),
        (
            "<size><width>10.0</width><height>20.0</height></size>",
            "the annotation is for 10 x 20 pixels, the image has",
        ),
    ],
)
def test_nothing_is_left_out_in_silence(tmp_path, text, reason):
    """Boxes where none are looked for, and sizes that some tools write as fractions."""
    write(tmp_path, {"a": text})
    (row,) = read(tmp_path)
    assert (row.row, row.path) == ("Annotations/a.xml", "JPEGImages/a.png")
    assert row.reason.startswith(reason)


def test_parts_of_an_object_and_sizes_as_fractions_are_fine(tmp_path):
    """VOC marks heads and hands within a person; they are no objects."""
    part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part><polygon/></object>"
    size = "<size><width>20.0</width><height>10.0</height><depth>3</depth></size>"
    write(tmp_path, {"a": size + thing().replace("</object>", part)})
    (example,) = read(tmp_path)
    assert example.boxes == (Box(0, 1, 3, 4, "dent"),)


@pytest.mark.parametrize("size", [("0", "0"), ("", ""), ("20", "0"), ("-5", "3")])
def test_sizes_that_say_nothing_are_left_alone(tmp_path, size):
    write(tmp_path, {"a": f"<size><width>{size[0]}</width><height>{size[1]}</height></size>{thing()}"})
    (example,) = read(tmp_path)
    assert example.boxes == (Box(0, 1, 3, 4, "dent"),)


@pytest.mark.parametrize(
    ("stated", "box"), [((20, 10), Box(0, 0, 10, 10, "dent")), ((10, 20), Box(0, 0, 10, 10, "dent"))]
)
def test_the_stated_size_tells_what_was_drawn_on(tmp_path, stated, box):
    """Stored 20 x 10, turned right by EXIF: its left half becomes the upper half of 10 x 20."""
    size = f"<size><width>{stated[0]}</width><height>{stated[1]}</height></size>"
    write(tmp_path, {"a": size + thing(corners=(1, 1, 10, 10))})
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "JPEGImages" / "a.png", picture(0, SIZE), exif=exif)
    (example,) = read(tmp_path)
    assert example.boxes == (box,)


def test_an_image_without_content_names_its_annotation(tmp_path):
    write(tmp_path, {"a": thing()})
    (tmp_path / "JPEGImages" / "a.png").write_bytes(b"")
    (row,) = read(tmp_path, frame=0)
    assert row == BadRow("Annotations/a.xml", "JPEGImages/a.png", "image 'JPEGImages/a.png' is empty (0 bytes).")


@settings(max_examples=60)
@given(st.integers(0, 1), *[st.integers(0, 500)] * 2, *[st.integers(1, 500)] * 2)
def test_corners_come_back(first, x, y, w, h):
    """Written as a tool would that counts from `first` and names the last pixel inside, read by hand."""
    text = f"<annotation>{thing(corners=(x + first, y + first, x + w, y + h))}</annotation>"
    entry = voc._parse(text).find("object/bndbox")
    corners = [float(edge.text) for edge in entry]
    assert (corners[0] - first, corners[1] - first, corners[2] - x, corners[3] - y) == (x, y, w, h)


def test_published_lists_are_splits_and_what_is_in_none_is_set_aside(tmp_path):
    write(tmp_path, {"a": thing(), "b": thing(), "c": thing()})
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "test.txt").write_text("b  1\n")
    first, second, third = read(tmp_path, split="sets")
    assert (first.split, second.split) == ("train", "test")
    assert third == BadRow("Annotations/c.xml", "JPEGImages/c.png", "is in none of ImageSets/Main/{train,val,test}.txt")
    (lists / "val.txt").write_text("a\n")
    with pytest.raises(DataError, match=r"ImageSets/Main/val\.txt: 'a' is in train\.txt too"):
        read(tmp_path, split="sets")


def test_split_lists_that_are_not_there_are_named(tmp_path):
    write(tmp_path, {"a": thing()})
    with pytest.raises(DataError, match=r"data\.split\.column=sets: ImageSets/Main holds no train\.txt"):
        read(tmp_path, split="sets")


def test_difficult_objects_are_left_out_and_counted_where_asked(tmp_path):
    hard = thing("pit").replace("<bndbox>", "<difficult>1</difficult><bndbox>")
    write(tmp_path, {"a": thing() + hard})
    (kept,) = read(tmp_path)
    assert ([box.label for box in kept.boxes], kept.meta) == (["dent", "pit"], {})
    (left,) = read(tmp_path, difficult="leave_out")
    assert ([box.label for box in left.boxes], left.meta) == (["dent"], {"difficult_left_out": "1"})
