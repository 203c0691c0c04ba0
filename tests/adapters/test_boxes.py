"""Boxes of every annotation format, by hand: corners, EXIF in all eight orientations, sizes that disagree."""

import json

import numpy as np
import pytest
from PIL import Image

from data_adapters import coco, deeppcb, masks, mvtec, voc, yolo
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Box, ImageRef
from finetune.images import decode

RED, GREY = (255, 0, 0), (90, 90, 90)


def coco_of(root, name, box, **entry):
    tree = {
        "images": [{"id": 1, "file_name": name} | entry],
        "annotations": [{"image_id": 1, "category_id": 3, "bbox": box}],
        "categories": [{"id": 3, "name": "dent"}],
    }
    (root / "annotations.json").write_text(json.dumps(tree))


def turned(root, orientation, size=(10, 6)):
    """A stored image with a red patch at x 1-4, y 2-5 (exclusive), turned by EXIF."""
    values = np.full((size[1], size[0], 3), GREY, np.uint8)
    values[2:5, 1:4] = RED
    exif = Image.Exif()
    exif[0x0112] = orientation
    (root / "images").mkdir(exist_ok=True)
    Image.fromarray(values).save(root / "images" / "a.png", exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_turns_with_its_image(tmp_path, orientation):
    """The patch under the box is red in the upright image, whatever EXIF did."""
    turned(tmp_path, orientation)
    coco_of(tmp_path, "a.png", [1, 2, 3, 3])
    (example,) = coco.read(tmp_path, coco.Options(drawn_on="stored"), tmp_path)
    (box,) = example.boxes
    upright = np.asarray(decode.load(tmp_path, ImageRef("images/a.png")))
    red = (upright == RED).all(axis=-1)
    rows, columns = np.nonzero(red)
    assert (box.x1, box.y1, box.x2, box.y2) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert box.label == "dent"


@pytest.mark.parametrize(("stated", "orientation", "x1"), [((10, 6), 6, 1.0), ((6, 10), 6, 1.0), ((10, 6), 8, 2.0)])
def test_a_stated_size_says_what_was_drawn_on(tmp_path, stated, orientation, x1):
    turned(tmp_path, orientation)
    box = [1, 2, 3, 3] if stated == (10, 6) else [1, 1, 3, 3]
    coco_of(tmp_path, "a.png", box, width=stated[0], height=stated[1])
    (example,) = coco.read(tmp_path, coco.Options(), tmp_path)
    assert example.boxes[0].x1 == x1


@pytest.mark.parametrize("orientation", [2, 3, 4, 5])
def test_where_nothing_says_it_the_row_is_refused(tmp_path, orientation):
    turned(tmp_path, orientation)
    coco_of(tmp_path, "a.png", [1, 2, 3, 3])
    (row,) = coco.read(tmp_path, coco.Options(), tmp_path)
    assert isinstance(row, BadRow)
    assert f"EXIF turns the image (orientation {orientation})" in row.reason
    assert "data.options.drawn_on=stored" in row.reason


def test_coco_boxes_that_round_over_the_border_are_cut(tmp_path):
    turned(tmp_path, 1)
    coco_of(tmp_path, "a.png", [-0.4, 1, 10.9, 5.2])
    (example,) = coco.read(tmp_path, coco.Options(), tmp_path)
    assert example.boxes == (Box(0.0, 1.0, 10.0, 6.0, "dent"),)
    assert (example.target, example.id, example.row) == ("", "images/a.png#1", "annotations.json image 1")


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ([], "is no COCO file"),
        ({"images": [], "annotations": []}, "is no COCO file"),
        ({"images": [{}], "annotations": [], "categories": []}, "every image needs a whole number `id`"),
        ({"images": [], "annotations": [], "categories": [{"id": "1", "name": "x"}]}, "lacks a whole number `id`"),
        ({"images": [], "annotations": [], "categories": [{"id": 1, "name": "x"}] * 2}, "two categories with id 1"),
    ],
)
def test_a_file_that_is_not_coco(tmp_path, tree, message):
    (tmp_path / "annotations.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match=message):
        list(coco.read(tmp_path, coco.Options(), tmp_path))


def test_a_split_by_path_and_no_other(tmp_path):
    turned(tmp_path, 1)
    coco_of(tmp_path, "a.png", [1, 2, 3, 3])
    (tmp_path / "annotations.json").rename(tmp_path / "instances_val2017.json")
    options = coco.Options(annotations=("instances_val2017.json",), split="path")
    (example,) = coco.read(tmp_path, options, tmp_path)
    assert example.split == "val"  # as COCO names its files
    with pytest.raises(ConfigError, match=r"data.split.column: got 'lot'"):
        list(coco.read(tmp_path, coco.Options(split="lot"), tmp_path))


@pytest.mark.parametrize(
    ("line", "box"),
    [
        ("1 0.5 0.5 0.4 0.5", Box(3.0, 1.5, 7.0, 4.5, "hole")),
        ("0 0.1 0.5 0.4 0.5 0.4 1.0", Box(1.0, 3.0, 4.0, 6.0, "dent")),
    ],
)
def test_yolo_shares_and_polygons(tmp_path, line, box):
    (tmp_path / "train" / "labels").mkdir(parents=True)
    (tmp_path / "train" / "images").mkdir()
    Image.new("RGB", (10, 6)).save(tmp_path / "train" / "images" / "a.png")
    (tmp_path / "train" / "labels" / "a.txt").write_text(line)
    (tmp_path / "data.yaml").write_text("names: {0: dent, 1: hole}\n")
    (example,) = yolo.read(tmp_path, yolo.Options(split="path"), tmp_path)
    assert example.boxes == (box,)
    assert example.split == "train"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: [yes, no]\n", "the class name True is no text; quote the label"),
        ("names: [01]\n", "the class name 1 is no text"),
        ("names: {1: a}\n", "the keys of `names` are"),
        ("nc: 2\n", "has no list `names`"),
        ("names: [", "is not YAML"),
    ],
)
def test_yolo_names_that_yaml_spoils(tmp_path, text, message):
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        list(yolo.read(tmp_path, yolo.Options(), tmp_path))


@pytest.mark.parametrize(("first", "box"), [(1, Box(0.0, 1.0, 3.0, 4.0, "dent")), (0, Box(1.0, 2.0, 3.0, 4.0, "dent"))])
def test_voc_counts_from_one_or_from_zero(tmp_path, first, box):
    (tmp_path / "JPEGImages").mkdir()
    (tmp_path / "Annotations").mkdir()
    Image.new("RGB", (10, 6)).save(tmp_path / "JPEGImages" / "a.png")
    corners = "<xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax>"
    text = f"<annotation><object><name>dent</name><bndbox>{corners}</bndbox></object></annotation>"
    (tmp_path / "Annotations" / "a.xml").write_text(text)
    (example,) = voc.read(tmp_path, voc.Options(first_pixel=first), tmp_path)
    assert example.boxes == (box,)


def test_a_mask_becomes_a_box_around_each_region(tmp_path):
    values = np.zeros((6, 10), np.uint8)
    values[1:3, 1:4] = 1
    values[3, 4] = 1  # touches the first region at a corner
    values[5, 8:10] = 2
    values[0, 9] = 2
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (10, 6)).save(tmp_path / "images" / "a.png")
    Image.fromarray(values).save(tmp_path / "masks" / "a.png")
    options = masks.Options(values={"1": "dent", "2": "hole"}, min_area_px=2)
    (example,) = masks.read(tmp_path, options, tmp_path)
    assert example.boxes == (Box(1.0, 1.0, 5.0, 4.0, "dent"), Box(8.0, 5.0, 10.0, 6.0, "hole"))
    assert example.target == "dent, hole"


def test_mvtec_pairs_by_name_and_keeps_kind_and_category(tmp_path):
    mask = np.zeros((6, 10), np.uint8)
    mask[1:3, 1:4] = 255
    for relative, image in {
        "bottle/train/good/000.png": Image.new("RGB", (10, 6)),
        "bottle/test/good/000.png": Image.new("RGB", (10, 6)),
        "bottle/test/crack/000.png": Image.new("RGB", (10, 6)),
        "bottle/test/crack/001.png": Image.new("RGB", (10, 6)),
        "bottle/ground_truth/crack/001_mask.png": Image.fromarray(mask),
        "bottle/ground_truth/crack/002_mask.png": Image.fromarray(mask),
    }.items():
        (tmp_path / relative).parent.mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / relative)
    rows = list(mvtec.read(tmp_path, mvtec.Options(split="path"), tmp_path))
    good = [row for row in rows if not isinstance(row, BadRow)]
    assert [(row.target, row.split, row.boxes, row.meta) for row in good] == [
        ("good", "train", (), {"category": "bottle"}),
        ("crack", "test", (Box(1.0, 1.0, 4.0, 3.0, "crack"),), {"category": "bottle"}),
        ("good", "test", (), {"category": "bottle"}),
    ]
    assert {row.path: row.reason.split(".")[0] for row in rows if isinstance(row, BadRow)} == {
        "bottle/test/crack/000.png": "is defective and has no mask",
        "bottle/ground_truth/crack/002_mask.png": "has no image of its name",
    }


def test_visa(tmp_path):
    for relative in ("Images/Normal/1.JPG", "Images/Anomaly/1.JPG", "Masks/Anomaly/1.png"):
        place = tmp_path / "pcb1" / "Data" / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L" if "Masks" in relative else "RGB", (10, 6), 1 if "Masks" in relative else None).save(place)
    rows = list(mvtec.read(tmp_path, mvtec.Options(layout="visa", label="defect"), tmp_path))
    assert [(row.target, row.boxes) for row in rows] == [
        ("good", ()),
        ("defect", (Box(0.0, 0.0, 10.0, 6.0, "anomaly"),)),
    ]


def test_deeppcb_as_the_authors_lay_it_out(tmp_path):
    for name in ("20085/20085000_test.jpg", "20085/20085000_temp.jpg"):
        (tmp_path / "group20085" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (64, 64)).save(tmp_path / "group20085" / name)
    (tmp_path / "group20085" / "20085_not").mkdir()
    (tmp_path / "group20085" / "20085_not" / "20085000.txt").write_text("1 2 30 40 3\n")
    (example,) = deeppcb.read(tmp_path, deeppcb.Options(group="board"), tmp_path)
    assert [ref.path.rpartition("_")[2] for ref in example.images] == ["test.jpg", "temp.jpg"]
    assert example.boxes == (Box(1.0, 2.0, 30.0, 40.0, "mousebite"),)
    assert example.group == "20085"


@pytest.mark.shared_data
def test_deeppcb_as_it_was_published(shared_data, tmp_path):
    options = deeppcb.Options(group="template_group", split="official_split")
    rows = list(deeppcb.read(shared_data / "deeppcb", options, tmp_path))
    assert [row for row in rows if isinstance(row, BadRow)] == []
    assert len(rows) > 1000
    assert {row.split for row in rows} == {"train", "test"}
    assert {box.label for row in rows for box in row.boxes} == set(deeppcb.KINDS)
