"""Tiles: where they lie, which boxes belong to them, and boxes of tiles put together, by hand and by property."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from finetune.config import compose
from finetune.config.schema import Config, DataConfig, EvaluateConfig, TaskConfig, TilesConfig
from finetune.data import split, tiles
from finetune.errors import ConfigError, DataError
from finetune.example import Box, Example, ImageRef, Message
from finetune.images import decode
from finetune.scoring import box_text

RULE = TilesConfig(size=100, overlap=20)
SIZES = st.integers(1, 400)
RULES = st.integers(16, 200).flatmap(
    lambda size: st.integers(0, size // 2).map(lambda overlap: TilesConfig(size=size, overlap=overlap))
)


def test_tiles_by_hand():
    """Height 100, width 250: starts 0, 80 and, flush with the end, 150."""
    assert tiles.grid((100, 250), RULE) == [(0, 0, 100, 100), (80, 0, 180, 100), (150, 0, 250, 100)]
    assert tiles.grid((260, 90), RULE) == [(0, 0, 90, 100), (0, 80, 90, 180), (0, 160, 90, 260)]
    assert tiles.grid((30, 40), RULE) == [(0, 0, 40, 30)]
    assert tiles.grid((30, 4000), TilesConfig()) == [(0, 0, 4000, 30)]


@given(st.integers(1, 5000), RULES)
def test_tiles_cover_an_axis_and_overlap_and_the_last_is_flush(length, rule):
    found = tiles.starts(length, rule.size, rule.overlap)
    ends = [start + min(rule.size, length) for start in found]
    assert (found[0], ends[-1]) == (0, length)
    assert all(end - start >= rule.overlap for end, start in zip(ends, found[1:], strict=False))
    assert found == sorted(set(found))


@st.composite
def scenes(draw):
    height, width = draw(SIZES), draw(SIZES)
    x1, y1 = draw(st.floats(0, width - 0.5)), draw(st.floats(0, height - 0.5))
    x2 = draw(st.floats(min(width, x1 + 0.5), width))
    return (height, width), Box(x1, y1, x2, draw(st.floats(min(height, y1 + 0.5), height)), "dent"), draw(RULES)


@given(scenes())
def test_no_box_is_lost_and_coordinates_come_back(scene):
    size, box, rule = scene
    shown = 0
    for left, top, right, bottom in tiles.grid(size, rule):
        for part in tiles.within([box], (left, top, right, bottom)):
            shown += 1
            assert 0 <= part.x1 < part.x2 <= right - left
            assert 0 <= part.y1 < part.y2 <= bottom - top
            assert part.x1 + left == pytest.approx(max(box.x1, left))
            assert part.y2 + top == pytest.approx(min(box.y2, bottom))
    assert shown >= 1


@settings(max_examples=50)
@given(scenes())
def test_a_box_inside_a_tile_comes_back_as_it_was(scene):
    """From pixels to thousandths of its tiles and back: within the rounding of a thousandth."""
    size, box, rule = scene
    grid = tiles.grid(size, rule)
    if tiles.in_pieces([box], size, rule):
        return
    answers = []
    for tile in grid:
        own = tiles.within([box], tile)
        answers.append(box_text.to_json(box_text.in_thousandths(own, (tile[3] - tile[1], tile[2] - tile[0]))))
    found = box_text.from_json(tiles.join(answers, grid, size))
    largest = max(found, key=lambda placed: (placed.box[2] - placed.box[0]) * (placed.box[3] - placed.box[1]))
    scale = (size[1] / 1000, size[0] / 1000) * 2
    inside = [value * by for value, by in zip(largest.box, scale, strict=True)]
    assert inside == pytest.approx([box.x1, box.y1, box.x2, box.y2], abs=0.02)


def test_which_tile_a_box_belongs_to():
    box = Box(90, 10, 110, 30, "dent")  # half of it in the first tile, half in a second without overlap
    assert tiles.within([box], (0, 0, 100, 100)) == (Box(90, 10, 100, 30, "dent"),)
    assert tiles.within([box], (100, 0, 200, 100)) == (Box(0, 10, 10, 30, "dent"),)
    assert tiles.within([dataclasses.replace(box, x1=89)], (100, 0, 200, 100)) == ()
    scratch = Box(0, 40, 1000, 42, "scratch")  # longer than a tile: each shows as much as it can hold
    assert tiles.within([scratch], (300, 0, 400, 100)) == (Box(0, 40, 100, 42, "scratch"),)
    assert (tiles.in_pieces([box], (100, 250), RULE), tiles.in_pieces([scratch], (100, 1000), RULE)) == (0, 1)


def test_boxes_of_tiles_become_those_of_the_image():
    """Two tiles that share 20 px of an image of 100 x 180: a dent in the overlap is found twice, a cut once in each."""
    grid = [(0, 0, 100, 100), (80, 0, 180, 100)]
    answers = [
        '[{"label": "dent", "box": [850, 100, 1000, 200]}, {"label": "cut", "box": [0, 0, 100, 100]}]',
        '[{"label": "dent", "box": [50, 100, 210, 200]}, {"label": "cut", "box": [900, 0, 1000, 100]}]',
    ]
    found = box_text.from_json(tiles.join(answers, grid, (100, 180)))
    pixels_of = [(b.label, *(round(v * by) for v, by in zip(b.box, (0.18, 0.1) * 2, strict=True))) for b in found]
    assert pixels_of == [("cut", 0, 0, 10, 10), ("cut", 170, 0, 180, 10), ("dent", 85, 10, 101, 20)]
    assert tiles.join([None, None], grid, (100, 180)) == "[]"
    twice = ['[{"label": "dent", "box": [10, 10, 90, 90]}, {"label": "dent", "box": [10, 10, 90, 90]}]', "[]"]
    assert len(box_text.from_json(tiles.join(twice, grid, (100, 180)))) == 2  # one tile's own repetition is its mistake


def test_the_better_score_wins():
    grid = [(0, 0, 100, 100), (0, 0, 100, 100)]
    answers = [
        f'[{{"label": "a", "box": [0, 0, {size}, 500], "score": {score}}}]' for size, score in ((500, 0.4), (400, 0.9))
    ]
    (found,) = box_text.from_json(tiles.join(answers, grid, (100, 100)))
    assert (found.box[2], found.score) == (400, 0.9)


def config(kind="detect", empty=None, labels=("dent",), **rule):
    return Config(
        data=DataConfig(path="x", tiles=TilesConfig(**{"size": 100, "overlap": 20, "empty": empty} | rule)),
        task=TaskConfig(kind=kind, labels=labels),
        evaluate=EvaluateConfig(aggregate="nms" if kind == "detect" else "any"),
    )


WIDE = Example("a.png#1", (ImageRef("a.png"), ImageRef("b.png")), "", "g", boxes=(Box(85, 10, 95, 30, "dent"),))


def test_a_detection_is_cut_with_both_its_images():
    first, second, third = tiles.cut(WIDE, [(100, 250)] * 2, config())
    assert [part.id for part in (first, second, third)] == ["a.png#1@0,0", "a.png#1@80,0", "a.png#1@150,0"]
    assert [ref.tile for ref in second.images] == [(80, 0, 180, 100)] * 2
    assert first.target == '[{"label": "dent", "box": [850, 100, 950, 300]}]'
    assert (second.boxes, third.target) == ((Box(5, 10, 15, 30, "dent"),), "[]")
    assert {part.group for part in (first, second, third)} == {"g"}
    assert third.whole.target == '[{"label": "dent", "box": [340, 100, 380, 300]}]'


def test_a_class_is_that_of_the_image_where_a_tile_holds_a_box():
    one = dataclasses.replace(WIDE, target="scratched", images=WIDE.images[:1])
    parts = tiles.cut(one, [(100, 250)], config("classify", "good", ()))
    assert [part.target for part in parts] == ["scratched", "scratched", "good"]
    clean = dataclasses.replace(one, target="good", boxes=None)
    assert {part.target for part in tiles.cut(clean, [(100, 250)], config("classify", "good", ()))} == {"good"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"boxes": None}, r"has the answer 'bad' and no boxes, so nothing says which of its tiles show it"),
        ({"boxes": ()}, r"Only an image of data\.tiles\.empty \('good'\) needs none"),
        ({"target": "good"}, r"has boxes \(dent\) and the answer 'good', which is that of tiles without any"),
        ({"boxes": (Box(0, 0, 1, 1, "a"), Box(0, 0, 1, 1, "b"))}, r"boxes of several labels \(a, b\)"),
        ({"boxes": (Box(0, 0, 1, 1, "a", 1),)}, r"has boxes on a second image"),
    ],
)
def test_labels_of_tiles_are_never_guessed(change, message):
    example = dataclasses.replace(WIDE, **{"target": "bad"} | change)
    with pytest.raises(DataError, match=message):
        tiles.cut(example, [(100, 250)] * 2, config("classify", "good", ()))


def test_images_of_one_question_have_one_size():
    with pytest.raises(DataError, match=r"has images of (250 x 100 and 100 x 250|100 x 250 and 250 x 100) pixels"):
        tiles.cut(WIDE, [(100, 250), (250, 100)], config())
    with pytest.raises(DataError, match=r"has its boxes in thousandths, which data\.tiles cannot cut"):
        tiles.cut(dataclasses.replace(WIDE, boxes=None, target="[]"), [(100, 250)] * 2, config())


def test_training_leaves_out_empty_tiles_by_a_hash():
    items = [split.Item(f"t{n}", f"g{n}", "x") for n in range(2000)]
    fold = split.Fold("", {item.id: "test" if n % 4 == 0 else "train" for n, item in enumerate(items)})
    empty = {item.id for item in items[:1000]}
    data = DataConfig(tiles=TilesConfig(size=100, keep_empty=0.3))
    found = tiles.thin(items, fold, empty, data).splits
    left_out = {name for name, place in found.items() if place == split.UNUSED}
    assert left_out <= {name for name in empty if fold.splits[name] == "train"}
    assert 0.65 < len(left_out) / 750 < 0.75
    assert tiles.thin(items[::-1], fold, empty, data).splits == found
    assert tiles.thin(items, fold, empty, DataConfig()) is fold


def test_pixels_of_a_tile_are_those_of_the_image(tmp_path):
    image = Image.effect_noise((60, 40), 80).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side: upright it is 40 x 60
    image.save(tmp_path / "a.png", exif=exif)
    upright = decode.load(tmp_path, ImageRef("a.png"))
    ref = ImageRef("a.png", tile=(10, 20, 40, 60))
    assert decode.load(tmp_path, ref).tobytes() == upright.crop((10, 20, 40, 60)).tobytes()
    assert decode.header(tmp_path, ref).size == (30, 40)
    Image.new("RGB", (60, 40), (1, 2, 3)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"is 60 x 40 pixels, so it has no tile \(10, 20, 40, 60\): it was changed"):
        decode.load(tmp_path, ref)
    with pytest.raises(DataError, match="has no tile"):
        decode.header(tmp_path, ref)


GIVEN = ["data.path=x", "data.tiles.size=512"]
DETECT = [*GIVEN, "task.kind=detect", "task.labels=[a]"]
CLASSIFY = [*GIVEN, "task.labels=[good,bad]", "evaluate.aggregate=any"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["data.path=x", "data.tiles.overlap=3"], r"data\.tiles\.overlap: nothing is cut; set data\.tiles\.size too"),
        ([*DETECT[:1], "data.tiles.size=8"], r"data\.tiles\.size: got 8, expected at least 16 pixels"),
        ([*DETECT, "data.tiles.overlap=300"], r"data\.tiles\.overlap: got 300, expected 0 to 256, half of the size"),
        ([*DETECT, "data.tiles.keep_empty=2"], r"data\.tiles\.keep_empty: got 2, expected a share"),
        (DETECT, r"say how tiles make one answer about an image: evaluate\.aggregate=nms"),
        (CLASSIFY, r"data\.tiles\.empty: needs the answer of a tile without a box"),
        ([*CLASSIFY, "data.tiles.empty=god"], r"data\.tiles\.empty: .*good"),
        ([*DETECT, "evaluate.aggregate=nms", "data.tiles.empty=a"], r"data\.tiles\.empty: is for task\.kind=classify"),
        ([*DETECT, "evaluate.aggregate=nms", "evaluate.unit=group"], r"boxes of several images are no one answer"),
        ([*GIVEN, "task.kind=describe"], r"a tile has no answer of its own in task\.kind=describe"),
        (["data.path=x", "evaluate.aggregate=nms"], r"evaluate\.aggregate=nms puts boxes of tiles together"),
        ([*CLASSIFY[:-1], "evaluate.aggregate=max", "data.tiles.empty=good"], r"needs evaluate\.positive=LABEL"),
    ],
)
def test_settings_that_cannot_be(given, message):
    with pytest.raises(ConfigError, match=message):
        compose.compose(given)


def test_tiles_are_given_key_by_key_or_at_once():
    one = compose.compose([*CLASSIFY, "data.tiles={size:64,overlap:8,keep_empty:0.5,empty:good}"])
    assert one.data.tiles == TilesConfig(64, 8, 0.5, "good")
    assert compose.compose([*DETECT, "evaluate.aggregate=nms"]).data.tiles == TilesConfig(512)


def test_messages_are_those_of_the_image():
    asked = dataclasses.replace(WIDE, messages=(Message("user", "Where?"),))
    assert {part.question for part in tiles.cut(asked, [(100, 250)] * 2, config())} == {"Where?"}
