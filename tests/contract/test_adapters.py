"""One contract over every file in data_adapters/: add a maker of a small source to tests/adapters/sources.py.

What it must say of broken, empty and long sources, and how it pairs, is in test_adapter_rows.py.
"""

import dataclasses
from pathlib import Path

import pytest
from adapters.sources import ALL as SOURCES
from contract import facts

import finetune
from finetune import plugins
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Example
from finetune.images import decode

ROOT = Path(finetune.__file__).resolve().parents[1]
FROM_FILES = sorted(facts.FACTS)


def test_every_adapter_has_a_source_here():
    assert plugins.names("adapter") == sorted(SOURCES) == sorted({*facts.FACTS, *facts.NEED_NO_FILES})


def test_the_page_tells_the_same():
    assert facts.table() in (ROOT / "docs" / "data.md").read_text(encoding="utf-8"), facts.table()


@pytest.fixture(params=sorted(SOURCES))
def opened(request, tmp_path):
    source, run = tmp_path / "source", tmp_path / "run"
    source.mkdir()
    (run / "images").mkdir(parents=True)
    path, options = SOURCES[request.param](source)
    adapter = plugins.load("adapter", request.param)
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
        assert example.target or example.boxes is not None
        assert example.group
        assert example.row
        assert all(message.text for message in example.messages)
        for ref in example.images:
            assert decode.load(root, ref).mode == "RGB"


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


@pytest.mark.parametrize("name", FROM_FILES)
def test_a_missing_source_says_what_to_give(tmp_path, name):
    _, options = SOURCES[name](tmp_path, ())
    adapter = plugins.load("adapter", name)
    with pytest.raises(DataError, match=r"data\.path is not given: name the f"):
        list(adapter.read(None, adapter.Options(**options), tmp_path))
    with pytest.raises(DataError, match=r"gone does not exist; expected"):
        list(adapter.read(tmp_path / "gone", adapter.Options(**options), tmp_path))


@pytest.mark.parametrize("name", FROM_FILES)
def test_a_group_that_does_not_exist_is_told(tmp_path, name):
    """As a configuration error, a missing column, or a reason on every row: never silently one group for all."""
    (tmp_path / "source").mkdir()
    (tmp_path / "images").mkdir()
    path, options = SOURCES[name](tmp_path / "source")
    adapter = plugins.load("adapter", name)
    try:
        found = list(adapter.read(path, adapter.Options(**options | {"group": "no_such"}), tmp_path / "images"))
    except (ConfigError, DataError) as error:
        reasons = [str(error)]
    else:
        reasons = [row.reason for row in found if isinstance(row, BadRow)]
        assert len(reasons) == len(found) > 0
    assert all("no_such" in reason for reason in reasons)
