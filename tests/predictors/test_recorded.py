"""Packs are replayed as they were recorded, or not at all: every slip is caught and named."""

import json
import shutil
import sys
from dataclasses import replace

import pytest
import synthetic
from baseline import made
from PIL import Image

from finetune.baseline import pack
from finetune.config.schema import BaselineConfig
from finetune.data import example_files, source
from finetune.errors import ConfigError, IntegrityError
from finetune.predictors import recorded
from finetune.rundir import RunDir, read_json, read_jsonl, sha256_file

CONNECTS = []
sys.addaudithook(lambda event, _: CONNECTS.append(event) if event in ("socket.connect", "socket.getaddrinfo") else None)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    place = tmp_path_factory.mktemp("site")
    config, run = synthetic.prepare(place / "run", parts=4)
    made.write(place / "pack", config, run)
    return config, run


@pytest.fixture
def site(prepared, tmp_path):
    config, run = prepared
    shutil.copytree(run.root, tmp_path / "run")
    run, folder = RunDir(tmp_path / "run"), tmp_path / "pack"
    return replace(config, baseline=BaselineConfig("recorded", "gpt", path=str(folder))), run, folder


@pytest.fixture
def packed(site, prepared):
    """The site with the pack of its run."""
    shutil.copytree(prepared[1].root.parent / "pack", site[2])
    return site


def replay(config, run):
    tests = example_files.read_split(run.parts(0)[0].split("test"))
    return list(recorded.predict(config, run, tests, source.image_root(config, run), example_files.labels(run)))


def rewrite(folder, change, honest=True):
    """Changes the rows of a pack; `honest` brings its digest up to date, as a careful forger would."""
    rows = change(list(read_jsonl(folder / pack.ROWS)))
    (folder / pack.ROWS).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    if honest:
        about = read_json(folder / pack.ABOUT) | {"predictions_sha256": sha256_file(folder / pack.ROWS)}
        (folder / pack.ABOUT).write_text(json.dumps(about), encoding="utf-8")


def test_a_pack_is_replayed_without_a_socket(packed):
    config, run, _ = packed
    CONNECTS.clear()
    rows = replay(config, run)
    assert CONNECTS == []
    assert rows == made.predictions(config, run)
    assert [row.outcome for row in rows[:6]] == ["unparsed", *["correct"] * 4, "unparsed"]
    assert read_json(run.eval / "gpt.baseline.json")["synthetic"] is True


def swap(field, first=1, second=4):
    def change(rows):
        rows[first][field], rows[second][field] = rows[second][field], rows[first][field]
        return rows

    return change


def test_shuffled_rows_are_named(packed):
    config, run, folder = packed
    rewrite(folder, lambda rows: [rows[1], rows[0], *rows[2:]])
    with pytest.raises(IntegrityError, match="2 rows are not in the order of the test: part000_view1, part000_view0"):
        replay(config, run)


def test_dropped_foreign_and_doubled_rows_are_named(packed):
    config, run, folder = packed
    rewrite(folder, lambda rows: [*rows[:2], rows[3] | {"id": "elsewhere"}, *rows[4:]])
    with pytest.raises(IntegrityError) as error:
        replay(config, run)
    assert "2 examples of the test have no row: part000_view2, part001_view0" in str(error.value)
    assert "1 rows are of no test example: elsewhere" in str(error.value)
    rewrite(folder, lambda rows: [*rows, rows[0]])
    with pytest.raises(IntegrityError, match="1 ids more than once: part000_view0"):
        replay(config, run)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: [rows[0] | {"gold": "pit"}, *rows[1:]], "in 1 places: gold of part000_view0"),
        (lambda rows: [*rows[:7], rows[7] | {"image_sha256": "0" * 64}, *rows[8:]], "pixels of part002_view1"),
        (lambda rows: [rows[0] | {"question": "Is it?"}, *rows[1:]], "question of part000_view0"),
        (lambda rows: [rows[0] | {"group": "p"}, *rows[1:]], "group of part000_view0"),
        (lambda rows: [rows[0] | {"answer": "good", "outcome": "correct"}, *rows[1:]], "answer of part000_view0"),
        (swap("text", 0, 1), "in 2 places: answer of part000_view0, answer of part000_view1"),
    ],
)
def test_changed_rows_are_named(packed, change, told):
    config, run, folder = packed
    rewrite(folder, change)
    with pytest.raises(IntegrityError, match=told):
        replay(config, run)


def test_one_altered_pixel_of_the_run_is_named(packed):
    config, run, _ = packed
    file = run.images / "part001_view1.png"
    with Image.open(file) as image:
        image.load()
    red, green, blue = image.getpixel((3, 3))
    image.putpixel((3, 3), (red ^ 1, green, blue))
    image.save(file)
    with pytest.raises(IntegrityError, match="in 1 places: pixels of part001_view1"):
        replay(config, run)


def test_a_changed_text_is_caught_by_the_digest(packed):
    config, run, folder = packed
    rewrite(folder, lambda rows: [rows[0] | {"text": "Who knows?"}, *rows[1:]], honest=False)
    with pytest.raises(IntegrityError, match="is not the file that was recorded"):
        replay(config, run)


def test_what_the_provider_withheld_stays_withheld(packed):
    config, run, folder = packed
    rewrite(folder, lambda rows: [rows[0] | {"text": "good", "outcome": "filtered"}, *rows[1:]])
    assert replay(config, run)[0].outcome == "filtered"


def test_a_shareable_pack_tells_nothing_of_the_data(site, tmp_path, monkeypatch):
    config, run, folder = site
    key = tmp_path / "key"
    key.write_text("k" * 64, encoding="utf-8")
    monkeypatch.setenv(pack.SITE_KEY, str(key))
    made.write(folder, config, run, pack.site_key(), max_side=48)
    rows = list(read_jsonl(folder / pack.ROWS))
    assert {tuple(row) for row in rows} == {("item", "pixels_sent", "text", "outcome", "seconds", "model", "usage")}
    assert {row["outcome"] for row in rows} == {None}
    written = "".join(file.read_text(encoding="utf-8") for file in folder.iterdir())
    assert not [word for word in ("part0", "view0", config.task.question, "k" * 64) if word in written]
    assert replay(config, run) == made.predictions(config, run)
    rewrite(folder, lambda rows: [rows[1], rows[0], *rows[2:]])
    with pytest.raises(IntegrityError, match="order of the test: part000_view1"):
        replay(config, run)
    rewrite(folder, lambda rows: [rows[1], rows[0] | {"pixels_sent": ["0" * 64]}, *rows[2:]])
    with pytest.raises(IntegrityError, match="pixels of part000_view1"):
        replay(config, run)


def test_a_shareable_pack_needs_the_key_of_its_site(site, tmp_path, monkeypatch):
    config, run, folder = site
    made.write(folder, config, run, b"k" * 64)
    monkeypatch.delenv(pack.SITE_KEY, raising=False)
    with pytest.raises(ConfigError, match="set FINETUNE_SITE_KEY to the file"):
        replay(config, run)
    monkeypatch.setenv(pack.SITE_KEY, str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="cannot be read"):
        replay(config, run)
    (tmp_path / "short").write_text("abc", encoding="utf-8")
    monkeypatch.setenv(pack.SITE_KEY, str(tmp_path / "short"))
    with pytest.raises(ConfigError, match="holds 3 bytes, expected at least 32"):
        replay(config, run)
    (tmp_path / "other").write_text("j" * 64, encoding="utf-8")
    monkeypatch.setenv(pack.SITE_KEY, str(tmp_path / "other"))
    with pytest.raises(ConfigError, match="recorded with another key"):
        replay(config, run)


def test_what_is_no_pack_is_said(site):
    config, run, folder = site
    with pytest.raises(ConfigError, match=r"say which with baseline\.path=FOLDER"):
        recorded.identity(replace(config, baseline=BaselineConfig("recorded")), run)
    with pytest.raises(ConfigError, match=r"is no recorded pack; expected pack\.json and"):
        replay(config, run)
    made.write(folder, config, run)
    before = recorded.identity(config, run)
    about = read_json(folder / pack.ABOUT)
    (folder / pack.ABOUT).write_text(json.dumps(about | {"schema": 9}), encoding="utf-8")
    assert recorded.identity(config, run) != before
    with pytest.raises(IntegrityError, match="has schema 9, expected 1"):
        replay(config, run)
    del about["prices"]
    (folder / pack.ABOUT).write_text(json.dumps(about), encoding="utf-8")
    with pytest.raises(IntegrityError, match="lacks prices"):
        replay(config, run)
