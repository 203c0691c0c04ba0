"""Trees of MVTec AD and VisA written by hand: pairs, kinds, splits, categories, and what is refused."""

import numpy as np
import pytest
from adapters.sources import picture, save
from PIL import Image

from data_adapters import mvtec
from data_adapters.mvtec import Options
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Box, Example, ImageRef

PATCH = np.zeros((6, 8), np.uint8)
PATCH[1:3, 2:6] = 255


def write(root, images=(), masks=()):
    for number, relative in enumerate(images):
        save(root / relative, picture(number, (8, 6)))
    for relative in masks:
        save(root / relative, Image.fromarray(PATCH))
    return root


def cable(root):
    images = [f"cable/{key}.png" for key in ("train/good/000", "test/good/000", "test/cut/000", "test/bent_wire/000")]
    return write(root, images, [f"cable/ground_truth/{kind}/000_mask.png" for kind in ("cut", "bent_wire")])


def visa(root):
    return write(
        root,
        [f"pcb1/Data/Images/{key}.JPG" for key in ("Normal/0001", "Anomaly/0001")],
        ["pcb1/Data/Masks/Anomaly/0001.png"],
    )


def read(root, **options):
    return list(mvtec.read(root, Options(**options), root))


def bad(rows):
    return {row.path: row.reason for row in rows if isinstance(row, BadRow)}


def example(path, target, boxes, **more):
    return Example(f"{path}#1", (ImageRef(path),), target, path, boxes=boxes, row=path, **more)


def test_a_category_by_hand(tmp_path):
    meta = {"category": "cable"}
    assert read(cable(tmp_path)) == [
        example("cable/train/good/000.png", "good", (), meta=meta),
        example("cable/test/bent_wire/000.png", "bent_wire", (Box(2, 1, 6, 3, "bent_wire"),), meta=meta),
        example("cable/test/cut/000.png", "cut", (Box(2, 1, 6, 3, "cut"),), meta=meta),
        example("cable/test/good/000.png", "good", (), meta=meta),
    ]


def test_defect_or_good_with_the_kind_left_on_the_box(tmp_path):
    found = read(cable(tmp_path), label="defect", split="path")
    assert [(row.target, row.split) for row in found] == [
        ("good", "train"),
        ("defect", "test"),
        ("defect", "test"),
        ("good", "test"),
    ]
    assert [box.label for row in found for box in row.boxes] == ["bent_wire", "cut"]


def test_without_boxes_no_mask_is_needed(tmp_path):
    write(tmp_path, ["cable/train/good/0.png", "cable/test/cut/0.png"])
    found = read(tmp_path, boxes=False)
    assert [(row.target, row.boxes) for row in found] == [("good", None), ("cut", None)]


def test_categories_in_the_order_they_are_named(tmp_path):
    for category in ("zipper", "cable", ".cache"):
        write(tmp_path, [f"{category}/train/good/0.png", f"{category}/test/good/0.png"])
    (tmp_path / "readme.txt").write_text("x")
    assert [row.meta["category"] for row in read(tmp_path)] == ["cable", "cable", "zipper", "zipper"]
    assert [row.meta["category"] for row in read(tmp_path, categories=("zipper",))] == ["zipper"] * 2
    named = read(tmp_path, categories=("zipper", "cable"))
    assert [row.meta["category"] for row in named] == ["zipper"] * 2 + ["cable"] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"categories": ("screw",)}, r"has no folder 'screw/train'; it is named in data.options"),
        ({"categories": ("../cable",)}, r"'../cable/train' is not below data.path"),
        (
            {"layout": "visa"},
            r"has the folder 'cable', which is no category: it holds 'ground_truth', 'test', 'train', e",
        ),
        ({"layout": "visa", "categories": ("cable",)}, r"has no folder 'cable/Data/Masks/Anomaly'"),
    ],
)
def test_trees_that_are_laid_out_otherwise(tmp_path, options, message):
    cable(tmp_path)
    with pytest.raises(DataError, match=message):
        read(tmp_path, **options)


@pytest.mark.parametrize(("layout", "split"), [("mvtec", "lot"), ("visa", "path"), ("visa", "lot")])
def test_splits_that_this_format_has_not(tmp_path, layout, split):
    with pytest.raises(ConfigError, match=rf"data.split.column: got '{split}'; only the layout mvtec has a split"):
        read(tmp_path, layout=layout, split=split)


def test_groups(tmp_path):
    cable(tmp_path)
    assert {row.group for row in read(tmp_path, group="parent")} == {
        f"cable/{folder}" for folder in ("train/good", "test/good", "test/cut", "test/bent_wire")
    }
    rows = read(tmp_path, group="regex:(train|test)/good")
    assert [row.group for row in rows if isinstance(row, Example)] == ["train", "test"]
    assert bad(rows) == {
        f"cable/test/{kind}/000.png": "data.group=regex:(train|test)/good does not match its path"
        for kind in ("bent_wire", "cut")
    }


def test_a_folder_that_is_no_category_is_named(tmp_path):
    cable(tmp_path)
    (tmp_path / "papers" / "figures").mkdir(parents=True)
    (tmp_path / "papers" / "a.pdf").touch()
    told = r"has the folder 'papers', which is no category: it holds 'a.pdf', 'figures', expected train, test, ground_t"
    with pytest.raises(DataError, match=told):
        read(tmp_path)
    assert len(read(tmp_path, categories=("cable",))) == 4
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        DataError, match=r"the folder 'empty', .* it holds nothing, expected train, .*\. Take it out, or name"
    ):
        read(tmp_path)


def test_what_stands_beside_the_parts_of_a_tree_is_told(tmp_path):
    """`validation`, as later sets of the authors have it, would be left out without a word."""
    cable(tmp_path)
    write(tmp_path, ["cable/validation/good/0.png", "cable/1.png"])
    (tmp_path / "cable" / "license.txt").touch()
    reason = "stands beside train, test, ground_truth, and is no part of this layout; take it out"
    assert bad(read(tmp_path)) == {"cable/1.png": reason, "cable/validation": reason}


def test_what_stands_beside_the_parts_of_visa_is_told(tmp_path):
    visa(tmp_path)
    write(tmp_path, ["pcb1/Data/Images/Unsure/0.JPG", "pcb1/Data/0.JPG", "pcb1/More/0.JPG"])
    (tmp_path / "pcb1" / "image_anno.csv").touch()
    assert bad(read(tmp_path, layout="visa")) == {
        f"pcb1/{name}": f"stands beside {parts}, and is no part of this layout; take it out"
        for name, parts in (
            ("More", "Data"),
            ("Data/0.JPG", "Images, Masks"),
            ("Data/Images/Unsure", "Normal, Anomaly"),
        )
    }


def test_masks_that_are_missing_double_or_too_many(tmp_path):
    cable(tmp_path)
    write(tmp_path, ["cable/test/cut/001.png"])
    write(tmp_path, [], ["cable/ground_truth/cut/000_mask.bmp", "cable/ground_truth/good/000_mask.png"])
    assert bad(read(tmp_path)) == {
        "cable/test/cut/000.png": "has the masks cable/ground_truth/cut/000_mask.bmp, "
        "cable/ground_truth/cut/000_mask.png; expected one. Add it, or leave boxes out with data.options.boxes=false.",
        "cable/test/cut/001.png": "is defective and has no mask. Add it, or leave boxes out with "
        "data.options.boxes=false.",
        "cable/test/good/000.png": "is good and has a mask, 'cable/ground_truth/good/000_mask.png'.",
    }


def test_masks_without_an_image_are_told_in_order(tmp_path):
    cable(tmp_path)
    write(tmp_path, [], [f"cable/ground_truth/cut/{number}_mask.png" for number in range(9, 1, -1)])
    rows = read(tmp_path)[4:]
    assert [row.path for row in rows] == [f"cable/ground_truth/cut/{number}_mask.png" for number in range(2, 10)]
    assert {row.reason for row in rows} == {"has no image of its name."}


def test_a_mask_of_nothing_and_one_of_specks(tmp_path):
    cable(tmp_path)
    save(tmp_path / "cable/ground_truth/cut/000_mask.png", Image.new("L", (8, 6)))
    found = bad(read(tmp_path, min_area_px=8))
    assert found == {"cable/test/cut/000.png": "is defective, but no region of its mask has 8 pixels."}
    assert set(bad(read(tmp_path, min_area_px=9))) == {"cable/test/cut/000.png", "cable/test/bent_wire/000.png"}


def test_images_in_no_folder_and_of_one_key(tmp_path):
    cable(tmp_path)
    write(tmp_path, ["cable/train/stray.png", "cable/train/good/000.bmp"])
    found = bad(read(tmp_path))
    assert found["cable/train/stray.png"] == "lies in no folder of a kind; expected cable/train/KIND/..."
    assert found["cable/train/good/000.bmp"].startswith("shares the key 'good/000' with 'cable/train/good/000.png'")
    assert len(found) == 3


def test_frame_and_window_reach_the_reference(tmp_path):
    rows = read(cable(tmp_path), frame=0, window=(0.0, 255.0), boxes=False)
    assert {(row.images[0].frame, row.images[0].window) for row in rows} == {(0, (0.0, 255.0))}


def test_visa_by_hand(tmp_path):
    meta = {"category": "pcb1"}
    normal, anomaly = (f"pcb1/Data/Images/{kind}/0001.JPG" for kind in ("Normal", "Anomaly"))
    assert read(visa(tmp_path), layout="visa") == [
        example(normal, "good", (), meta=meta),
        example(anomaly, "anomaly", (Box(2, 1, 6, 3, "anomaly"),), meta=meta),
    ]


def test_the_tables_that_visa_is_published_with_are_no_category(tmp_path):
    before = read(visa(tmp_path), layout="visa")
    (tmp_path / "split_csv").mkdir()
    (tmp_path / "split_csv" / "1cls.csv").touch()
    assert read(tmp_path, layout="visa") == before


def test_visa_without_partners(tmp_path):
    visa(tmp_path)
    write(tmp_path, ["pcb1/Data/Images/Anomaly/0002.JPG"], ["pcb1/Data/Masks/Anomaly/0003.png"])
    found = bad(read(tmp_path, layout="visa"))
    assert found["pcb1/Data/Images/Anomaly/0002.JPG"].startswith("is defective and has no mask")
    assert found["pcb1/Data/Masks/Anomaly/0003.png"] == "has no image of its name."
    assert len(found) == 2


def test_visa_images_of_one_key(tmp_path):
    visa(tmp_path)
    write(tmp_path, ["pcb1/Data/Images/Normal/0001.png"])
    found = bad(read(tmp_path, layout="visa"))
    assert sorted(found) == ["pcb1/Data/Images/Normal/0001.JPG", "pcb1/Data/Images/Normal/0001.png"]
