"""Masks drawn by hand: regions, values, names of pairs, sizes, and every reason a mask is refused."""

import numpy as np
import pytest
from adapters.sources import picture, save
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from PIL import Image

from data_adapters import _masks, masks
from data_adapters.masks import Options
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Box, Example, ImageRef

DRAWN = """
.11.....
.1...2..
..1..2..
.......3
........
3.......
"""
"""8 x 6 pixels: one region of 1 that touches itself at a corner, one of 2, two single pixels of 3."""


def drawn(text):
    return np.array([[0 if c == "." else int(c) for c in line] for line in text.split()], np.uint8)


def write(root, found, suffix="", folder="masks"):
    """Images by stem with their mask, or None for no mask."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for number, (stem, values) in enumerate(found.items()):
        save(root / "images" / f"{stem}.png", picture(number, (8, 6)))
        if values is not None:
            save(root / folder / f"{stem}{suffix}.png", Image.fromarray(values))


def read(root, **options):
    return list(masks.read(root, Options(**options), root))


NAMES = {"1": "dent", "2": "hole", "3": "dot"}
EMPTY = np.zeros((6, 8), np.uint8)


def test_a_set_by_hand(tmp_path):
    write(tmp_path, {"b": drawn(DRAWN), "a": EMPTY})
    assert read(tmp_path, values=NAMES) == [
        Example("images/a.png#1", (ImageRef("images/a.png"),), "good", "images/a.png", boxes=(), row="images/a.png"),
        Example(
            "images/b.png#1",
            (ImageRef("images/b.png"),),
            "dent, dot, hole",
            "images/b.png",
            boxes=(
                Box(1, 0, 3, 3, "dent"),
                Box(5, 1, 6, 3, "hole"),
                Box(7, 3, 8, 4, "dot"),
                Box(0, 5, 1, 6, "dot"),
            ),
            row="images/b.png",
        ),
    ]


@pytest.mark.parametrize(
    ("options", "target", "count"),
    [
        ({"threshold": 1}, "defect", 4),
        ({"threshold": 1, "defect": "flaw"}, "flaw", 4),
        ({"threshold": 1, "defect": "flaw", "min_area_px": 2}, "flaw", 2),
        ({"threshold": 1, "min_area_px": 3}, "defect", 1),
        ({"threshold": 1, "min_area_px": 5, "clean": "ok"}, "ok", 0),
        ({"threshold": 2}, "defect", 3),
        ({"values": NAMES, "min_area_px": 3}, "dent", 1),
        ({"values": {"1": "b", "2": "a", "3": "a"}}, "a, b", 4),
    ],
)
def test_targets_and_specks(tmp_path, options, target, count):
    write(tmp_path, {"a": drawn(DRAWN)})
    (example,) = read(tmp_path, **options)
    assert (example.target, len(example.boxes)) == (target, count)


def test_regions_of_two_values_that_touch_are_one_only_without_names(tmp_path):
    write(tmp_path, {"a": drawn("........\n.12.....\n" + "........\n" * 4)})
    assert read(tmp_path, threshold=1)[0].boxes == (Box(1, 1, 3, 2, "defect"),)
    assert read(tmp_path, values=NAMES)[0].boxes == (Box(1, 1, 2, 2, "dent"), Box(2, 1, 3, 2, "hole"))


def test_a_palette_is_read_by_its_indices(tmp_path):
    write(tmp_path, {"a": EMPTY})
    mask = Image.fromarray(drawn(DRAWN)).convert("P")
    mask.putdata(drawn(DRAWN).ravel().tolist())
    mask.putpalette([9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9])  # every colour alike
    save(tmp_path / "masks" / "a.png", mask)
    assert read(tmp_path, values=NAMES)[0].target == "dent, dot, hole"


@pytest.mark.parametrize("mode", ["1", "I;16"])
def test_bits_and_deep_values(tmp_path, mode):
    write(tmp_path, {"a": EMPTY})
    deep = Image.fromarray(drawn(DRAWN).astype(np.uint16) * 300)
    save(tmp_path / "masks" / "a.png", deep if mode == "I;16" else Image.fromarray(drawn(DRAWN) > 0))
    names = {"300": "dent", "600": "hole", "900": "dot"} if mode == "I;16" else {"1": "dent"}
    assert len(read(tmp_path, values=names)[0].boxes) == 4


def test_suffix_folder_and_ending(tmp_path):
    write(tmp_path, {"p1/007": drawn(DRAWN)}, suffix="_mask", folder="ground truth")
    place = tmp_path / "ground truth" / "p1"
    (place / "007_mask.png").rename(place / "007_mask.x")
    save(place / "007_mask.tif", Image.fromarray(drawn(DRAWN)))
    (place / "007_mask.x").unlink()
    (example,) = read(tmp_path, masks="ground truth", suffix="_mask", group="parent", threshold=1)
    assert (example.target, example.group) == ("defect", "images/p1")


def test_splits_and_groups(tmp_path):
    write(tmp_path, {"train/p1_a": EMPTY, "test/p2_a": EMPTY, "x": EMPTY})
    found = read(tmp_path, split="path", group=r"regex:(p\d)_")
    assert [(row.group, row.split) for row in found[:2]] == [("p2", "test"), ("p1", "train")]
    assert found[2] == BadRow("images/x.png", "images/x.png", "data.group=regex:(p\\d)_ does not match its path")


def test_what_has_no_partner(tmp_path):
    write(tmp_path, {"a": None})
    for stem in "hgfedc":
        save(tmp_path / "masks" / f"{stem}.png", Image.fromarray(EMPTY))
    first, *strays = read(tmp_path)
    assert first.reason == "has no mask masks/a.*; if none means clean: data.options.unmasked=true"
    assert strays == [BadRow(f"masks/{s}.png", f"masks/{s}.png", "has no image of its name.") for s in "cdefgh"]
    (clean, *_) = read(tmp_path, unmasked=True)
    assert (clean.target, clean.boxes) == ("good", ())


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_two_of_one_key(tmp_path, folder):
    write(tmp_path, {"a": EMPTY})
    save(tmp_path / folder / "a.bmp", Image.fromarray(EMPTY))
    rows = read(tmp_path)
    assert all("shares the key 'a' with" in row.reason for row in rows)
    assert f"{folder}/a.bmp" in [row.path for row in rows]


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (Image.fromarray(drawn(DRAWN)), "holds the value 3; data.options.values names 1, 2 (0 is background)."),
        (Image.new("L", (6, 8)), "mask 'masks/a.png' has 6 x 8 pixels, the image 8 x 6."),
        (Image.new("RGB", (8, 6)), "mask 'masks/a.png' has mode RGB; expected one channel of whole numbers"),
        (Image.new("LA", (8, 6)), "mask 'masks/a.png' has mode LA; expected one channel of whole numbers"),
        (b"", "image 'masks/a.png' is empty (0 bytes)."),
        (b"no picture", "image 'masks/a.png' is none of the formats read here"),
    ],
)
def test_a_mask_that_is_none(tmp_path, mask, reason):
    write(tmp_path, {"a": EMPTY})
    if isinstance(mask, bytes):
        (tmp_path / "masks" / "a.png").write_bytes(mask)
    else:
        save(tmp_path / "masks" / "a.png", mask)
    (row,) = read(tmp_path, values={"1": "dent", "2": "hole"})
    assert (row.row, row.path) == ("images/a.png", "images/a.png")
    assert reason in row.reason


@pytest.mark.parametrize(("side", "said"), [("images", "EXIF turns the image (orientation 3), but not its mask"),
                                            ("masks", "is turned by EXIF, which masks must not be")])  # fmt: skip
def test_turned_images_and_masks(tmp_path, side, said):
    write(tmp_path, {"a": EMPTY})
    exif = Image.Exif()
    exif[0x0112] = 3
    save(tmp_path / side / "a.png", Image.fromarray(EMPTY), exif=exif)
    (row,) = read(tmp_path)
    assert said in row.reason


@pytest.mark.parametrize("key", ["0", "00", "-1", "1.0", "", "one", "\u00b2"])
def test_values_that_no_mask_holds(tmp_path, key):
    write(tmp_path, {"a": EMPTY})
    with pytest.raises(ConfigError, match=r"data.options.values: the key .* is no mask value; expected whole numbers"):
        read(tmp_path, values={key: "dent"})


def test_folders_that_are_not_there(tmp_path):
    write(tmp_path, {"a": EMPTY})
    with pytest.raises(DataError, match=r"has no folder 'labels'; it is named in data.options"):
        read(tmp_path, masks="labels")
    with pytest.raises(ConfigError, match=r"data.split.column: got 'lot'"):
        read(tmp_path, split="lot")


@settings(max_examples=40)
@given(arrays(np.bool_, (5, 6)))
def test_boxes_hold_every_pixel_of_a_region_and_touch_its_border(inside):
    found = _masks._regions(inside, "x", 1)
    held = np.zeros_like(inside)
    for box in found:
        window = inside[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)]
        assert window[0].any()
        assert window[-1].any()
        assert window[:, 0].any()
        assert window[:, -1].any()
        held[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)] = True
    assert not (inside & ~held).any()
