"""COCO files written by hand: every field, every option, every reason a row is refused, and the round trip of boxes."""

import json
import re

import pytest
from adapters.sources import picture, save
from hypothesis import given, settings
from hypothesis import strategies as st

from data_adapters import coco
from data_adapters.coco import Options
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Box, Example, ImageRef
from finetune.images.decode import Header

SIZE = (20, 10)
CATEGORIES = [{"id": 3, "name": "dent"}, {"id": 9, "name": "long scratch"}]


def annotation(image, box, category=3, **more):
    return {"id": 1, "image_id": image, "category_id": category, "bbox": box} | more


def write(root, names, annotations=(), file="annotations.json", folder="images", **more):
    """A file that lists `names` with ids from 1, without sizes."""
    for number, name in enumerate(names):
        save(root / folder / name, picture(number, SIZE))
    listed = [{"id": number, "file_name": name} for number, name in enumerate(names, 1)]
    tree = {"images": listed, "annotations": list(annotations), "categories": CATEGORIES} | more
    (root / file).write_text(json.dumps(tree), encoding="utf-8")


def read(root, **options):
    return list(coco.read(root, Options(**options), root))


def refused(root, **options):
    """The only row, which must be a bad one."""
    (row,) = read(root, **options)
    assert isinstance(row, BadRow)
    return row


def test_a_whole_file_by_hand(tmp_path):
    found = [annotation(2, [1, 2, 3, 4]), annotation(2, [0, 0, 20, 10], 9), annotation(1, [5.5, 1, 2, 2.25])]
    write(tmp_path, ["b.png", "a.png", "c.png"], found)
    assert read(tmp_path) == [
        Example("images/b.png#1", (ImageRef("images/b.png"),), "", "images/b.png",
                boxes=(Box(5.5, 1, 7.5, 3.25, "dent"),), row="annotations.json image 1"),
        Example("images/a.png#1", (ImageRef("images/a.png"),), "", "images/a.png",
                boxes=(Box(1, 2, 4, 6, "dent"), Box(0, 0, 20, 10, "long scratch")), row="annotations.json image 2"),
        Example("images/c.png#1", (ImageRef("images/c.png"),), "", "images/c.png", boxes=(),
                row="annotations.json image 3"),
    ]  # fmt: skip


def test_several_files_give_several_splits(tmp_path):
    write(tmp_path, ["a.png"], file="instances-train.json", folder="pictures")
    write(tmp_path, ["b.png"], [annotation(1, [1, 1, 1, 1])], file="instances_valid.json", folder="pictures")
    options = {"annotations": ("instances-train.json", "instances_valid.json"), "images": "pictures", "split": "path"}
    one, other = read(tmp_path, **options)
    assert (one.id, one.split, one.row) == ("pictures/a.png#1", "train", "instances-train.json image 1")
    assert (other.id, other.split, other.boxes) == ("pictures/b.png#1", "val", (Box(1, 1, 2, 2, "dent"),))
    assert [row.split for row in read(tmp_path, **(options | {"split": None}))] == [None, None]


def test_images_beside_the_file(tmp_path):
    write(tmp_path, ["a.png"], folder="")
    (example,) = read(tmp_path, images="")
    assert example.images == (ImageRef("a.png"),)


@pytest.mark.parametrize(
    ("rule", "groups"),
    [
        (None, ["images/p1/a.png", "images/p1/b.png", "images/p2/a.png"]),
        ("parent", ["images/p1", "images/p1", "images/p2"]),
        (r"regex:p(\d)", ["1", "1", "2"]),
        (r"regex:p\d", ["p1", "p1", "p2"]),
    ],
)
def test_groups(tmp_path, rule, groups):
    write(tmp_path, ["p1/a.png", "p1/b.png", "p2/a.png"])
    assert [row.group for row in read(tmp_path, group=rule)] == groups


def test_a_group_rule_that_misses_one_image(tmp_path):
    write(tmp_path, ["p1/a.png", "x/a.png"])
    good, bad = read(tmp_path, group=r"regex:(p\d)")
    assert good.group == "p1"
    assert bad == BadRow(
        "annotations.json image 2", "images/x/a.png", "data.group=regex:(p\\d) does not match its path"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "regex:("}, r"data.group: '\(' is no regular expression"),
        ({"group": "lot"}, r"data.group: got 'lot', expected 'parent' or 'regex:PATTERN'"),
        ({"split": "fold"}, r"data.split.column: got 'fold'; here there are no columns, only `path`"),
    ],
)
def test_options_that_this_format_has_not(tmp_path, options, message):
    write(tmp_path, ["a.png"])
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, **options)


def test_frame_and_window_reach_the_reference(tmp_path):
    write(tmp_path, ["a.png"])
    (example,) = read(tmp_path, frame=0, window=(10.0, 500.0))
    assert example.images == (ImageRef("images/a.png", frame=0, window=(10.0, 500.0)),)


def test_crowds(tmp_path):
    crowd = annotation(1, {"counts": [1, 2], "size": [10, 20]}, iscrowd=1)
    write(tmp_path, ["a.png", "b.png"], [annotation(1, [1, 1, 2, 2], iscrowd=0), crowd, crowd])
    bad, good = read(tmp_path)
    assert bad.reason == "annotation 2 is a crowd (iscrowd), no box of one object: set data.options.crowd=drop."
    assert good.meta == {}
    dropped, untouched = read(tmp_path, crowd="drop")
    assert (dropped.boxes, dropped.meta) == ((Box(1, 1, 3, 3, "dent"),), {"crowd_dropped": "2"})
    assert untouched.meta == {}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"bbox": None}, "annotation 1 has bbox None, expected [x, y, width, height]."),
        ({"bbox": [1, 2, 3]}, "annotation 1 has bbox [1, 2, 3], expected [x, y, width, height]."),
        ({"bbox": [1, 2, "3", 4]}, "a bbox value of annotation 1 is '3', expected a number."),
        ({"bbox": [1, 2, True, 4]}, "a bbox value of annotation 1 is True, expected a number."),
        ({"bbox": [1, 2, 10**400, 4]}, "a bbox value of annotation 1 is no number that fits."),
        ({"category_id": 4}, "annotation 1 has category_id 4; there is 3, 9."),
        ({"category_id": "3"}, "annotation 1 has category_id '3'; there is 3, 9."),
        ({"category_id": [3]}, "annotation 1 has category_id [3]; there is 3, 9."),
        ({"bbox": [1, 2, 0, 4]}, "box 1 (dent) [1, 2, 1, 6] has no area; expected x1 < x2 and y1 < y2."),
        ({"bbox": [5, 5, -2, 4]}, "box 1 (dent) [5, 5, 3, 9] has no area; expected x1 < x2 and y1 < y2."),
        ({"bbox": [18, 2, 4, 4]}, "box 1 (dent) [18, 2, 22, 6] lies outside the image of 20 x 10 pixels."),
        ({"bbox": [1, 10, 4, 0.5]}, "box 1 (dent) [1, 10, 5, 10.5] lies outside the image of 20 x 10 pixels."),
        ({"bbox": [-2, 2, 4, 4]}, "box 1 (dent) [-2, 2, 2, 6] lies outside the image of 20 x 10 pixels."),
    ],
)
def test_an_annotation_that_is_wrong(tmp_path, wrong, reason):
    write(tmp_path, ["a.png"], [annotation(1, [1, 2, 3, 4]) | wrong])
    assert refused(tmp_path) == BadRow("annotations.json image 1", "images/a.png", reason)


def test_a_number_too_large_for_a_float_is_no_box(tmp_path):
    write(tmp_path, ["a.png"], [annotation(1, [1, 2, "HUGE", 4])])
    file = tmp_path / "annotations.json"
    file.write_text(file.read_text().replace('"HUGE"', "1e999"))
    assert refused(tmp_path).reason == "box 1 (dent) [1, 2, inf, 6] is not made of finite numbers."


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"file_name": None}, "has file_name None, expected text."),
        ({"file_name": 7}, "has file_name 7, expected text."),
        ({"file_name": "gone.png"}, "image 'images/gone.png' does not exist"),
        ({"file_name": "../a.png"}, "image path 'images/../a.png' climbs with '..'"),
        ({"file_name": "/etc/passwd"}, "image path '/etc/passwd' is absolute"),
        ({"file_name": "C:\\a.png"}, "does not exist"),
        ({"file_name": "https://example.org/a.png"}, "is a URL; nothing is fetched"),
        ({"file_name": "data:image/png;base64,AA"}, "is a URL; nothing is fetched"),
        ({"width": 19, "height": 10}, "the annotation is for 19 x 10 pixels, the image has 20 x 10."),
        ({"width": 20}, "its height is None, expected a number."),
        ({"width": "20", "height": 10}, "its width is '20', expected a number."),
    ],
)
def test_an_image_that_is_wrong(tmp_path, entry, reason):
    write(tmp_path, ["a.png"])
    tree = json.loads((tmp_path / "annotations.json").read_text())
    tree["images"][0] |= entry
    (tmp_path / "annotations.json").write_text(json.dumps(tree))
    row = refused(tmp_path)
    assert row.row == "annotations.json image 1"
    assert reason in row.reason


def test_a_stated_size_that_no_image_has(tmp_path):
    write(tmp_path, ["a.png"])
    text = json.dumps({"images": [{"id": 1, "file_name": "a.png", "width": 0, "height": 10}], "annotations": [],
                       "categories": []})  # fmt: skip
    (tmp_path / "annotations.json").write_text(text.replace('"width": 0', '"width": 1e999'))
    assert refused(tmp_path).reason == "the annotation is for a side of inf pixels, expected a whole number."


def test_an_image_listed_twice_counts_once(tmp_path):
    write(tmp_path, ["a.png", "a.png"])
    good, bad = read(tmp_path)
    assert good.id == "images/a.png#1"
    assert bad == BadRow("annotations.json image 2", "images/a.png", "is listed twice.")


def test_twice_across_files_too(tmp_path):
    write(tmp_path, ["a.png"], file="one.json")
    write(tmp_path, ["a.png"], file="two.json")
    _, bad = read(tmp_path, annotations=("one.json", "two.json"))
    assert (bad.row, bad.reason) == ("two.json image 1", "is listed twice.")


def test_annotations_of_no_image(tmp_path):
    strays = [annotation(key, [1, 1, 1, 1]) for key in (8, 7, "1", None)]
    write(tmp_path, ["a.png"], strays)
    example, *rows = read(tmp_path)
    assert example.boxes == ()
    assert [(row.row, row.reason) for row in rows] == [
        ("annotations.json annotation 1", "its image_id 8 is no image of the file."),
        ("annotations.json annotation 2", "its image_id 7 is no image of the file."),
        ("annotations.json annotation 3", "its image_id '1' is no image of the file."),
        ("annotations.json annotation 4", "its image_id None is no image of the file."),
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"images": None}, r"is no COCO file: expected lists of objects: images, annotations, categories"),
        ({"annotations": [1]}, r"is no COCO file"),
        ({"categories": [{"id": 1}]}, r"category {'id': 1} lacks a whole number `id` or a text `name`"),
        ({"categories": [{"id": 1, "name": ""}]}, r"lacks a whole number `id` or a text `name`"),
        ({"images": [{"id": 1}, {"id": 1}]}, r"every image needs a whole number `id` of its own"),
        ({"images": [{"id": "1"}]}, r"every image needs a whole number `id` of its own"),
    ],
)
def test_a_tree_that_is_no_coco(tmp_path, more, message):
    write(tmp_path, [], **more)
    with pytest.raises(DataError, match=r"annotations\.json.*" + re.escape(message.replace("\\", ""))):
        read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"annotations.json is not JSON: Expecting"),
        ('{"images": [], "images": []}', r"annotations.json is not JSON: it has 'images' twice"),
        ('{"images": [NaN]}', r"annotations.json is not JSON: NaN is no number of JSON"),
        ("[" * 100_000, r"annotations.json is not JSON: maximum recursion"),
        ("", r"annotations.json is not JSON: Expecting value"),
    ],
)
def test_text_that_is_no_json(tmp_path, text, message):
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_missing_and_foreign_bytes(tmp_path):
    with pytest.raises(DataError, match=r"file 'annotations.json' does not exist"):
        read(tmp_path)
    (tmp_path / "annotations.json").write_bytes(b'{"images": "\xff"}')
    with pytest.raises(DataError, match=r"annotations.json is not UTF-8 \(invalid start byte at byte 12\)"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"expected the folder with annotations.json and images/"):
        read(tmp_path / "annotations.json")


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(*[st.integers(0, 8)] * 2, *[st.integers(1, 2)] * 2, st.sampled_from([3, 9])),
        max_size=6,
        unique=True,
    )
)
def test_boxes_come_back_as_x_y_width_height(found):
    """What leaves as corners is what went in, written back the COCO way: whole numbers lose nothing."""
    labels = {entry["id"]: entry["name"] for entry in CATEGORIES}
    rows = [annotation(1, [x, y, w, h], kind) for x, y, w, h, kind in found]
    boxes = [coco._box(row, number, labels) for number, row in enumerate(rows, 1)]
    placed = coco._boxes.place(boxes, Header(*SIZE), "upright")
    assert [(b.x1, b.y1, b.x2 - b.x1, b.y2 - b.y1, b.label) for b in placed] == [
        (x, y, w, h, labels[kind]) for x, y, w, h, kind in found
    ]
