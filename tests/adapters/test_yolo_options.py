"""Options of YOLO sets: class names in every form, groups, splits, EXIF, and what each refuses."""

import pytest
from adapters.sources import picture, save
from PIL import Image

from data_adapters import yolo
from data_adapters.yolo import Options
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Box, ImageRef

BOX = "0 0.25 0.5 0.5 1\n"


def read(root, **options):
    return list(yolo.read(root, Options(**options), root))


@pytest.fixture
def root(tmp_path):
    """Three parts of two views each, by folder, all of 20 x 10 pixels."""
    for number, key in enumerate(("train/images/p1_a", "train/images/p1_b", "valid/images/p2_a", "test/images/p3_a")):
        save(tmp_path / f"{key}.png", picture(number, (20, 10)))
        place = tmp_path / f"{key.replace('images', 'labels')}.txt"
        place.parent.mkdir(exist_ok=True)
        place.write_text(BOX)
    (tmp_path / "data.yaml").write_text("names: [dent]\n")
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text", "names"),
    [
        ("data.yaml", "names: [dent, 'no']", ["dent", "no"]),
        ("data.yml", "names: {1: b, 0: a}", ["a", "b"]),
        ("DATA.YAML", "names:\n  - a\n  - \u6f22\u5b57\n", ["a", "\u6f22\u5b57"]),
        ("classes.txt", "a\n\n b c \nno\n", ["a", "b c", "no"]),
        ("obj.names", "\ufeffa\r\nb\r\n", ["a", "b"]),
    ],
)
def test_class_names(tmp_path, file, text, names):
    (tmp_path / file).write_text(text, encoding="utf-8", newline="")
    assert yolo._names(tmp_path, file) == names


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("data.yaml", "names: [null]", r"data.yaml: the class name None is no text; quote the label"),
        ("data.yaml", "names: [' ']", r"data.yaml: the class name ' ' is no text"),
        ("data.yaml", "names: [2020-01-01]", r"the class name datetime.date\(2020, 1, 1\) is no text"),
        ("data.yaml", "names: [2020-13-45]", r"data.yaml is not YAML: month must be in 1..12"),
        ("data.yaml", "names: {'0': a}", r"data.yaml: the keys of `names` are \['0'\], expected 0 to 0"),
        ("data.yaml", "names: {0: a, 2: b}", r"the keys of `names` are \['0', '2'\], expected 0 to 1"),
        ("data.yaml", "names: dent", r"data.yaml has no list `names` of class names"),
        ("data.yaml", "names: []", r"data.yaml has no list `names` of class names"),
        ("data.yaml", "- dent", r"data.yaml has no list `names` of class names"),
        ("data.yaml", "", r"data.yaml has no list `names` of class names"),
        ("data.yaml", "a: [", r"data.yaml is not YAML: while parsing"),
        ("data.yaml", "[" * 1500, r"data.yaml is not YAML"),
        ("data.yaml", "names: !!python/object/apply:os.system ['true']", r"data.yaml is not YAML: could not determine"),
        ("classes.txt", "\n\n", r"classes.txt names no classes; expected one a line"),
    ],
)
def test_class_names_that_are_none(tmp_path, file, text, message):
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=message):
        yolo._names(tmp_path, file)


def test_names_that_are_missing_or_elsewhere(root):
    with pytest.raises(DataError, match=r"file 'classes.txt' does not exist"):
        read(root, names="classes.txt")
    with pytest.raises(DataError, match=r"file path '../data.yaml' climbs with '..'"):
        read(root, names="../data.yaml")
    with pytest.raises(DataError, match=r"expected the folder with data.yaml, images/ and labels/"):
        read(root / "data.yaml")


def test_a_text_file_of_names_is_no_label_file(root):
    (root / "labels").mkdir()
    (root / "labels" / "classes.txt").write_text("hole\n")
    rows = read(root, names="labels/classes.txt")
    assert [row.boxes for row in rows] == [(Box(0, 0, 10, 10, "hole"),)] * 4


def test_caches_and_class_lists_beside_labels_are_no_labels(root):
    """As Ultralytics and LabelImg leave them behind."""
    before = read(root)
    for name in ("train.cache", "train/labels.cache", "valid/labels/labels.cache", "test/images/labels.CACHE"):
        (root / name).write_bytes(b"\x80\x04")
    for name in ("train/labels/classes.txt", "test/labels/classes.txt"):
        (root / name).write_text("dent\n")
    assert read(root) == before
    (root / "valid" / "labels" / "notes.txt").write_text("dent\n")
    assert read(root)[4:] == [BadRow("valid/labels/notes.txt", "valid/labels/notes.txt", "has no image of its name.")]


def test_a_class_list_that_says_otherwise_is_refused(root):
    (root / "train" / "labels" / "classes.txt").write_text("hole\ndent\n")
    told = (
        r"train/labels/classes.txt lists the classes hole, dent, and data.yaml dent: .* data.options.names=train/labels"
    )
    with pytest.raises(DataError, match=told):
        read(root)
    assert [row.boxes[0].label for row in read(root, names="train/labels/classes.txt")] == ["hole"] * 4


def test_an_image_called_classes_has_its_labels(root):
    save(root / "train" / "images" / "classes.png", picture(7, (20, 10)))
    (root / "train" / "labels" / "classes.txt").write_text(BOX)
    assert [row.row for row in read(root) if "classes" in row.row] == ["train/labels/classes.txt"]


def test_splits_from_the_path(root):
    found = {row.images[0].path: row.split for row in read(root, split="path")}
    assert found == {
        "test/images/p3_a.png": "test",
        "train/images/p1_a.png": "train",
        "train/images/p1_b.png": "train",
        "valid/images/p2_a.png": "val",
    }
    assert {row.split for row in read(root)} == {None}


@pytest.mark.parametrize(
    ("rule", "groups"),
    [
        ("parent", ["test/images", "train/images", "train/images", "valid/images"]),
        (r"regex:(p\d)_", ["p3", "p1", "p1", "p2"]),
        (r"regex:p\d", ["p3", "p1", "p1", "p2"]),
    ],
)
def test_groups(root, rule, groups):
    assert [row.group for row in read(root, group=rule)] == groups


def test_a_group_rule_that_misses(root):
    rows = read(root, group=r"regex:(p[12])_")
    assert rows[0] == BadRow(
        "test/labels/p3_a.txt", "test/images/p3_a.png", "data.group=regex:(p[12])_ does not match its path"
    )
    assert [row.group for row in rows[1:]] == ["p1", "p1", "p2"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group": "regex:"}, "data.group: got 'regex:', expected 'parent' or 'regex:PATTERN'"),
        ({"group": "regex:[a"}, "data.group: '\\[a' is no regular expression"),
        ({"split": "lot"}, "data.split.column: got 'lot'; here there are no columns"),
    ],
)
def test_options_that_this_format_has_not(root, options, message):
    with pytest.raises(ConfigError, match=message):
        read(root, **options)


def turned(root, orientation=6):
    """Stored 20 x 10, shown 10 x 20."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(root / "images" / "a.png", picture(0, (20, 10)), exif=exif)
    (root / "labels").mkdir()
    (root / "labels" / "a.txt").write_text(BOX)
    (root / "data.yaml").write_text("names: [dent]\n")


@pytest.mark.parametrize(
    ("drawn_on", "box"),
    # stored: x 0-10 and y 0-10 of 20 x 10, turned right: the left half becomes the upper one.
    [("stored", Box(0, 0, 10, 10, "dent")), ("upright", Box(0, 0, 5, 20, "dent"))],
)
def test_shares_of_a_turned_image(tmp_path, drawn_on, box):
    turned(tmp_path)
    (example,) = read(tmp_path, drawn_on=drawn_on)
    assert example.boxes == (box,)


def test_a_turned_image_needs_a_word(tmp_path):
    turned(tmp_path, 8)
    (row,) = read(tmp_path)
    assert row.row == "labels/a.txt"
    assert row.reason.startswith("EXIF turns the image (orientation 8), and nothing says whether its boxes were drawn")


def test_damaged_images_and_foreign_labels(root):
    (root / "train" / "images" / "p1_a.png").write_bytes(b"no picture")
    (root / "train" / "labels" / "p1_b.txt").write_bytes(b"0 0.5 \xff")
    rows = {row.path: row.reason for row in read(root) if isinstance(row, BadRow)}
    assert "is none of the formats read here" in rows["train/images/p1_a.png"]
    assert "train/labels/p1_b.txt is not UTF-8" in rows["train/images/p1_b.png"]


def test_a_label_that_links_out_is_refused_unread(root, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.txt"
    secret.write_text(BOX)
    place = root / "test" / "labels" / "p3_a.txt"
    place.unlink()
    place.symlink_to(secret)
    (row,) = (row for row in read(root) if isinstance(row, BadRow))
    assert "is a link out of" in row.reason


def test_frame_and_window_reach_the_reference(root):
    rows = read(root, frame=0, window=(0.0, 9.0))
    assert rows[0].images == (ImageRef("test/images/p3_a.png", frame=0, window=(0.0, 9.0)),)
