"""The source is known again by sizes and times, and by its bytes where those changed."""

import os

import pytest
from PIL import Image

from finetune.config.schema import Config, DataConfig, RunConfig, TaskConfig
from finetune.data import source_digest as source_of
from finetune.errors import DataError
from finetune.pipeline import prepare
from finetune.rundir import RunDir, read_json, read_jsonl


@pytest.fixture
def config(tmp_path):
    for number in range(12):
        place = tmp_path / "source" / ("good", "cut")[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (number, 0, 0)).save(place)
    run = RunConfig(dir=str(tmp_path / "source" / "runs" / "one"))
    data = DataConfig(path=str(tmp_path / "source"), decode="headers", limit=1000)
    return Config(data=data, run=run, task=TaskConfig())


def test_a_second_look_reads_nothing(config, tmp_path, monkeypatch):
    """The run may lie in the source: its own files are no part of it."""
    RunDir(tmp_path / "source" / "runs" / "one").make(tmp_path / "source" / "runs" / "one")
    first = prepare.sources(config)
    monkeypatch.setattr(source_of, "content", None)
    assert prepare.sources(config) == first
    assert set(read_json(tmp_path / "source" / "runs" / "one" / "source.json")) == {"seen", "content"}


def test_a_new_time_is_looked_into_and_new_bytes_are_seen(config, tmp_path):
    RunDir(tmp_path / "source" / "runs" / "one").make(tmp_path / "source" / "runs" / "one")
    first, image = prepare.sources(config), tmp_path / "source" / "good" / "0.png"
    os.utime(image, (1, 1))
    assert prepare.sources(config) == first
    before, content = image.stat(), image.read_bytes()
    image.write_bytes(content[:-1] + b"\0")
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))  # same size, its time set back
    assert prepare.sources(config) != first


def test_folders_behind_adapters_that_write_images_count(tmp_path):
    (tmp_path / "a.tar").write_bytes(b"one")
    config = Config(data=DataConfig(adapter="webdataset", path=str(tmp_path)))
    first = source_of.content(config)
    (tmp_path / "a.tar").write_bytes(b"two")
    assert source_of.content(config) != first


def test_headers_alone(config, tmp_path):
    """Sizes are checked, pixels are not: damage behind the header passes, and duplicates are equal files."""
    root = tmp_path / "source"
    whole = (root / "good" / "0.png").read_bytes()
    (root / "good" / "0.png").write_bytes(whole[:-20])
    (root / "cut" / "same.png").write_bytes((root / "good" / "2.png").read_bytes())
    run = RunDir(tmp_path / "run")
    prepare.run(config, run)
    rows = list(read_jsonl(run.manifest))
    assert {row["pixels_sha256"] for row in rows} == {None}
    assert len(rows) == 13
    (conflict,) = read_json(run.summary)["conflicts"]
    assert conflict["ids"] == ["cut/same.png#1", "good/2.png#1"]


def test_headers_still_refuse_what_they_show(config, tmp_path):
    (tmp_path / "source" / "good" / "0.png").write_bytes(b"junk")
    with pytest.raises(DataError, match=r"good/0.png.* is none of the formats"):
        prepare.run(config, RunDir(tmp_path / "run"))


def test_nothing_temporary_is_left(config, tmp_path):
    run = RunDir(tmp_path / "run")
    prepare.run(config, run)
    assert [path.name for path in run.data.iterdir() if path.name.startswith(".")] == []
