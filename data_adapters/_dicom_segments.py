"""DICOM segmentations (PS3.3 A.51): masks beside the images they are about, as boxes with the segment's label."""

import warnings
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from data_adapters._dicom_image import DAMAGED, check_size
from finetune.errors import DataError
from finetune.example import BadRow, Box

STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
_CONNECTED = np.ones((3, 3), dtype=np.int64)
"""Pixels that touch at a corner belong together."""


@dataclass(frozen=True)
class Frame:
    """One mask: the file, the index of its frame, and what it shows."""

    path: str
    index: int
    label: str


@dataclass(frozen=True)
class Segments:
    """All masks of a folder.

    Attributes:
        root: of the source.
        frames: SOP Instance UID of an image -> the masks that refer to it.
        files: the segmentations themselves.
        bad: those that cannot be used, with the reason.
    """

    root: Path
    frames: dict[str, list[Frame]] = field(default_factory=lambda: defaultdict(list))
    files: set[str] = field(default_factory=set)
    bad: list[BadRow] = field(default_factory=list)

    def boxes(self, sop: str, shape: tuple[int, int], scale: tuple[float, float]) -> tuple[Box, ...]:
        """A box around each connected region of each mask of an image, in the order of the files.

        Args:
            sop: SOP Instance UID of the image.
            shape: (rows, columns) as stored.
            scale: (horizontal, vertical): pixels as shown, which are square, by pixels as stored.

        Raises:
            DataError: a mask cannot be decoded, or has another size.
        """
        return tuple(box for frame in self.frames.get(sop, ()) for box in self._of(frame, shape, scale))

    def _of(self, frame: Frame, shape: tuple[int, int], scale: tuple[float, float]) -> Iterator[Box]:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about values of the header that are not used here
                mask = _mask(_opened(self.root / frame.path), frame.index)
        except DAMAGED as error:
            raise DataError(f"its segmentation {frame.path!r} cannot be decoded: {error}.") from error
        if mask.shape != shape:
            raise DataError(
                f"its segmentation {frame.path!r} has {mask.shape[1]} x {mask.shape[0]} pixels, the image "
                f"{shape[1]} x {shape[0]}; masks of other frames of reference are not resampled."
            )
        regions, _ = ndimage.label(mask, structure=_CONNECTED)
        for rows, columns in ndimage.find_objects(regions):
            left, top, right, bottom = columns.start, rows.start, columns.stop, rows.stop
            yield Box(left * scale[0], top * scale[1], right * scale[0], bottom * scale[1], frame.label)


def collect(root: Path, names: Iterator[str]) -> Segments:
    """The segmentations among the files of a folder, by the images that they refer to; only headers are read.

    Args:
        root: of the source.
        names: paths of its files below the root.
    """
    found = Segments(root)
    for relative in names:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _enter(found, relative)
        except (DataError, *DAMAGED) as error:
            if relative in found.files:
                found.bad.append(BadRow(relative, relative, f"cannot be used as a segmentation: {error}"))
    return found


def _enter(found: Segments, relative: str) -> None:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    place = found.root / relative
    try:
        if dcmread(place, stop_before_pixels=True, specific_tags=["SOPClassUID"]).get("SOPClassUID") != STORAGE:
            return
    except InvalidDicomError:
        return
    found.files.add(relative)
    dataset = dcmread(place, stop_before_pixels=True)
    check_size(dataset)
    labels = {int(item.SegmentNumber): str(item.get("SegmentLabel") or "").strip() for item in dataset.SegmentSequence}
    if unnamed := [number for number, label in labels.items() if not label]:
        raise DataError(f"segment {unnamed[0]} has no label.")
    for index, item in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        number = _group(dataset, item, "SegmentIdentificationSequence").ReferencedSegmentNumber
        sources = _group(dataset, item, "DerivationImageSequence").SourceImageSequence
        if len(sources) != 1:
            raise DataError(f"frame {index + 1} refers to {len(sources)} images; expected one.")
        found.frames[str(sources[0].ReferencedSOPInstanceUID)].append(Frame(relative, index, labels[int(number)]))


def _group(dataset: Any, item: Any, name: str) -> Any:
    """A functional group of the frame, or the one shared by all."""
    own = item.get(name) or dataset.SharedFunctionalGroupsSequence[0].get(name)
    if not own:
        raise DataError(f"a frame has no {name}, so what it shows, or of which image, is not known.")
    return own[0]


@lru_cache(maxsize=2)
def _opened(place: Path) -> Any:
    """The frames of one file are mostly wanted one after the other."""
    from pydicom import dcmread

    return dcmread(place)


def _mask(dataset: Any, index: int) -> NDArray[np.bool_]:
    """Where the segment is; of fractional ones, where it is at least half of the maximum."""
    from pydicom.pixels.utils import pixel_array

    values = pixel_array(dataset, index=index)
    if str(dataset.get("SegmentationType")) == "FRACTIONAL":
        return np.asarray(values * 2 >= int(dataset.MaximumFractionalValue))
    return np.asarray(values > 0)
