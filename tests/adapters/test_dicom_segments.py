"""Segmentations made by hand: which image they are about, their boxes in pixels as shown, and what is refused."""

import numpy as np
import pytest
from adapters.dicoms import ROOT, ct, item
from adapters.sources import write_csv

from data_adapters import dicom
from finetune.errors import ConfigError
from finetune.example import BadRow, Box, Example

STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
SHAPE = (5, 8)


def mask(*regions):
    """A mask of 8 x 5 pixels with rectangles (x1, y1, x2, y2)."""
    found = np.zeros(SHAPE, np.uint8)
    for x1, y1, x2, y2 in regions:
        found[y1:y2, x1:x2] = 1
    return found


def segmentation(frames, labels=("nodule", "rib"), fractional=False, **fields):
    """`frames`: (mask, segment number, number of the image that it is about)."""
    values = np.stack([one for one, _, _ in frames])
    dataset = ct(np.zeros(SHAPE, np.int16), number=900, series=9)
    dataset.SOPClassUID, dataset.Modality = STORAGE, "SEG"
    dataset.SegmentationType = "FRACTIONAL" if fractional else "BINARY"
    dataset.MaximumFractionalValue = 200
    dataset.NumberOfFrames = str(len(frames))
    dataset.Rows, dataset.Columns = values.shape[1:]
    dataset.PixelRepresentation, dataset.SamplesPerPixel = 0, 1
    if fractional:
        dataset.BitsAllocated = dataset.BitsStored = 8
        dataset.HighBit = 7
        content = values.tobytes()
    else:
        dataset.BitsAllocated = dataset.BitsStored = 1
        dataset.HighBit = 0
        content = np.packbits(values.reshape(-1), bitorder="little").tobytes()  # frames follow without a gap
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    dataset["PixelData"].VR = "OB"
    dataset.SegmentSequence = [item(SegmentNumber=n, SegmentLabel=label) for n, label in enumerate(labels, 1)]
    dataset.SharedFunctionalGroupsSequence = [item()]
    dataset.PerFrameFunctionalGroupsSequence = [
        item(
            SegmentIdentificationSequence=[item(ReferencedSegmentNumber=number)],
            DerivationImageSequence=[item(SourceImageSequence=[item(ReferencedSOPInstanceUID=f"{ROOT}.1.1.{about}")])],
        )
        for _, number, about in frames
    ]
    for name, value in fields.items():
        setattr(dataset, name, value)
    return dataset


@pytest.fixture
def folder(tmp_path):
    """Two slices; what `read` yields with a segmentation beside them."""
    source, images = tmp_path / "source", tmp_path / "images"
    source.mkdir()
    images.mkdir()
    (tmp_path / "site.key").write_bytes(b"k" * 32)
    rows = [["uid", "label"]]
    for number in (1, 2):
        slice_of = ct(np.full(SHAPE, number * 50, np.int16), number=number)
        slice_of.PixelAspectRatio = ["2", "1"]  # as shown, twice as high: 8 x 10
        slice_of.save_as(source / f"{number}.dcm", enforce_file_format=True)
        rows.append([slice_of.SOPInstanceUID, "x"])
    write_csv(source / "labels.csv", rows)

    def read(dataset, segments="read", **options):
        dataset.save_as(source / "seg.dcm", enforce_file_format=True)
        given = dicom.Options(segments=segments, windows=("50,100",), site_key=str(tmp_path / "site.key"), **options)
        return list(dicom.read(source, given, images))

    return read


def test_boxes_go_to_the_image_that_a_frame_refers_to(folder):
    first = mask((1, 1, 3, 2), (5, 3, 8, 5))
    rows = folder(segmentation([(first, 1, 1), (mask((0, 0, 1, 1)), 2, 1), (mask(), 1, 2)]))
    assert [row.boxes for row in rows] == [
        (Box(1, 2, 3, 4, "nodule"), Box(5, 6, 8, 10, "nodule"), Box(0, 0, 1, 2, "rib")),
        (),
    ]


def test_fractional_masks_count_from_half_of_their_maximum(folder):
    values = mask((0, 0, 2, 1)) * 99 + mask((4, 0, 6, 1)) * 100
    assert folder(segmentation([(values, 2, 2)], fractional=True))[1].boxes == (Box(4, 0, 6, 2, "rib"),)


def test_it_is_refused_by_name_unless_it_is_asked_for(folder):
    *images, refused = folder(segmentation([(mask(), 1, 1)]), segments="refuse")
    assert [type(row) for row in images] == [Example, Example]
    assert all(row.boxes is None for row in images)
    assert "is a segmentation (a mask; data.options.segments=read takes its boxes)" in refused.reason


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ({"labels": ("nodule", "")}, "seg.dcm", "segment 2 has no label"),
        ({"SegmentSequence": []}, "seg.dcm", "cannot be used as a segmentation"),
        ({"Rows": 4}, "1.dcm", "has 8 x 4 pixels, the image 8 x 5; masks of other frames of reference"),
        ({"PixelData": b""}, "1.dcm", "its segmentation 'seg.dcm' cannot be decoded"),
        ({"Rows": 60_000, "Columns": 60_000}, "seg.dcm", "is 60000 x 60000 pixels"),
        ({"PerFrameFunctionalGroupsSequence": [item()]}, "seg.dcm", "has no SegmentIdentificationSequence"),
    ],
)
def test_masks_that_cannot_be_used_are_told(folder, change, path, message):
    bad = [row for row in folder(segmentation([(mask((0, 0, 1, 1)), 1, 1)], **change)) if isinstance(row, BadRow)]
    assert [row.path for row in bad] == [path]
    assert message in bad[0].reason


def test_boxes_are_about_single_images(folder):
    with pytest.raises(ConfigError, match=r"segments=read: boxes are about one image; it needs data\.options\.item=im"):
        folder(segmentation([(mask(), 1, 1)]), item="series")
