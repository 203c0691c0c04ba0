"""What a decoder gets wrong without a word: turned TIFFs, values counted down from white, windows of nothing."""

import numpy as np
import pytest
from PIL import Image

from finetune.errors import DataError
from finetune.example import ImageRef
from finetune.images import decode


def tiff(place, values, **tags):
    Image.fromarray(values).save(place, format="TIFF", tiffinfo={int(key[1:]): value for key, value in tags.items()})


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_the_header_of_a_turned_tiff_has_the_size_of_its_pixels(tmp_path, orientation, compression):
    """20 x 10 stored: orientations 5 to 8 show 10 x 20, in the header as in the pixels."""
    image = Image.new("RGB", (20, 10))
    more = {"compression": compression} if compression else {}
    image.save(tmp_path / "a.tif", tiffinfo={274: orientation}, **more)
    header = decode.header(tmp_path, ImageRef("a.tif"))
    assert (header.width, header.height, header.orientation) == (20, 10, orientation)
    assert header.size == ((10, 20) if orientation >= 5 else (20, 10))
    assert decode.load(tmp_path, ImageRef("a.tif")).size == header.size


def test_a_box_of_a_turned_tiff_lies_where_its_pixels_do(tmp_path):
    """A bright pixel at the stored place (18, 1) of 20 x 10, turned by orientation 6 to (8, 18) of 10 x 20."""
    values = np.zeros((10, 20, 3), np.uint8)
    values[1, 18] = 255
    Image.fromarray(values).save(tmp_path / "a.tif", tiffinfo={274: 6})
    header = decode.header(tmp_path, ImageRef("a.tif"))
    x1, y1, x2, y2 = map(int, decode.upright((18, 1, 19, 2), header))
    shown = np.asarray(decode.load(tmp_path, ImageRef("a.tif")))[..., 0]
    assert np.argwhere(shown == 255).tolist() == [[y1, x1]]
    assert (x1, y1, x2, y2) == (8, 18, 9, 19)


def white_is_zero(place, values):
    """The same bytes with PhotometricInterpretation 0 instead of 1."""
    tiff(place, values)
    content = place.read_bytes()
    entry = (262).to_bytes(2, "little") + (3).to_bytes(2, "little") + (1).to_bytes(4, "little")
    at = content.index(entry) + 8
    assert content[at] == 1
    place.write_bytes(content[:at] + b"\0" + content[at + 1 :])


def test_sixteen_bits_counted_down_from_white_are_turned_over(tmp_path):
    values = np.array([[0, 1000], [500, 250]], np.uint16)
    ref = ImageRef("a.tif", window=(0.0, 1000.0))
    tiff(tmp_path / "a.tif", values)
    assert np.asarray(decode.load(tmp_path, ref))[..., 0].tolist() == [[0, 255], [128, 64]]
    white_is_zero(tmp_path / "a.tif", values)
    assert np.asarray(decode.load(tmp_path, ref))[..., 0].tolist() == [[255, 0], [128, 191]]


def test_a_deep_mask_counted_down_from_white_is_refused(tmp_path):
    white_is_zero(tmp_path / "m.tif", np.array([[0, 1]], np.uint16))
    with pytest.raises(DataError, match=r"mask 'm.tif' is a TIFF in which 0 is white \(MinIsWhite\)"):
        decode.load_values(tmp_path, "m.tif")


def test_a_window_that_leaves_nothing_but_white_is_refused(tmp_path):
    tiff(tmp_path / "a.tif", np.array([[300, 301]], np.uint16))
    with pytest.raises(DataError, match=r"'a.tif' turns out all white: its values are 300 to 301, and 255 is shown"):
        decode.load(tmp_path, ImageRef("a.tif", window=(0.0, 255.0)))
    assert np.asarray(decode.load(tmp_path, ImageRef("a.tif", window=(300.0, 301.0))))[..., 0].tolist() == [[0, 255]]
    tiff(tmp_path / "b.tif", np.full((1, 2), 300, np.uint16))  # one value is not told apart by any window
    assert np.asarray(decode.load(tmp_path, ImageRef("b.tif", window=(0.0, 255.0)))).min() == 255


def test_of_an_mpo_the_first_picture_is_read(tmp_path):
    first, second = Image.new("RGB", (8, 6), (255, 0, 0)), Image.new("RGB", (8, 6), (0, 0, 255))
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second], quality=100)
    red, _, blue = decode.load(tmp_path, ImageRef("a.jpg")).getpixel((4, 3))
    assert red > 250
    assert blue < 5


@pytest.mark.parametrize(("name", "kind"), [("a.jfif", "JPEG"), ("a.avif", "AVIF")])
def test_endings_and_formats_of_cameras_and_browsers(tmp_path, name, kind):
    Image.new("RGB", (16, 8), (10, 200, 10)).save(tmp_path / name, format=kind)
    image = decode.load(tmp_path, ImageRef(name))
    assert image.size == decode.header(tmp_path, ImageRef(name)).size == (16, 8)
    assert image.getpixel((3, 3))[1] == pytest.approx(200, abs=4)
    assert f".{name.split('.')[1]}" in decode.SUFFIXES


def test_a_picture_written_as_text_is_not_repeated(tmp_path):
    for text in ("data:image/png;base64," + "QUJD" * 2000, "iVBORw0KGgo" + "QUJD" * 2000):
        with pytest.raises(DataError, match=r"data.adapter=messages") as error:
            decode.check(tmp_path, text)
        assert len(str(error.value)) < 250
