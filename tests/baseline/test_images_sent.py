"""What leaves of an image: the pixels, all of them or fewer, and nothing that was beside them."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from finetune.baseline import images_sent
from finetune.errors import DataError
from finetune.example import Example, ImageRef
from finetune.images import decode

NOISE = np.random.default_rng(0).integers(0, 255, (9, 14, 3), dtype=np.uint8)
CANARY = b"DOE-JANE"


def opened(content):
    image = Image.open(io.BytesIO(content))
    image.load()
    return image


def laden(form, mode="RGB"):
    """A picture as a file of the given form with the canary wherever that form has room."""
    image, how = Image.fromarray(NOISE).convert(mode), {}
    exif = Image.Exif()
    exif[0x010E] = CANARY.decode()
    if form == "PNG":
        how["pnginfo"] = PngImagePlugin.PngInfo()
        how["pnginfo"].add_text("Patient", CANARY.decode())
        how["pnginfo"].add_itxt("Ward", CANARY.decode())
    if form in ("PNG", "JPEG", "WEBP"):
        how |= {"exif": exif.tobytes(), "icc_profile": CANARY * 20}
    if form == "JPEG":
        how["comment"] = CANARY
    if form == "TIFF":
        how["description"] = CANARY.decode()
    if form == "GIF":
        how["comment"] = CANARY
    buffer = io.BytesIO()
    image.save(buffer, form, **how)
    assert CANARY in buffer.getvalue()
    return opened(buffer.getvalue())


@pytest.mark.parametrize("limit", [images_sent.LARGEST_PNG_BYTES, 10])
@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "L"), ("JPEG", "RGB"), ("WEBP", "RGB"), ("TIFF", "RGB"), ("GIF", "P")],
)
def test_no_metadata_passes(form, mode, limit, monkeypatch):
    monkeypatch.setattr(images_sent, "LARGEST_PNG_BYTES", limit)
    sent = images_sent.encode(laden(form, mode), None)
    assert CANARY not in sent.content
    again = opened(sent.content)
    assert (again.mode, again.format) == ("RGB", "PNG" if limit > 10 else "JPEG")
    assert dict(again.getexif()) == {}
    assert not set(again.info) - {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_a_png_holds_only_the_chunks_of_pixels():
    content, kinds, at = images_sent.encode(laden("PNG"), None).content, [], 8
    while at < len(content):
        kinds.append(content[at + 4 : at + 8])
        at += 12 + int.from_bytes(content[at : at + 4])
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}


def test_pixels_are_the_same_and_named_by_their_digest():
    image = Image.fromarray(NOISE)
    sent = images_sent.encode(image, None)
    assert np.array_equal(np.asarray(opened(sent.content)), NOISE)
    assert sent.sha256 == decode.digest([image])
    other = NOISE.copy()
    other[3, 3, 0] ^= 1
    assert images_sent.encode(Image.fromarray(other), None).sha256 != sent.sha256


def test_the_same_pixels_make_the_same_bytes():
    """The cache of replies and the ledger go by them."""
    assert images_sent.encode(laden("PNG"), None) == images_sent.encode(Image.fromarray(NOISE), None)


@pytest.mark.parametrize(
    ("size", "max_side", "expected"),
    [
        ((100, 50), None, (100, 50)),
        ((100, 50), 100, (100, 50)),
        ((100, 50), 200, (100, 50)),
        ((100, 50), 50, (50, 25)),
        ((50, 100), 50, (25, 50)),
        ((1000, 3), 100, (100, 1)),
        ((3, 2), 1, (1, 1)),
        ((99, 33), 33, (33, 11)),
    ],
)
def test_sides(size, max_side, expected):
    assert images_sent.encode(Image.new("RGB", size), max_side).size == expected


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 70))
def test_scaling_keeps_the_limit_and_the_shape(width, height, max_side):
    found = images_sent.scaled(Image.new("L", (width, height)), max_side).size
    assert max(found) == min(max_side, max(width, height))
    assert min(found) >= 1
    scale = max(found) / max(width, height)
    assert abs(found[0] - width * scale) <= 0.5 or found[0] == 1
    assert abs(found[1] - height * scale) <= 0.5 or found[1] == 1


def example(*names):
    return Example("a", tuple(ImageRef(name) for name in names), "x", "g")


def test_the_images_of_an_example_keep_their_order(tmp_path):
    for number, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (4 + number, 4), (number, 0, 0)).save(tmp_path / name)
    one, two = (
        images_sent.of(example("a.png", "b.png"), tmp_path, None),
        images_sent.of(example("b.png", "a.png"), tmp_path, None),
    )
    assert [picture.size for picture in one.pictures] == [(4, 4), (5, 4)]
    assert one.pictures == two.pictures[::-1]
    assert one.image_sha256 != two.image_sha256


def test_models_are_paired_by_whole_pixels_whatever_was_sent(tmp_path):
    Image.fromarray(NOISE).save(tmp_path / "a.png")
    whole, small = (images_sent.of(example("a.png"), tmp_path, side) for side in (None, 5))
    assert whole.image_sha256 == small.image_sha256
    assert whole.pictures[0].sha256 != small.pictures[0].sha256


def test_a_picture_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png"):
        images_sent.of(example("a.png"), tmp_path, None)


def test_the_record_says_what_is_done_to_pixels():
    assert images_sent.policy(512) == {"max_side": 512, "format": "png, above 3500000 bytes jpeg quality 95"}
