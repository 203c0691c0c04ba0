"""Ids by a site key, and labels of boxes by another name."""

import dataclasses
import hmac

import pytest
from PIL import Image

from finetune.config.schema import Config, DataConfig, TaskConfig
from finetune.data import ingest, pseudonyms
from finetune.data import source as dataset
from finetune.errors import ConfigError, DataError
from finetune.example import Box, Example, ImageRef
from finetune.rundir import RunDir


@pytest.fixture
def source(tmp_path):
    for name in ("a", "b"):
        place = tmp_path / "in" / name / "p1_0.png"
        place.parent.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(place)
    return tmp_path / "in"


def rows(source, key):
    data = DataConfig(path=str(source), group="regex:p\\d", site_key=None if key is None else str(key))
    return list(dataset.examples(Config(data=data, task=TaskConfig()), source))


def test_the_same_key_gives_the_same_ids_and_groups(source, tmp_path):
    first, second = tmp_path / "site.key", tmp_path / "other.key"
    first.write_bytes(b"k" * 32)
    second.write_bytes(b"o" * 32)
    plain, keyed = rows(source, None), rows(source, first)
    assert [row.id for row in keyed] == [
        hmac.new(b"k" * 32, row.id.encode(), "sha256").hexdigest()[:20] for row in plain
    ]
    assert keyed == rows(source, first)
    assert len({row.group for row in keyed}) == 1
    assert {row.id for row in keyed}.isdisjoint(row.id for row in rows(source, second))
    assert [row.images for row in keyed] == [row.images for row in plain]


def test_a_key_that_is_none_is_refused(source, tmp_path):
    (tmp_path / "short.key").write_bytes(b"short")
    for name in ("short.key", "absent.key"):
        with pytest.raises(DataError, match=r"is no file of at least 16 bytes"):
            rows(source, tmp_path / name)


@pytest.mark.parametrize("place", ["in/site.key", "in/a/site.key", "tests/site.key", "run/data/site.key", "link.key"])
def test_a_key_that_would_be_copied_along_is_refused(source, tmp_path, place):
    """In the source, in the external test set, in the run, or linked to from elsewhere."""
    for folder in ("tests", "run/data"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "in" / "real.key").write_bytes(b"k" * 32)
    (tmp_path / "link.key").symlink_to(tmp_path / "in" / "real.key")
    key = tmp_path / place
    if not key.exists():
        key.write_bytes(b"k" * 32)
    data = DataConfig(path=str(source), test_path=str(tmp_path / "tests"), site_key=str(key))
    run = RunDir(tmp_path / "run")
    with (
        ingest.Spool(run, "kept") as spool,
        pytest.raises(ConfigError, match=rf"{key} lies in the folder of .* elsewh"),
    ):
        ingest.take(Config(data=data), run, spool)


def test_a_key_beside_the_source_and_the_run_is_fine(source, tmp_path):
    pseudonyms.check_place(DataConfig(path=str(source), site_key=str(tmp_path / "in.key")), tmp_path / "run")
    pseudonyms.check_place(DataConfig(path=None, site_key=str(tmp_path / "in.key")), tmp_path / "run")
    pseudonyms.check_place(DataConfig(path=str(tmp_path)), tmp_path)


def boxed(target, *labels):
    boxes = tuple(Box(0, 0, 2, 2, label) for label in labels)
    return Example("1", (ImageRef("x.png"),), target, "1", boxes=boxes)


def renamed(example, **relabel):
    found = dataset._renamed(example, relabel)
    return found.target, [box.label for box in found.boxes]


def test_boxes_are_renamed_with_the_answer():
    assert renamed(boxed("", "dent", "cut"), dent="flaw", cut="flaw") == ("", ["flaw", "flaw"])
    assert renamed(boxed("cut, dent", "cut", "dent"), dent="a", cut="b") == ("a, b", ["b", "a"])
    assert renamed(boxed("cut, dent", "cut", "dent"), dent="a", cut="a") == ("a", ["a", "a"])
    assert renamed(boxed("defect", "dent"), defect="bad") == ("bad", ["dent"])
    assert renamed(boxed("good"), good="ok") == ("ok", [])
    assert renamed(boxed(""), dent="flaw") == ("", [])


@pytest.mark.parametrize(("example", "named"), [(boxed("", "dent"), "dent"), (boxed("a, b", "a", "b"), "a, b")])
def test_what_has_no_entry_is_told(example, named):
    with pytest.raises(DataError, match=rf"label '{named}' has no entry in data.options.relabel, which has 'x'"):
        renamed(example, x="y")


def test_an_example_without_boxes_keeps_having_none():
    plain = dataclasses.replace(boxed("x"), boxes=None)
    assert dataset._renamed(plain, {"x": "y"}) == dataclasses.replace(plain, target="y")
