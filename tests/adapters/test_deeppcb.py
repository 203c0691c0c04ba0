"""DeepPCB pairs in both layouts, by hand: the order of the two images, boxes, groups, splits and refusals."""

import json

import pytest
from adapters.sources import picture, save, write_csv
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_adapters import deeppcb
from data_adapters.deeppcb import KINDS, Options
from finetune.errors import DataError
from finetune.example import BadRow, Box, Example, ImageRef

SIZE = (20, 10)
HEADER = ["filename", "template", "board", "boxes", "template_group", "official_split"]
ROW = ["a_test.png", "a_temp.png", "00041", '[[1, 2, 3, 4, "open"]]', "t1", "trainval"]


def table(root, rows, header=HEADER):
    for name in ("a_test", "a_temp", "b_test", "b_temp"):
        save(root / "images" / f"{name}.png", picture(len(name), SIZE))
    write_csv(root / "labels.csv", [header, *rows])


def tree(root, notes, board="00041"):
    """`groupB/B/NAME_{test,temp}.jpg` and `groupB/B_not/NAME.txt`, as the authors lay them out."""
    for name, text in notes.items():
        for end in ("test", "temp"):
            save(root / f"group{board}" / board / f"{name}_{end}.jpg", picture(1, SIZE))
        place = root / f"group{board}" / f"{board}_not" / f"{name}.txt"
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)


def read(root, **options):
    return list(deeppcb.read(root, Options(**options), root))


def test_a_table_by_hand(tmp_path):
    table(tmp_path, [ROW, ["b_test.png", "b_temp.png", "00077", "[]", "t2", "test"]])
    refs = [(ImageRef(f"images/{n}_test.png"), ImageRef(f"images/{n}_temp.png")) for n in "ab"]
    assert read(tmp_path) == [
        Example("images/a_test.png#1", refs[0], "", "images/a_test.png", boxes=(Box(1, 2, 3, 4, "open"),),
                meta={"board": "00041"}, row="labels.csv line 2"),
        Example("images/b_test.png#1", refs[1], "", "images/b_test.png", boxes=(), meta={"board": "00077"},
                row="labels.csv line 3"),
    ]  # fmt: skip


def test_groups_splits_and_the_tested_board_alone(tmp_path):
    table(tmp_path, [ROW, ["b_test.png", "b_temp.png", "00077", "[]", "t2", "test"]])
    found = read(tmp_path, group="template_group", split="official_split", template=False)
    assert [(row.group, row.split, len(row.images)) for row in found] == [("t1", "train", 1), ("t2", "test", 1)]
    assert [row.group for row in read(tmp_path, group="board")] == ["00041", "00077"]


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("boxes", "[[1,2,3,4]]", "boxes: expected [[x1, y1, x2, y2, kind], ...]."),
        ("boxes", "{}", "boxes: expected [[x1, y1, x2, y2, kind], ...]."),
        ("boxes", "[1]", "boxes: expected [[x1, y1, x2, y2, kind], ...]."),
        ("boxes", '[[1,2,3,4,"dent"]]', f"boxes: the kind 'dent' is none of {', '.join(KINDS)}."),
        ("boxes", "[[1,2,3,4,1]]", "boxes: the kind 1 is none of open"),
        ("boxes", '[[1,2,null,4,"open"]]', "boxes: a corner is None, expected a number."),
        ("boxes", "[[1,2", "boxes: is not JSON: Expecting"),
        ("boxes", '[[1,2,NaN,4,"open"]]', "boxes: is not JSON: NaN is no number of JSON"),
        ("boxes", '[[5,2,3,4,"open"]]', "box 1 (open) [5, 2, 3, 4] has no area"),
        ("boxes", '[[1,2,30,4,"spur"]]', "box 1 (spur) [1, 2, 30, 4] lies outside the image of 20 x 10 pixels."),
        ("boxes", " ", "no value for boxes"),
        ("board", "", "no value for board"),
        ("filename", "gone.png", "image 'images/gone.png' does not exist"),
        ("template", "../x.png", "image path 'images/../x.png' climbs with '..'"),
        ("template", "https://example.org/x.png", "is a URL; nothing is fetched"),
        ("template", "small.png", "its template 'images/small.png' has another size."),
    ],
)
def test_a_row_that_is_wrong(tmp_path, column, value, reason):
    table(tmp_path, [[value if name == column else cell for name, cell in zip(HEADER, ROW, strict=True)]])
    save(tmp_path / "images" / "small.png", picture(0, (4, 4)))
    (row,) = read(tmp_path)
    assert row.row == "labels.csv line 2"
    assert reason in row.reason


def test_boxes_on_images_that_exif_turns_need_a_word(tmp_path):
    """Stored 20 x 10, turned right: (1, 2, 3, 4) stored is (10 - 4, 1, 10 - 2, 3) upright."""
    table(tmp_path, [ROW])
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a_test", "a_temp"):
        save(tmp_path / "images" / f"{name}.png", picture(1, SIZE), exif=exif)
    (bad,) = read(tmp_path)
    assert "say data.options.drawn_on=stored or data.options.drawn_on=upright" in bad.reason
    assert [read(tmp_path, drawn_on=said)[0].boxes for said in ("stored", "upright")] == [
        (Box(6, 1, 8, 3, "open"),),
        (Box(1, 2, 3, 4, "open"),),
    ]


def test_a_template_that_is_not_shown_is_not_looked_at(tmp_path):
    table(tmp_path, [[*ROW[:1], "gone.png", *ROW[2:]]])
    assert isinstance(read(tmp_path, template=True)[0], BadRow)
    assert isinstance(read(tmp_path, template=False)[0], Example)


def test_columns_that_are_missing(tmp_path):
    table(tmp_path, [ROW[:4]], HEADER[:4])
    with pytest.raises(DataError, match=r"labels.csv has no column 'lot'; its header has filename, template, board"):
        read(tmp_path, group="lot")
    with pytest.raises(DataError, match=r"labels.csv has no column 'official_split'"):
        read(tmp_path, split="official_split")
    table(tmp_path, [], ["filename", "template", "board", "board", "boxes"])
    with pytest.raises(DataError, match=r"labels.csv has two columns of one name"):
        read(tmp_path)


def test_the_authors_folders(tmp_path):
    tree(tmp_path, {"00041000": "1 2 3 4 1\n\n5,2,9,6,6\n", "00041001": ""})
    one, other = read(tmp_path, group="board")
    assert one.images == (
        ImageRef("group00041/00041/00041000_test.jpg"),
        ImageRef("group00041/00041/00041000_temp.jpg"),
    )
    assert one.boxes == (Box(1, 2, 3, 4, "open"), Box(5, 2, 9, 6, "pin-hole"))
    assert (one.group, one.meta, one.row) == ("00041", {"board": "00041"}, "group00041/00041_not/00041000.txt")
    assert (other.boxes, other.id) == ((), "group00041/00041/00041001_test.jpg#1")
    assert [row.group for row in read(tmp_path)] == [row.images[0].path for row in (one, other)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1 2 3 4", "'1 2 3 4' is not `x1 y1 x2 y2 kind` with a kind from 1 to 6."),
        ("1 2 3 4 0", "'1 2 3 4 0' is not `x1 y1 x2 y2 kind`"),
        ("1 2 3 4 7", "'1 2 3 4 7' is not `x1 y1 x2 y2 kind`"),
        ("1 2 3 4 12", "'1 2 3 4 12' is not `x1 y1 x2 y2 kind`"),
        ("1 2 3 4 123456", "'1 2 3 4 123456' is not `x1 y1 x2 y2 kind`"),
        ("1 2 three 4 1", "a corner is 'three', expected a number."),
        ("1 2 inf 4 1", "box 1 (open) [1, 2, inf, 4] is not made of finite numbers."),
        ("x" * 500, f"'{'x' * 80}' is not"),
    ],
)
def test_a_line_that_is_wrong(tmp_path, line, reason):
    tree(tmp_path, {"00041000": line})
    (row,) = read(tmp_path)
    assert (row.row, row.path) == ("group00041/00041_not/00041000.txt", "group00041/00041/00041000_test.jpg")
    assert row.reason.startswith(reason)


@pytest.mark.parametrize("lost", ["00041/00041000_temp.jpg", "00041_not/00041000.txt"])
def test_a_pair_without_its_other_half(tmp_path, lost):
    tree(tmp_path, {"00041000": ""})
    (tmp_path / "group00041" / lost).unlink()
    (row,) = read(tmp_path)
    assert row.reason == "lacks group00041/00041/00041000_temp or group00041/00041_not/00041000.txt, or exists twice."


@pytest.mark.parametrize("end", ["test", "temp"])
def test_a_half_that_exists_twice(tmp_path, end):
    tree(tmp_path, {"00041000": ""})
    save(tmp_path / "group00041" / "00041" / f"00041000_{end}.png", picture(5, SIZE))
    rows = read(tmp_path)
    assert [row.path for row in rows] == [f"group00041/00041/00041000_test.{kind}" for kind in ("jpg", "png")][
        : len(rows)
    ]
    assert len(rows) == (2 if end == "test" else 1)
    assert all(row.reason.endswith("or exists twice.") for row in rows)


def test_what_belongs_to_no_pair_is_told(tmp_path):
    """A template, a note or an image left over would be passed by without a word; figures elsewhere are no business."""
    tree(tmp_path, {"00041000": ""})
    for name in ("group00041/00041/00041001_temp.jpg", "group00041/00041/odd.jpg", "fig/readme.jpg", "loose_test.jpg"):
        save(tmp_path / name, picture(5, SIZE))
    (tmp_path / "group00041" / "00041_not" / "00041002.txt").write_text("")
    (tmp_path / "trainval.txt").write_text("")
    good, *bad = read(tmp_path)
    assert isinstance(good, Example)
    assert {row.path: row.reason for row in bad} == {
        "loose_test.jpg": "lacks /loose_temp or _not/loose.txt, or exists twice.",
        **dict.fromkeys(
            (f"group00041/{name}" for name in ("00041/00041001_temp.jpg", "00041/odd.jpg", "00041_not/00041002.txt")),
            "belongs to no NAME_test image.",
        ),
    }


def test_the_authors_folders_have_no_columns(tmp_path):
    tree(tmp_path, {"00041000": ""})
    for options in ({"split": "official_split"}, {"group": "template_group"}):
        with pytest.raises(DataError, match=r"name no such column; only data.group=board is known here"):
            read(tmp_path, **options)


@settings(max_examples=60)
@given(st.lists(st.tuples(*[st.integers(0, 600)] * 4, st.sampled_from(range(6))), max_size=8))
def test_both_spellings_of_a_box_agree(found):
    boxes = [Box(*map(float, corners), KINDS[kind]) for *corners, kind in found]
    assert deeppcb._listed(json.loads(json.dumps([[*corners, KINDS[kind]] for *corners, kind in found]))) == boxes
    assert [deeppcb._line(" ".join(map(str, (*corners, kind + 1)))) for *corners, kind in found] == boxes
