"""What prepare takes in: the spool, the policy for bad rows, limits by group, one look at a shared image."""

import dataclasses
import stat
from collections import Counter

import pytest
from PIL import Image

from finetune.config.schema import Config, DataConfig, TaskConfig
from finetune.data import image_scan, ingest
from finetune.data.image_scan import Look
from finetune.errors import DataError
from finetune.example import BadRow, Box, Example, ImageRef, Message
from finetune.images import decode as pixels
from finetune.rundir import RunDir, sha256_file

FULL = Example(
    "id \u00fc\u2028",
    (ImageRef("a.png", frame=2, window=(1.0, 2.5)), ImageRef("b\n.png")),
    "dent, \u6f22",
    "p1",
    (Message("user", 'say "x"'),),
    "val",
    "worse",
    (Box(1.0, 2.0, 3.5, 4.0, "dent", 1),),
    {"site": "A"},
    "labels.csv line 2",
)
LOOK = Look((3, 4), "ab" * 32, 9, b"pixels")
PLAIN = Example("b.png#1", (ImageRef("b.png"),), "good", "b.png")


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "run")


def config_of(path, rows, decode="full", **data):
    """A table of (image, label, lot); the images a, b, c differ, twin is a again."""
    path.mkdir(exist_ok=True)
    for number, name in enumerate(("a", "b", "c")):
        Image.new("RGB", (4 + number, 3), (number, 0, 0)).save(path / f"{name}.png")
    (path / "twin.png").write_bytes((path / "a.png").read_bytes())
    lines = [",".join(row) for row in (("image", "label", "lot"), *rows)]
    (path / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Config(data=DataConfig(adapter="table", path=str(path), decode=decode, **data), task=TaskConfig())


def take(config, run):
    with ingest.Spool(run, "kept") as spool:
        kept, bad, counts = ingest.take(config, run, spool)
        return kept, bad, counts, list(spool.rows())


def test_a_spool_gives_back_what_it_took(run):
    with ingest.Spool(run, "kept") as spool:
        spool.add(FULL, sha256="x", bytes=3)
        spool.add(PLAIN)
        assert list(spool.examples()) == [FULL, PLAIN]
        assert [row.get("sha256") for row in spool.rows()] == ["x", None]
        spool.add(FULL)
        assert list(spool.examples()) == [FULL, PLAIN, FULL]


def test_a_spool_is_private_and_goes_when_it_is_left(tmp_path):
    run = RunDir(tmp_path / "run", file_mode=0o600)
    with ingest.Spool(run, "kept"):
        (file,) = run.data.iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(run.data.iterdir()) == []
    with pytest.raises(TypeError, match="not JSON serializable"), ingest.Spool(run, "kept") as spool:
        spool.add(PLAIN, more=object())
    assert list(run.data.iterdir()) == []


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (BadRow("a.png", "a.png", "is bad"), "a.png: is bad"),
        (BadRow("labels.csv line 2", "", "is bad"), "labels.csv line 2: is bad"),
        (BadRow("labels.csv line 2", "a.png", "is bad"), "labels.csv line 2 (a.png): is bad"),
    ],
)
def test_a_bad_row_in_one_line(bad, text):
    assert ingest.worded(bad) == text


def test_the_policy_for_bad_rows():
    rows = [BadRow(f"line {n}", "", "is bad") for n in range(7)]
    ingest.apply_policy([], DataConfig(on_bad_row="fail"))
    with pytest.raises(DataError, match=r"^line 0: is bad\nCorrect or remove it, or .* data.on_bad_row=quarantine"):
        ingest.apply_policy(rows, DataConfig(on_bad_row="fail"))
    ingest.apply_policy(rows, DataConfig(on_bad_row="quarantine", bad_row_limit=7))
    with pytest.raises(DataError, match=r"^more than data.bad_row_limit=6 rows are bad; the first are\n") as error:
        ingest.apply_policy(rows, DataConfig(on_bad_row="quarantine", bad_row_limit=6))
    assert str(error.value).splitlines()[1:] == [f"line {n}: is bad" for n in range(5)]


def test_what_errors_call_the_source(tmp_path):
    assert ingest.source_name(Config(data=DataConfig(path="x"))) == "data.path=x"
    assert ingest.source_name(Config(data=DataConfig(adapter="synthetic"))) == "data.adapter=synthetic"


def test_rows_digests_and_sizes(tmp_path, run):
    config = config_of(tmp_path / "in", [("a.png", "x", "1"), ("b.png", "y", "1"), ("twin.png", "x", "2")], group="lot")
    kept, bad, counts, rows = take(config, run)
    assert (bad, counts) == ([], Counter(read=3, taken=3, kept=3))
    assert [(one.item.id, one.item.group, one.item.label, one.item.row) for one in kept] == [
        ("a.png#1", "1", "x", "labels.csv line 2"),
        ("b.png#1", "1", "y", "labels.csv line 3"),
        ("twin.png#1", "2", "x", "labels.csv line 4"),
    ]
    place = tmp_path / "in" / "a.png"
    assert (rows[0]["sha256"], rows[0]["bytes"]) == (sha256_file(place), place.stat().st_size)
    assert rows[0]["pixels_sha256"] == pixels.digest([Image.open(place)]) == rows[2]["pixels_sha256"]
    assert kept[0].item.pixels == kept[2].item.pixels != kept[1].item.pixels
    assert kept[0].asked == kept[2].asked != kept[1].asked


def test_without_decoding_equal_files_are_still_equal(tmp_path, run):
    rows = [("a.png", "x", "1"), ("b.png", "y", "1"), ("twin.png", "x", "2")]
    kept, _, _, written = take(config_of(tmp_path / "in", rows, decode="headers"), run)
    assert {row["pixels_sha256"] for row in written} == {None}
    assert kept[0].item.pixels == kept[2].item.pixels != kept[1].item.pixels


def test_rows_that_share_an_image_look_at_it_once(tmp_path, run, monkeypatch):
    seen = Counter()
    load = pixels.load
    monkeypatch.setattr(pixels, "load", lambda root, ref: (seen.update([ref.path]), load(root, ref))[1])
    monkeypatch.setattr(image_scan.os, "cpu_count", lambda: 1)  # two threads might both miss the memory of looks
    take(config_of(tmp_path / "in", [("a.png", "x", str(n)) for n in range(9)] + [("b.png", "y", "1")]), run)
    assert seen == {"a.png": 1, "b.png": 1}


def test_questions_tell_equal_images_apart():
    one, other = (
        ingest._kept(ingest._Seen(dataclasses.replace(PLAIN, messages=(Message("user", text),)), [LOOK], 0))
        for text in ("a", "b")
    )
    assert one.item.pixels == other.item.pixels
    assert one.asked != other.asked


@pytest.mark.parametrize("wanted", [1, 3, 100])
def test_a_limit_takes_whole_groups(tmp_path, run, wanted):
    rows = [("a.png", "x", "1"), ("b.png", "y", "2"), ("c.png", "x", "1"), ("twin.png", "y", "2")]
    kept, _, counts, _ = take(config_of(tmp_path / "in", rows, group="lot", limit=wanted), run)
    taken = 2 if wanted == 1 else 4
    assert counts == Counter(read=4, taken=taken, kept=taken)
    sizes = Counter(one.item.group for one in kept)
    assert set(sizes.values()) == {2}
    assert list(run.data.iterdir()) == []


def test_bad_rows_and_bad_images_are_set_aside_together(tmp_path, run):
    rows = [("a.png", "x", "1"), ("gone.png", "x", "1"), ("b.png", "", "1"), ("b.png", "y", "1")]
    config = config_of(tmp_path / "in", rows, on_bad_row="quarantine", bad_row_limit=2)
    kept, bad, counts, written = take(config, run)
    assert [one.item.id for one in kept] == [row["id"] for row in written] == ["a.png#1", "b.png#2"]
    assert {row.row for row in bad} == {"labels.csv line 3", "labels.csv line 4"}
    assert (counts["read"], counts["taken"]) == (3, 3)


def test_the_first_bad_image_stops_it(tmp_path, run):
    config = config_of(tmp_path / "in", [("a.png", "x", "1"), ("gone.png", "x", "1")])
    with pytest.raises(DataError, match=r"^labels.csv line 3 \(gone.png\): image 'gone.png' does not exist"):
        take(config, run)
    assert list(run.data.iterdir()) == []


def test_a_source_of_no_rows(tmp_path, run):
    with pytest.raises(DataError, match=r"^data.path=.*in holds no rows: table found no images or lines in it"):
        take(config_of(tmp_path / "in", []), run)
