"""One contract over every file in data_adapters/: add a maker of a small source below when you add an adapter."""

import dataclasses

import pytest
from PIL import Image

from finetune import named, pixels
from finetune.example import Example


def image_folder(root):
    for n, label in enumerate(("cut", "good", "good")):
        (root / label).mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (n, n, n)).save(root / label / f"{n}.png")
    return root, {}


def table(root):
    for n in range(3):
        Image.new("RGB", (8, 8), (n, n, n)).save(root / f"{n}.png")
    (root / "labels.csv").write_text("image,label\n0.png,cut\n1.png,good\n2.png,good\n", encoding="utf-8")
    return root, {}


def synthetic(root):
    return None, {"parts": 2, "views": 1, "side_px": 32}


SOURCES = {"image_folder": image_folder, "table": table, "synthetic": synthetic}


def test_every_adapter_has_a_source_here():
    assert named.names("adapter") == sorted(SOURCES)


@pytest.fixture(params=sorted(SOURCES))
def opened(request, tmp_path):
    source, run = tmp_path / "source", tmp_path / "run"
    source.mkdir()
    (run / "images").mkdir(parents=True)
    path, options = SOURCES[request.param](source)
    adapter = named.load("adapter", request.param)
    return adapter, path, adapter.Options(**options), run


def test_options_are_frozen_and_documented(opened):
    adapter, _, options, _ = opened
    assert options.__dataclass_params__.frozen
    for field in dataclasses.fields(options):
        assert f"{field.name}: " in adapter.Options.__doc__, field.name


def test_it_yields_examples_that_decode(opened):
    adapter, path, options, run = opened
    examples = list(adapter.read(path, options, run / "images"))
    root = run if adapter.WRITES_IMAGES else adapter.locate(path, options)
    assert len(examples) >= 2
    assert len({example.id for example in examples}) == len(examples)
    for example in examples:
        assert isinstance(example, Example)
        assert example.target
        assert example.group
        assert example.row
        assert example.messages == ()
        assert pixels.load(root, example.images[0]).mode == "RGB"


def test_reading_twice_gives_the_same(opened):
    adapter, path, options, run = opened
    assert list(adapter.read(path, options, run / "images")) == list(adapter.read(path, options, run / "images"))


def test_a_single_image_is_read_by_the_same_rule(opened):
    adapter, path, options, run = opened
    example = next(adapter.read(path, options, run / "images"))
    assert adapter.image(example.images[0].path, options) == example.images[0]


def test_it_writes_only_where_it_says(opened):
    adapter, path, options, run = opened
    before = sorted(path.rglob("*")) if path else []
    list(adapter.read(path, options, run / "images"))
    assert (sorted(path.rglob("*")) if path else []) == before
    assert bool(list(run.rglob("*.png"))) == adapter.WRITES_IMAGES
