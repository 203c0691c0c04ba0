"""Folders as they come: odd names, links, pipes, bombs, and every kind of file that only looks like an image."""

import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from data_adapters.image_folder import Options, read
from finetune.config.schema import Config, DataConfig, TaskConfig
from finetune.errors import DataError
from finetune.example import BadRow, Example
from finetune.pipeline import prepare
from finetune.rundir import RunDir, read_json, read_jsonl

NAMES = [
    "plain.png",
    "space in the middle.png",
    "new\nline.png",
    "tab\tand\rreturn.png",
    "quote'\"`.png",
    "\u00e9 composed.png",
    "e\u0301 decomposed.png",
    "\u6f22\u5b57\u202egnp.png",
    "\U0001f600.png",
    "-rf.png",
    "=cmd().png",
    "<img src=x onerror=alert(1)>.png",
    "%2e%2e.png",
    "a" * 251 + ".png",
    "\u00e9" * 125 + "x.png",
    "a..png",
    "CON.png",
]
assert max(len(name.encode()) for name in NAMES) == 255


def picture(number, mode="RGB", size=(6, 5)):
    colour = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(colour).convert(mode)


def png(width, height, bit_depth, colour_type, raw):
    """A PNG file made by hand."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b"")


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def prepared(source, root, **data):
    """Runs prepare with quarantine; returns the summary, what was set aside by path, and the manifest."""
    run = RunDir(root)
    config = Config(
        data=DataConfig(**{"path": str(source), "on_bad_row": "quarantine", "limit": 1000} | data), task=TaskConfig()
    )
    written = prepare.run(config, run)
    assert all(path.is_file() for path in written)
    aside = {row["path"]: row["reason"] for row in read_jsonl(run.quarantine)}
    return read_json(run.summary), aside, list(read_jsonl(run.manifest))


def test_every_name_that_a_file_may_have_survives(tmp_path):
    for number, name in enumerate(NAMES):
        place = tmp_path / "source" / ("cut" if number % 2 else "good")
        place.mkdir(parents=True, exist_ok=True)
        picture(number).save(place / name)
    summary, aside, manifest = prepared(tmp_path / "source", tmp_path / "run")
    assert (summary["kept"], aside) == (len(NAMES), {})
    assert sorted(row["path"].partition("/")[2] for row in manifest) == sorted(NAMES)
    assert len({row["group"] for row in manifest}) == len(NAMES)


def test_a_name_that_is_no_text_is_set_aside(tmp_path):
    """File names are bytes; one that is not UTF-8 cannot be written into any file of the run."""
    for number, label in enumerate(("cut", "good")):
        (tmp_path / "source" / label).mkdir(parents=True)
        picture(number).save(tmp_path / "source" / label / "a.png")
    folder = os.fsencode(tmp_path / "source")
    for name in (b"cut/\xff\xfe.png", b"good/caf\xe9.png"):
        with open(os.path.join(folder, name), "wb") as file:
            file.write(encoded(picture(9), "png"))
    os.mkdir(os.path.join(folder, b"\xe9tat"))
    with open(os.path.join(folder, b"\xe9tat", b"b.png"), "wb") as file:
        file.write(encoded(picture(8), "png"))
    summary, aside, _ = prepared(tmp_path / "source", tmp_path / "run")
    assert (summary["read"], summary["kept"], summary["quarantined"]) == (5, 2, 3)
    assert set(aside) == {r"'cut/\udcff\udcfe.png'", r"'good/caf\udce9.png'", r"'\udce9tat'"}
    assert all("a name that is not UTF-8; rename it" in reason for reason in aside.values())


@pytest.mark.parametrize("names", [("Cut", "cut"), ("cut", "cut "), ("stra\u00dfe", "STRASSE")])
def test_class_folders_that_read_the_same_are_refused(tmp_path, names):
    """The parser folds case and blanks, so the answer `cut` could never be told from `Cut`."""
    for number, name in enumerate([*names, "good"]):
        (tmp_path / "source" / name).mkdir(parents=True)
        picture(number).save(tmp_path / "source" / name / "a.png")
    with pytest.raises(DataError, match=r"labels .* differ only in case or blanks") as caught:
        prepared(tmp_path / "source", tmp_path / "run")
    assert all(repr(name) in str(caught.value) for name in names)


def test_files_whose_names_differ_in_case_alone_are_two(tmp_path):
    for number, name in enumerate(("good/A.png", "good/a.png", "good/a.PNG", "cut/A.PNG")):
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(tmp_path / "source" / name, "png")
    summary, aside, manifest = prepared(tmp_path / "source", tmp_path / "run")
    assert (summary["by_label"], aside) == ({"cut": 1, "good": 3}, {})
    assert len({row["sha256"] for row in manifest}) == 4


DEEP = np.array([[0, 700], [900, 65535]], np.uint16)
TRAPS = {
    "deep.png": (encoded(Image.fromarray(DEEP), "png"), "has raw values from 0 to 65535"),
    "deep_colour.png": (png(1, 1, 16, 2, b"\0" + bytes(6)), "has 16 bits a channel in colour"),
    "moving.gif": (
        encoded(picture(1, "P"), "gif", save_all=True, append_images=[picture(2, "P")]),
        "holds several frames or pages",
    ),
    "bomb.png": (png(9000, 9000, 1, 0, bytes(9000 * 1126)), "is 9000 x 9000 pixels; at most 67,108,864"),
    "lying.png": (png(60_000, 60_000, 8, 2, b"\0"), "cannot be decoded: "),
    "line.png": (png(20_001, 1, 1, 0, bytes(2502)), "is 20001 x 1 pixels"),
    "nothing.jpg": (b"", "is empty (0 bytes)"),
    "page.jpg": (b"<!doctype html><script>alert(1)</script>", "is none of the formats"),
    "vector.png": (b"<?xml version='1.0'?><svg/>", "is none of the formats"),
    "postscript.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "is none of the formats"),
    "icon.png": (encoded(picture(3), "ico"), "is none of the formats"),
    "cut.png": (encoded(picture(4, size=(64, 64)), "png")[:-900], "cannot be decoded"),
    "cut.jpg": (encoded(picture(5, size=(64, 64)), "jpeg")[:-300], "cannot be decoded"),
    "zeros.png": (bytes(500), "is none of the formats"),
    "film.mp4": (b"ftyp", "is no image this program reads"),
    "shot.heic": (b"ftypheic", "is no image this program reads"),
    "archive.zip": (b"PK\3\4", "is no image this program reads"),
}
FINE = {
    "grey.png": encoded(picture(10, "L"), "png"),
    "one_bit.png": encoded(picture(11, "1"), "png"),
    "palette.gif": encoded(picture(12, "P"), "gif"),
    "alpha.webp": encoded(picture(13, "RGBA"), "webp"),
    "ink.jpg": encoded(picture(14, "CMYK"), "jpeg"),
    "page.tif": encoded(picture(15), "tiff"),
    "plain.bmp": encoded(picture(16), "bmp"),
    "png named.jpg": encoded(picture(17), "png"),
    "long.png": png(20_000, 1, 1, 0, bytes(2501)),
}


def test_every_trap_is_set_aside_by_name_and_every_odd_image_kept(tmp_path):
    good, cut = tmp_path / "source" / "good", tmp_path / "source" / "cut"
    good.mkdir(parents=True)
    cut.mkdir()
    for name, (content, _) in TRAPS.items():
        (good / name).write_bytes(content)
    for name, content in FINE.items():
        (good / name).write_bytes(content)
    os.mkfifo(good / "pipe.png")
    (good / "out.png").symlink_to("/etc/hostname")
    (good / "dead.png").symlink_to("gone.png")
    (good / "circle.png").symlink_to("circle.png")
    (good / "up").symlink_to(tmp_path)
    picture(20).save(cut / "a.png")
    (cut / "same.png").symlink_to("a.png")
    expected = {f"good/{name}": reason for name, (_, reason) in TRAPS.items()} | {
        "good/pipe.png": "is a FIFO, expected a regular file",
        "good/out.png": "is a link out of",
        "good/dead.png": "does not exist",
        "good/circle.png": "cannot be read",
        "good/up": "is a link to a folder; links are not followed",
    }
    summary, aside, manifest = prepared(tmp_path / "source", tmp_path / "run")
    assert set(aside) == set(expected)
    assert {name: aside[name] for name in expected if expected[name] not in aside[name]} == {}
    assert {row["path"] for row in manifest} == {f"good/{name}" for name in FINE} | {"cut/a.png", "cut/same.png"}
    assert summary["read"] == len(TRAPS) + len(FINE) + 7


def test_the_same_traps_with_a_window_and_a_frame(tmp_path):
    for number, name in enumerate(("deep.png", "moving.gif")):
        place = tmp_path / "source" / ("good", "cut")[number]
        place.mkdir(parents=True)
        (place / name).write_bytes(TRAPS[name][0])
    options = {"window": [0, 1000], "frame": 0}
    summary, aside, _ = prepared(tmp_path / "source", tmp_path / "run", options=options)
    assert (summary["kept"], aside) == (2, {})


def test_the_pixels_that_count_are_upright(tmp_path):
    """Two files of the same view, one turned by EXIF alone, are found as one image in two classes."""
    exif = Image.Exif()
    exif[0x0112] = 6
    upright = picture(1, size=(6, 4))
    for label in ("cut", "good"):
        (tmp_path / "source" / label).mkdir(parents=True)
    upright.save(tmp_path / "source" / "good" / "a.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "source" / "cut" / "b.png", exif=exif)
    summary, _, _ = prepared(tmp_path / "source", tmp_path / "run")
    assert [conflict["ids"] for conflict in summary["conflicts"]] == [["cut/b.png#1", "good/a.png#1"]]


@pytest.mark.parametrize("label", ["<image>", "=cmd()|x", "</script>", "{labels}", "@SUM(A1)", "a\nb"])
def test_a_label_is_text_whatever_it_looks_like(tmp_path, label):
    label = label.replace("/", "\u2215")
    for number, name in enumerate((label, "good")):
        (tmp_path / "source" / name).mkdir(parents=True)
        picture(number).save(tmp_path / "source" / name / "a.png")
    summary, _, manifest = prepared(tmp_path / "source", tmp_path / "run")
    assert summary["labels"] == sorted([label, "good"])
    assert {row["label"] for row in manifest} == {label, "good"}
    (asked,) = {
        row["messages"][0]["text"]
        for name in ("train", "val", "test")
        for row in read_jsonl(tmp_path / "run" / "data" / f"{name}.jsonl")
    }
    assert asked == f"Which is it? Answer with one of: {', '.join(sorted([label, 'good']))}."


def test_deep_folders_belong_to_their_first(tmp_path):
    place = tmp_path / "good" / "/".join("abcdefgh" * 8)
    place.mkdir(parents=True)
    picture(1).save(place / "x.png")
    (row,) = read(tmp_path, Options(), tmp_path)
    assert isinstance(row, Example)
    assert row.target == "good"


def test_a_closed_folder_is_told(tmp_path, monkeypatch):
    (tmp_path / "good").mkdir()
    real = os.scandir

    def closed(path):
        if str(path).endswith("good"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)
    (row,) = read(tmp_path, Options(), tmp_path)
    assert isinstance(row, BadRow)
    assert json.loads(json.dumps(row.row)) == "good"
    assert "cannot be listed (Permission denied)" in row.reason
