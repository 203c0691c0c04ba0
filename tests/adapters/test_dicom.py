"""DICOM to 8 bits step by step, against values worked out by hand; what an item is, and what may leave."""

import shutil
import subprocess

import numpy as np
import pydicom
import pytest
from adapters.dicoms import ct, item, pixels
from adapters.sources import write_csv
from PIL import Image
from pydicom.data import get_testdata_file

from data_adapters import _dicom_image, dicom
from data_adapters._dicom_window import Rule
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow
from finetune.images.decode import load

RAMP = np.array([[0, 100], [200, 300]], np.int16)


def grey(dataset, *windows, index=0, percentiles=()):
    """The first channel of what is shown."""
    image, _ = _dicom_image.show(dataset, index, Rule(windows or ("file",), percentiles))
    return np.asarray(image)[..., 0].tolist()


def test_a_window_is_linear_as_the_standard_writes_it():
    """C.11.2.1.2.1 with centre 100, width 201: ((x - 99.5) / 200 + 0.5) * 255."""
    assert grey(ct(RAMP), "100,201") == [[1, 128], [255, 255]]


def test_the_window_of_the_file_by_number():
    dataset = ct(RAMP, WindowCenter=["100", "200"], WindowWidth=["201", "1"])
    assert grey(dataset, "file") == [[1, 128], [255, 255]]
    assert grey(dataset, "file:1") == [[0, 0], [255, 255]]
    with pytest.raises(DataError, match=r"has 2 windows; data\.options\.windows asks for number 2"):
        grey(dataset, "file:2")


def test_functions_of_a_window():
    """LINEAR_EXACT: (x - 100) / 200 + 0.5; SIGMOID: 1 / (1 + exp(-4 (x - 100) / 200))."""
    exact = ct(RAMP, WindowCenter="100", WindowWidth="200", VOILUTFunction="LINEAR_EXACT")
    assert grey(exact) == [[0, 128], [255, 255]]
    smooth = ct(RAMP, WindowCenter="100", WindowWidth="200", VOILUTFunction="SIGMOID")
    assert grey(smooth) == [[30, 128], [225, 250]]
    with pytest.raises(DataError, match="has the VOI LUT function 'OTHER'"):
        grey(ct(RAMP, WindowCenter="1", WindowWidth="2", VOILUTFunction="OTHER"))


def test_the_rescale_comes_before_the_window():
    dataset = ct(RAMP, RescaleSlope="2", RescaleIntercept="-100")
    assert grey(dataset, "100,201") == [[0, 128], [255, 255]]  # -100, 100, 300, 500


def test_a_rescale_that_makes_all_values_one_is_refused_by_name():
    with pytest.raises(DataError, match=r"has RescaleSlope 0, which makes all values one; correct the header\."):
        grey(ct(RAMP, RescaleSlope="-0.0", RescaleIntercept="5"), "100,201")


def test_each_frame_has_its_own_rescale_and_window():
    """Enhanced CT: pydicom leaves functional groups alone."""
    dataset = ct(np.stack([RAMP, RAMP]))
    frames = []
    for intercept in ("0", "-100"):
        rescale = item(RescaleSlope="1", RescaleIntercept=intercept)
        window = item(WindowCenter="100", WindowWidth="201")
        frames.append(item(PixelValueTransformationSequence=[rescale], FrameVOILUTSequence=[window]))
    dataset.PerFrameFunctionalGroupsSequence = frames
    assert grey(dataset, index=0) == [[1, 128], [255, 255]]
    assert grey(dataset, index=1) == [[0, 1], [128, 255]]


TURNED = {"PhotometricInterpretation": "MONOCHROME1"}
INVERSE = {"PresentationLUTShape": "INVERSE"}


@pytest.mark.parametrize(
    "fields", [TURNED, {"PresentationLUTShape": "INVERSE"}, TURNED | {"PresentationLUTShape": "INVERSE"}]
)
def test_inverted_once_and_after_the_window(fields):
    assert grey(ct(RAMP, **fields), "100,201") == [[254, 127], [0, 0]]


def test_padding_is_black_and_counts_for_nothing():
    values = np.array([[-2000, 0], [100, 200]], np.int16)
    dataset = ct(values, PixelPaddingValue=-2000)
    assert grey(dataset, percentiles=(0, 100)) == [[0, 0], [128, 255]]
    dataset.PhotometricInterpretation = "MONOCHROME1"
    assert grey(dataset, percentiles=(0, 100)) == [[0, 255], [128, 0]]


def test_three_windows_in_three_channels():
    image, record = _dicom_image.show(ct(RAMP), 0, Rule(("100,201", "200,1", "lung")))
    assert np.asarray(image)[0, 1].tolist() == [128, 0, 247]
    assert record["window"] == "100,201 LINEAR; 200,1 LINEAR; -600,1500 LINEAR"
    assert record["pipeline"] == "dicom8/1"


def test_pixels_become_square():
    image, _ = _dicom_image.show(ct(RAMP, PixelAspectRatio=["2", "1"]), 0, Rule(("100,201",)))
    assert image.size == (2, 4)


def test_colours_are_turned_to_rgb_once():
    colour = np.zeros((2, 2, 3), np.uint8)
    colour[0, 0] = (255, 0, 10)
    dataset = ct(RAMP, PhotometricInterpretation="RGB")
    pixels(dataset, colour)
    image, _ = _dicom_image.show(dataset, 0, Rule())
    assert image.getpixel((0, 0)) == (255, 0, 10)
    grey_ybr = np.full((2, 2, 3), 128, np.uint8)
    dataset = ct(RAMP, PhotometricInterpretation="YBR_FULL")
    pixels(dataset, grey_ybr)
    assert _dicom_image.show(dataset, 0, Rule())[0].getpixel((0, 0)) == (128, 128, 128)


def test_a_palette_is_looked_up_once():
    """Three colours of 16 bits, of which a picture shows the upper eight: red, a mid grey, blue."""
    dataset = ct(RAMP, PhotometricInterpretation="PALETTE COLOR")
    pixels(dataset, np.array([[0, 1], [2, 2]], np.uint8))
    for name, values in (("Red", [0xFFFF, 0x8080, 0]), ("Green", [0, 0x8080, 0]), ("Blue", [0, 0x8080, 0xFFFF])):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [3, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", np.array(values, np.uint16).tobytes())
    image, record = _dicom_image.show(dataset, 0, Rule())
    assert [image.getpixel(place) for place in ((0, 0), (1, 0), (0, 1))] == [(255, 0, 0), (128,) * 3, (0, 0, 255)]
    assert record["photometric"] == "PALETTE COLOR"


def test_ybr_becomes_rgb_by_the_standard():
    """PS3.3 C.7.6.3.1.2: pure red is Y 76, Cb 85, Cr 255; within two levels of rounding."""
    dataset = ct(RAMP, PhotometricInterpretation="YBR_FULL")
    pixels(dataset, np.full((2, 2, 3), (76, 85, 255), np.uint8))
    shown = _dicom_image.show(dataset, 0, Rule())[0].getpixel((0, 0))
    assert np.abs(np.subtract(shown, (255, 0, 0))).max() <= 2


def test_a_study_is_all_its_series_in_their_order(series):
    source, images, options = series
    second = ct(np.full((2, 2), 70, np.int16), number=5, series=2)
    second.save_as(source / "0.dcm", enforce_file_format=True)
    found = list(dicom.read(source, dicom.Options(item="study", **options), images))
    assert [len(row.images) for row in found] == [4, 1]
    shown = [load(images.parent, ref).getpixel((0, 0))[0] for ref in found[0].images]
    assert shown == [27, 52, 78, 180]  # the second series comes last, whatever its file is called


@pytest.mark.parametrize(
    ("modality", "said", "refused"),
    [("US", None, True), ("US", "NO", False), ("SC", None, True), ("CT", None, False), ("CT", "YES", True)],
)
def test_text_burned_into_pixels(series, modality, said, refused):
    """Refused unless the file says that there is none, or somebody looked."""
    source, images, options = series
    dataset = ct(np.full((2, 2), 9, np.int16), number=77, study=1, Modality=modality)
    if said is not None:
        dataset.BurnedInAnnotation = said
    dataset.save_as(source / "z.dcm", enforce_file_format=True)
    for accepted in (False, True):
        more = options | {"burned_in": "accept" if accepted else "refuse"}
        rows = list(dicom.read(source, dicom.Options(**more), images))
        reasons = [row.reason for row in rows if isinstance(row, BadRow)]
        assert ["names may show" in reason for reason in reasons] == ([True] if refused and not accepted else [])


def test_without_a_window_the_range_is_named():
    with pytest.raises(DataError, match=r"has no window, and values from 0 to 300. Say\s+data.options.windows"):
        grey(ct(RAMP))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"windows": ("lungs",)}, "data.options.windows: got 'lungs', expected file"),
        ({"windows": ("1,0",)}, "data.options.windows: got '1,0'"),
        ({"windows": ("file", "file")}, "got 2 windows, expected one, or three"),
        ({"percentiles": (9.0, 1.0)}, "data.options.percentiles"),
        ({"site_key": None}, "data.site_key: DICOM ids are hashed"),
    ],
)
def test_options_that_cannot_be(tmp_path, options, message):
    write_csv(tmp_path / "labels.csv", [["uid", "label"]])
    key = tmp_path / "site.key"
    key.write_bytes(b"k" * 16)
    with pytest.raises(ConfigError, match=message):
        list(dicom.read(tmp_path, dicom.Options(**{"site_key": str(key)} | options), tmp_path))


@pytest.fixture
def series(tmp_path):
    """Three slices of one series, out of order by name, and one of another patient."""
    source, images = tmp_path / "source", tmp_path / "images"
    source.mkdir()
    images.mkdir()
    (tmp_path / "site.key").write_bytes(b"k" * 32)
    for name, height in (("a", 30), ("b", 10), ("c", 20)):
        dataset = ct(np.full((2, 2), height, np.int16), number=height)
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, height], [1, 0, 0, 0, 1, 0]
        dataset.save_as(source / f"{name}.dcm", enforce_file_format=True)
    other = ct(np.full((2, 2), 40, np.int16), study=2, patient="Roe^Richard")
    other.save_as(source / "d.dcm", enforce_file_format=True)
    write_csv(source / "labels.csv", [["uid", "label"], ["A1", "mass"], ["A2", "none"]])
    return source, images, {"key": "accession", "windows": ("50,101",), "site_key": str(tmp_path / "site.key")}


def test_a_series_is_an_ordered_list_of_images(series):
    source, images, options = series
    first, second = dicom.read(source, dicom.Options(item="series", **options), images)
    shown = [load(images.parent, ref).getpixel((0, 0))[0] for ref in first.images]
    assert shown == [27, 52, 78]  # ((10 - 49.5) / 100 + 0.5) * 255 and so on
    assert (first.target, second.target) == ("mass", "none")
    assert first.group != second.group


@pytest.mark.parametrize("column", ["label", "site", "part"])
def test_rows_about_one_series_that_differ_are_refused(series, column):
    source, images, options = series
    rows = [{"uid": f"{name}.dcm", "label": "x", "site": "Ulm", "part": "train"} for name in "abcd"]
    given = dicom.Options(**options | {"key": "path", "item": "series", "meta": ("site",), "split": "part"})
    write_csv(source / "labels.csv", [list(rows[0]), *(list(row.values()) for row in rows)])
    assert [row.target for row in dicom.read(source, given, images)] == ["x", "x"]  # and no row is blamed
    rows[1][column] = "other"
    write_csv(source / "labels.csv", [list(rows[0]), *(list(row.values()) for row in rows)])
    bad, good = dicom.read(source, given, images)
    assert bad.reason == f"the images of one series have different values of {column} in labels.csv."
    assert (good.target, good.meta["site"], good.split) == ("x", "Ulm", "train")


def test_slices_behind_a_link_are_told(series, tmp_path):
    source, images, options = series
    (tmp_path / "more").mkdir()
    (source / "more").symlink_to(tmp_path / "more")
    bad = [row for row in dicom.read(source, dicom.Options(**options), images) if isinstance(row, BadRow)]
    assert bad == [BadRow("more", "more", "is a link to a folder; links are not followed, copy the folder.")]


def test_nothing_that_names_a_person_leaves(series):
    source, images, options = series
    rows = list(dicom.read(source, dicom.Options(item="image", **options), images))
    assert len({row.group for row in rows}) == 2
    assert not any(word in repr(rows) for word in ("Doe", "Roe", "1.2.826", "A1"))
    for file in images.iterdir():
        assert b"Doe" not in file.read_bytes()
        with Image.open(file) as picture:
            assert picture.info == {}


def test_the_same_key_gives_the_same_ids_and_another_does_not(series, tmp_path):
    source, images, options = series
    first = [row.id for row in dicom.read(source, dicom.Options(**options), images)]
    assert [row.id for row in dicom.read(source, dicom.Options(**options), images)] == first
    (tmp_path / "other.key").write_bytes(b"o" * 32)
    other = dicom.Options(**options | {"site_key": str(tmp_path / "other.key")})
    assert set(first).isdisjoint(row.id for row in dicom.read(source, other, images))


def test_a_scout_among_the_slices_is_told(series):
    source, images, options = series
    scout = ct(np.zeros((2, 2), np.int16), number=99)
    scout.ImagePositionPatient, scout.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 0, -1]
    scout.save_as(source / "e.dcm", enforce_file_format=True)
    rows = list(dicom.read(source, dicom.Options(item="series", **options), images))
    assert ["lie at an angle" in row.reason for row in rows if isinstance(row, BadRow)] == [True]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "examples_palette.dcm", "examples_ybr_color.dcm"])
def test_like_dcmtk(tmp_path, name):
    """dcmj2pnm of DCMTK, within one grey level of rounding."""
    tool = shutil.which("dcmj2pnm")
    assert tool, "install dcmtk"
    path = get_testdata_file(name)
    dataset = pydicom.dcmread(path)
    window = [] if "RGB" in dataset.PhotometricInterpretation or dataset.SamplesPerPixel == 3 else ["+Ww", "40", "400"]
    window = [] if dataset.PhotometricInterpretation == "PALETTE COLOR" else window
    subprocess.run([tool, "-S", "-O", *window, "+op", path, tmp_path / "o.pnm"], check=True, capture_output=True)
    with Image.open(tmp_path / "o.pnm") as written:
        theirs = np.asarray(written.convert("RGB")).astype(int)
    ours = np.asarray(_dicom_image.show(dataset, 0, Rule(("40,400",)))[0]).astype(int)
    assert np.abs(ours - theirs).max() <= 1


def test_a_row_without_a_file_is_told_in_the_order_of_the_table_and_blames_no_file_that_could_not_be_read(series):
    source, images, options = series
    rows = [["uid", "label"], ["Z9", "mass"], ["A1", "mass"], ["A2", "none"], ["B7", "none"]]
    write_csv(source / "labels.csv", rows)

    def unmatched():
        found = (row for row in dicom.read(source, dicom.Options(**options), images) if isinstance(row, BadRow))
        return [(row.row, row.reason) for row in found if row.row.startswith("labels.csv")]

    said = "no file has this accession."
    assert unmatched() == [("labels.csv uid=Z9", said), ("labels.csv uid=B7", said)]
    nameless = ct(RAMP, number=88, study=7)
    nameless.PatientID = ""
    nameless.save_as(source / "z.dcm", enforce_file_format=True)
    said = "none of the files that could be read (1 could not) has this accession."
    assert unmatched() == [("labels.csv uid=Z9", said), ("labels.csv uid=B7", said)]
