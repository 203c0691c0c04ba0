"""NIfTI volumes: slices by a stated rule, in radiological orientation, labelled by a table."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_adapters import _files, _written
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Example, ImageRef
from finetune.images import decode

WRITES_IMAGES = True
MAX_VOXELS = 2**29
"""Largest volume that is opened; a compressed one says its size in its first bytes."""

_DAMAGED = (OSError, EOFError, LookupError, ValueError, TypeError, ArithmeticError, zlib.error)
_AXES = {"sagittal": 0, "coronal": 1, "axial": 2}


@dataclass(frozen=True)
class Options:
    """How volumes become images.

    Attributes:
        window: (low, high) raw values shown as black and white; volumes have no range of their own, so it is required.
        labels: table with the columns `image`, `label` and those named below, beside the volumes.
        plane: `axial`, `coronal` or `sagittal`, whatever the order of axes in the file.
        volume: which volume of a file with a fourth axis, counting from 0; one alone needs no choice.
        slices: images of one volume, evenly spaced: 1 is the middle one; with more, the item is the ordered list.
        image: column with the path of the volume.
        label: column with the answer.
        group: `data.group`: column of what must not span splits; default: the volume.
        split: `data.split.column`: column that says train, val or test.
        meta: columns carried along for subgroups.
    """

    window: tuple[float, ...]
    labels: str = "labels.csv"
    plane: Literal["axial", "coronal", "sagittal"] = "axial"
    slices: int = 1
    volume: int | None = None
    image: str = "image"
    label: str = "label"
    group: str | None = None
    split: str | None = None
    meta: tuple[str, ...] = ()


def locate(path: Path | None, options: Options) -> Path:
    """The folder of the table and the volumes.

    Raises:
        DataError: it is not there.
    """
    return _files.folder(path, f"the folder with {options.labels} and the volumes")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    return ImageRef(relative)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Yields an example a volume, in the order of the table, writing its slices as PNG into `images`.

    Raises:
        DataError: nibabel or the table is missing, or the table lacks a column.
        ConfigError: fewer than one slice is asked for.
    """
    root = locate(path, options)
    if options.slices < 1 or options.slices > 256:
        raise ConfigError(f"data.options.slices: got {options.slices}, expected 1 to 256")
    columns = [options.image, options.label, options.group, options.split, *options.meta]
    for number, item in enumerate(_files.table(root, options.labels, columns), 1):
        if isinstance(item, BadRow):
            yield item
            continue
        where, row = item
        name = row[options.image]
        try:
            slices = volume(root, name, options)
        except DataError as error:
            yield BadRow(where, name, str(error))
            continue
        yield Example(
            id=f"{name}#{number}",
            images=tuple(_written.write(each, images) for each in slices),
            target=row[options.label],
            group=row[options.group] if options.group else name,
            split=row[options.split] if options.split else None,
            meta={column: row[column] for column in options.meta},
            row=where,
        )


def volume(root: Path, name: str, options: Options) -> list[Image.Image]:
    """The slices of one volume: evenly spaced, the patient's right on the left, head or front at the top.

    Raises:
        DataError: the file is unsafe, damaged, too large, not of three axes, or holds values that are not finite.
    """
    try:
        import nibabel
        from nibabel.filebasedimages import ImageFileError
        from nibabel.spatialimages import HeaderDataError
        from nibabel.wrapstruct import WrapStructError
    except ImportError as error:
        raise DataError(f"{name}: NIfTI files need nibabel: pip install 'onsite-vlm[nifti]'.") from error
    place = decode.check(root, name)
    if not name.lower().endswith((".nii", ".nii.gz")):
        raise DataError("is no NIfTI file; expected .nii or .nii.gz.")
    try:
        loaded: Any = _one_volume(_image_class(place).from_filename(place), options.volume)
        upright = nibabel.as_closest_canonical(loaded)  # type: ignore[no-untyped-call]  # axes run to the right, to the front, to the head
        values = np.asarray(upright.dataobj)
        values = values.reshape(values.shape[:3])
        spacing = [float(step) for step in upright.header.get_zooms()[:3]]
    except (ImageFileError, HeaderDataError, WrapStructError, *_DAMAGED) as error:
        raise DataError(f"cannot be read as NIfTI: {error}.") from error
    if values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        raise DataError("holds values that are not finite real numbers.")
    axis = _AXES[options.plane]
    indices = [int((2 * n + 1) * values.shape[axis] / (2 * options.slices)) for n in range(options.slices)]
    decode.to_shares(values.astype(np.float64), (options.window[0], options.window[1]), "its volume")
    if len(set(indices)) < len(indices):
        raise DataError(f"has {values.shape[axis]} {options.plane} slices, {options.slices} are asked for.")
    steps = [step for other, step in enumerate(spacing) if other != axis]
    return [_shown(np.take(values, index, axis=axis), steps, options) for index in indices]


def _image_class(place: Path) -> Any:
    """The class that reads a file: NIfTI-1, or NIfTI-2 whose header has 540 bytes instead of 348."""
    import nibabel

    with ExitStack() as stack:
        handle: IO[bytes] | gzip.GzipFile = stack.enter_context(place.open("rb"))
        if place.name.lower().endswith(".gz"):
            handle = stack.enter_context(gzip.GzipFile(fileobj=handle))
        head = handle.read(4)
    sizes = (int.from_bytes(head, "little"), int.from_bytes(head, "big"))
    return nibabel.Nifti2Image if 540 in sizes else nibabel.Nifti1Image


def _one_volume(loaded: Any, index: int | None) -> Any:
    """The volume `[x, y, z]` of a file that may hold several, `[x, y, z, n]`.

    Raises:
        DataError: the axes are others, or which of several volumes is meant was not said.
    """
    shape = loaded.shape
    if min(shape[:3], default=0) < 1 or int(np.prod(shape[:3], dtype=np.float64)) > MAX_VOXELS:
        raise DataError(f"has {' x '.join(map(str, shape[:3]))} voxels; at most {MAX_VOXELS:,} are opened.")
    if len(shape) == 3 and index in (None, 0):
        return loaded
    if len(shape) < 3 or any(side != 1 for side in shape[4:]):
        raise DataError(f"has the axes {shape}; expected x, y, z, or x, y, z and volumes.")
    count = shape[3] if len(shape) > 3 else 1
    if index is None and count != 1:
        raise DataError(f"holds {count} volumes {shape}; say which one with data.options.volume (0 is the first).")
    if not 0 <= (index or 0) < count:
        raise DataError(f"holds {count} volumes; data.options.volume={index} (from 0) is not one of them.")
    place = (index or 0, *(0 for _ in shape[4:]))
    return loaded.slicer[(slice(None), slice(None), slice(None), *(slice(at, at + 1) for at in place))]


def _shown(plane: NDArray[Any], steps: list[float], options: Options) -> Image.Image:
    """One slice `[first axis, second axis]` as RGB: second axis up, first axis to the left, square pixels."""
    low, high = options.window[0], options.window[1]
    scaled = np.clip((plane.astype(np.float64) - low) / (high - low), 0.0, 1.0) * 255.0
    grey = Image.fromarray(np.rint(scaled[::-1, ::-1].T).astype(np.uint8))
    if min(steps) <= 0 or max(steps) / min(steps) > 100:
        raise DataError(f"has voxels of {steps} mm, which is no shape to show.")
    size = tuple(round(side * step / min(steps)) for side, step in zip(grey.size, steps, strict=True))
    if size != grey.size:
        if max(size) > decode.MAX_SIDE_PX or size[0] * size[1] > decode.MAX_PIXELS:
            raise DataError(f"has slices of {size[0]} x {size[1]} square pixels, which is too large.")
        grey = grey.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    return grey.convert("RGB")
