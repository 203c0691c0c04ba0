import hashlib
import io
import os
import socket
import struct
import zlib
from pathlib import PureWindowsPath

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from finetune.errors import DataError
from finetune.example import ImageRef
from finetune.images import decode, safe_path

CORNERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
"""Red, green / blue, white: every rotation and mirror image of it differs."""


def saved(folder, name, image, **options):
    image.save(folder / name, **options)
    return ImageRef(name)


@pytest.mark.parametrize(
    ("relative", "message"),
    [
        ("", "is empty or holds a NUL"),
        ("a\0.png", "is empty or holds a NUL"),
        ("https://example.org/a.png", "is a URL; nothing is fetched"),
        ("FILE:/etc/passwd", "is a URL"),
        ("data:image/png;base64,AAAA", "is a URL"),
        ("/etc/passwd", "is absolute"),
        ("C:\\x.png", "is absolute"),
        ("\\\\server\\x.png", "is absolute"),
        ("../a.png", "climbs with '..'"),
        ("x/../../a.png", "climbs with '..'"),
        ("x\\..\\a.png", "climbs with '..'"),
        ("gone.png", "does not exist"),
        ("n" * 300, "cannot be read"),
        ("folder", "is a directory, expected a regular file"),
        ("pipe.png", "is a FIFO, expected a regular file"),
        ("socket.png", "is a socket, expected a regular file"),
        ("null.png", "is a link out of"),
        ("out.png", "is a link out of"),
        ("linked/secret.png", "is a link out of"),
        ("loop.png", "cannot be read"),
        ("empty.png", "is empty (0 bytes)"),
    ],
)
def test_unsafe_paths_are_refused_before_anything_is_opened(tmp_path, monkeypatch, relative, message):
    outside = tmp_path / "outside"
    root = tmp_path / "root"
    outside.mkdir()
    (root / "folder").mkdir(parents=True)
    (outside / "secret.png").write_bytes(b"x")
    os.mkfifo(root / "pipe.png")
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
    (root / "null.png").symlink_to("/dev/null")
    (root / "out.png").symlink_to(outside / "secret.png")
    (root / "linked").symlink_to(outside)
    (root / "loop.png").symlink_to("loop.png")
    (root / "empty.png").touch()
    with pytest.raises(DataError) as error:
        decode.check(root, relative)
    assert message in str(error.value)
    assert ("data:image/png;base6" if relative.startswith("data:") else repr(relative)) in str(error.value)


@given(st.text("aC./\\:\n \u00e9", max_size=8))
def test_slashes_drives_and_climbs_are_those_of_windows(relative):
    """Whatever the system: a table that was written on Windows may name what is absolute there."""
    known = PureWindowsPath(relative)
    assume(relative[1:2] != ":" or relative[0].isalpha())  # a drive is a letter, which not every Python asks for
    assume(relative[1:2] != ":" or relative[0].isascii())
    assert bool(safe_path._ABSOLUTE.match(relative)) == bool(known.anchor)
    assert bool(safe_path._CLIMBS.search(relative)) == (".." in known.parts)


def test_a_root_that_is_another_folder_by_now_is_not_followed(tmp_path, monkeypatch):
    for name in ("a", "b"):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "data" / "x.png").write_bytes(b"x")
    (tmp_path / "link").symlink_to("a")
    assert decode.check(tmp_path / "link", "data/x.png") == tmp_path / "a" / "data" / "x.png"
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("b")
    with pytest.raises(DataError, match=r"'data/x.png' is a link out of"):
        decode.check(tmp_path / "link", "data/x.png")
    for name in ("a", "b"):  # a relative root is that of the folder the program stands in
        monkeypatch.chdir(tmp_path / name)
        assert decode.check(decode.Path("data"), "x.png") == tmp_path / name / "data" / "x.png"


def test_a_device_is_refused():
    with pytest.raises(DataError, match=r"'null' is a device, expected a regular file"):
        decode.check(decode.Path("/dev"), "null")


def test_a_link_inside_the_root_and_odd_names_are_fine(tmp_path):
    (tmp_path / "caf\u00e9 \u2603\n'.png").write_bytes(b"x")
    (tmp_path / "link.png").symlink_to("caf\u00e9 \u2603\n'.png")
    assert decode.check(tmp_path, "link.png") == decode.check(tmp_path, "caf\u00e9 \u2603\n'.png")


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [["R", "G"], ["B", "W"]]),
        (2, [["G", "R"], ["W", "B"]]),
        (3, [["W", "B"], ["G", "R"]]),
        (4, [["B", "W"], ["R", "G"]]),
        (5, [["R", "B"], ["G", "W"]]),
        (6, [["B", "R"], ["W", "G"]]),
        (7, [["W", "G"], ["B", "R"]]),
        (8, [["G", "W"], ["R", "B"]]),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK"])
def test_exif_orientation_is_applied_once(tmp_path, orientation, expected, mode):
    exif = Image.Exif()
    exif[0x0112] = orientation
    suffix = "tif" if mode == "CMYK" else "png"
    ref = saved(tmp_path, f"turned.{suffix}", Image.fromarray(CORNERS).convert(mode), exif=exif)
    names = {(255, 0, 0): "R", (0, 255, 0): "G", (0, 0, 255): "B", (255, 255, 255): "W"}
    upright = np.asarray(decode.load(tmp_path, ref))
    assert [[names[tuple(map(int, pixel))] for pixel in row] for row in upright] == expected


def test_alpha_is_laid_over_white(tmp_path):
    ref = saved(tmp_path, "a.png", Image.new("RGBA", (1, 1), (200, 0, 0, 0)))
    assert decode.load(tmp_path, ref).getpixel((0, 0)) == (255, 255, 255)
    ref = saved(tmp_path, "half.png", Image.new("LA", (1, 1), (0, 128)))
    assert decode.load(tmp_path, ref).getpixel((0, 0)) == (127, 127, 127)


def test_a_transparent_palette_entry_is_laid_over_white(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putpixel((1, 0), 1)
    ref = saved(tmp_path, "p.png", image, transparency=0)
    loaded = decode.load(tmp_path, ref)
    assert (loaded.getpixel((0, 0)), loaded.getpixel((1, 0))) == ((255, 255, 255), (200, 100, 50))


def test_cmyk_becomes_rgb(tmp_path):
    ref = saved(tmp_path, "c.tif", Image.new("CMYK", (1, 1), (0, 255, 255, 0)))
    assert decode.load(tmp_path, ref).getpixel((0, 0)) == (255, 0, 0)


def test_lab_becomes_rgb(tmp_path):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = ImageCms.profileToProfile(Image.new("RGB", (1, 1), (200, 30, 40)), srgb, lab, outputMode="LAB")
    loaded = decode.load(tmp_path, saved(tmp_path, "lab.tif", image))
    assert loaded.mode == "RGB"
    assert np.abs(np.subtract(loaded.getpixel((0, 0)), (200, 30, 40))).max() <= 3


@pytest.mark.parametrize("name", ["moving.gif", "moving.png", "pages.tif", "moving.webp"])
def test_several_frames_need_a_rule(tmp_path, name):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if name.endswith("webp") else {}
    saved(tmp_path, name, frames[0], save_all=True, append_images=frames[1:], **options)
    with pytest.raises(
        DataError, match=rf"'{name}' holds several frames or pages; say which one with data.options.frame"
    ):
        decode.load(tmp_path, ImageRef(name))
    assert decode.load(tmp_path, ImageRef(name, frame=2)).getpixel((1, 1)) == (0, 0, 255)
    with pytest.raises(DataError, match=r"has no frame 3"):
        decode.load(tmp_path, ImageRef(name, frame=3))


def test_sixteen_bits_need_a_window_and_the_error_names_the_range(tmp_path):
    ref = saved(tmp_path, "deep.png", Image.fromarray(np.array([[100, 1100, 2100, 60000]], np.uint16)))
    with pytest.raises(
        DataError, match=r"'deep.png' has raw values from 100 to 60000 .*data.options.window=\[LOW,HIGH\]"
    ):
        decode.load(tmp_path, ref)
    windowed = decode.load(tmp_path, ImageRef("deep.png", window=(100.0, 2100.0)))
    assert np.asarray(windowed)[0, :, 0].tolist() == [0, 128, 255, 255]


def test_a_falling_window_inverts(tmp_path):
    saved(tmp_path, "deep.png", Image.fromarray(np.array([[0, 1000]], np.uint16)))
    windowed = decode.load(tmp_path, ImageRef("deep.png", window=(1000.0, 0.0)))
    assert np.asarray(windowed)[0, :, 0].tolist() == [255, 0]


def test_float_needs_a_window_and_finite_values(tmp_path):
    ref = saved(tmp_path, "f.tif", Image.fromarray(np.array([[-0.5, 1.5]], np.float32)))
    with pytest.raises(DataError, match=r"from -0.5 to 1.5 \(mode F\)"):
        decode.load(tmp_path, ref)
    ref = saved(tmp_path, "nan.tif", Image.fromarray(np.array([[np.nan, np.inf, 1.0]], np.float32)))
    with pytest.raises(DataError, match=r"'nan.tif' holds 2 values that are not finite"):
        decode.load(tmp_path, ref)


def png(width, height, bit_depth, colour_type, raw):
    """A PNG file made by hand: Pillow writes no colour of 16 bits."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, bit_depth, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def test_sixteen_bit_colour_is_not_cut_in_silence(tmp_path):
    (tmp_path / "rgb16.png").write_bytes(png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 0x1234, 0x5678, 0x9ABC)))
    with pytest.raises(DataError, match=r"'rgb16.png' has 16 bits a channel in colour"):
        decode.load(tmp_path, ImageRef("rgb16.png"))
    accepted = decode.load(tmp_path, ImageRef("rgb16.png", window=(0, 65535)))
    assert accepted.getpixel((0, 0)) == (0x12, 0x56, 0x9A)


def test_a_bomb_is_refused_before_decoding(tmp_path):
    (tmp_path / "bomb.png").write_bytes(png(9000, 9000, 1, 0, b"\0" * 100))
    with pytest.raises(DataError, match=r"'bomb.png' is 9000 x 9000 pixels; at most 67,108,864 pixels"):
        decode.load(tmp_path, ImageRef("bomb.png"))
    (tmp_path / "wide.png").write_bytes(png(30000, 1, 1, 0, b"\0" * 100))
    with pytest.raises(DataError, match=r"'wide.png' is 30000 x 1 pixels"):
        decode.load(tmp_path, ImageRef("wide.png"))
    (tmp_path / "huge.png").write_bytes(png(60000, 60000, 1, 0, b"\0" * 100))
    with pytest.raises(DataError, match=r"'huge.png' cannot be decoded: .*decompression bomb"):
        decode.load(tmp_path, ImageRef("huge.png"))


def test_a_truncated_jpeg_is_caught(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    buffer = io.BytesIO()
    noise.save(buffer, "jpeg")
    (tmp_path / "cut.jpg").write_bytes(buffer.getvalue()[:-400])
    with pytest.raises(DataError, match=r"'cut.jpg' cannot be decoded: .*truncated"):
        decode.load(tmp_path, ImageRef("cut.jpg"))


def test_other_formats_and_archives_are_refused(tmp_path):
    saved(tmp_path, "x.png", Image.new("RGB", (2, 2)), format="ICO")
    with pytest.raises(DataError, match=r"'x.png' is none of the formats read here"):
        decode.load(tmp_path, ImageRef("x.png"))
    saved(tmp_path, "y.png", Image.new("RGB", (2, 2)))
    with pytest.raises(DataError, match=r"member 'a' is named"):
        decode.load(tmp_path, ImageRef("y.png", member="a"))


def test_digest_is_over_size_and_pixels_in_order():
    tall, wide = Image.new("RGB", (1, 2), (1, 2, 3)), Image.new("RGB", (2, 1), (1, 2, 3))
    single = [hashlib.sha256(head + b"\1\2\3\1\2\3").digest() for head in (b"RGB 1 2\n", b"RGB 2 1\n")]
    assert decode.digest([tall]) == hashlib.sha256(single[0]).hexdigest()
    assert decode.digest([tall, wide]) == hashlib.sha256(single[0] + single[1]).hexdigest()
    assert decode.digest([wide, tall]) != decode.digest([tall, wide])
