"""One DICOM frame to 8 bits, in a stated order: decode, colour, modality, padding, VOI, inversion, aspect, scale.

References are to DICOM PS3.3. `PIPELINE` changes with anything that changes a pixel.
"""

import struct
import warnings
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data_adapters._dicom_window import FUNCTIONS, Rule, Values, linear, parse
from finetune.errors import DataError
from finetune.images.decode import MAX_PIXELS, MAX_SIDE_PX

PIPELINE = "dicom8/1"

_WRONG_LENGTH: type[Exception] = ValueError
with suppress(ImportError):  # `scan` says what to install
    from pydicom.errors import BytesLengthException

    _WRONG_LENGTH = BytesLengthException

# MemoryError is what a lying header asks for; the others hold what their names do not show (overflow, no such codec).
DAMAGED = (
    ArithmeticError,
    AttributeError,
    _WRONG_LENGTH,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)
"""What pydicom and its decoders raise on damaged files."""

_CODECS = {
    "1.2.840.10008.1.2.4.57": "python-gdcm",
    "1.2.840.10008.1.2.4.70": "python-gdcm",
    "1.2.840.10008.1.2.4.80": "python-gdcm",
    "1.2.840.10008.1.2.4.81": "python-gdcm",
    "1.2.840.10008.1.2.4.90": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg-openjpeg",
}
"""Transfer syntax -> package that decodes it."""


def show(dataset: Any, index: int, rule: Rule) -> tuple[Image.Image, dict[str, str]]:
    """One frame as 8-bit RGB with square pixels, and a record of how it was made.

    Raises:
        DataError: it cannot be decoded (a missing codec is named), is too large, or has no window.
    """
    check_size(dataset)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values of the header that are not used here
            stored, photometric = _decoded(dataset, index)
            record = {"pipeline": PIPELINE, "photometric": photometric, "syntax": _syntax(dataset).name}
            if stored.ndim == 3:
                channels = _eight_bits(stored, dataset)
            else:
                channels, how = _grey(dataset, stored, index, rule)
                record |= how
            return _square(dataset, Image.fromarray(channels)).convert("RGB"), record
    except DAMAGED as error:
        raise DataError(f"cannot be shown: {error or type(error).__name__}.") from error


def check_size(dataset: Any) -> None:
    """Refuses what is larger than any image may be, before it is decoded.

    Raises:
        DataError: the size, or that there is none.
    """
    rows, columns = dataset.get("Rows"), dataset.get("Columns")
    if not isinstance(rows, int) or not isinstance(columns, int) or rows < 1 or columns < 1:
        raise DataError(f"has no size: Rows {rows!r}, Columns {columns!r}.")
    if rows * columns > MAX_PIXELS or max(rows, columns) > MAX_SIDE_PX:
        raise DataError(f"is {columns} x {rows} pixels; at most {MAX_PIXELS:,} pixels and {MAX_SIDE_PX:,} a side.")


def _syntax(dataset: Any) -> Any:
    return dataset.file_meta.TransferSyntaxUID


def _decoded(dataset: Any, index: int) -> tuple[NDArray[Any], str]:
    """Stored values `[height, width]`, or colours `[height, width, 3]` with YBR and palettes turned to RGB once."""
    from pydicom.pixels.processing import apply_color_lut
    from pydicom.pixels.utils import pixel_array

    photometric = str(dataset.PhotometricInterpretation)
    try:
        values = pixel_array(dataset, index=index)
    except DAMAGED as error:
        needed = _CODECS.get(str(_syntax(dataset)))
        hint = f" It needs {needed} (pip install {needed})." if needed else ""
        raise DataError(
            f"cannot be decoded ({_syntax(dataset).name}): {' '.join(str(error).split())}.{hint}"
        ) from error
    if photometric == "PALETTE COLOR":
        values = apply_color_lut(values, dataset)[..., :3]
    if values.ndim not in (2, 3) or (values.ndim == 3 and values.shape[2] != 3):
        raise DataError(f"has pixels of shape {values.shape}, expected [rows, columns] or [rows, columns, 3].")
    return values, photometric


def _eight_bits(colours: NDArray[Any], dataset: Any) -> NDArray[np.uint8]:
    """Colours to 8 bits a channel by their full range."""
    if colours.dtype == np.uint8 and (dataset.BitsStored == 8 or dataset.PhotometricInterpretation == "PALETTE COLOR"):
        return colours
    bits = 8 * colours.itemsize if dataset.PhotometricInterpretation == "PALETTE COLOR" else int(dataset.BitsStored)
    return np.rint(np.clip(colours / (2.0**bits - 1), 0, 1) * 255).astype(np.uint8)


def _grey(dataset: Any, stored: NDArray[Any], index: int, rule: Rule) -> tuple[NDArray[np.uint8], dict[str, str]]:
    padded = _padding(dataset, stored)
    if padded.all():
        raise DataError("holds padding alone.")
    values, how = _modality(dataset, stored, index)
    if not np.isfinite(values).all():
        raise DataError("holds values that are not finite numbers.")
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    channels, names = [], []
    for window in rule.windows:
        shares, name = _voi(dataset, values, padded, index, window, rule)
        _check_white(values[~padded], shares[~padded], name)
        shares = 1 - shares if inverted else shares
        shares[padded] = 0  # black, whatever is inverted
        channels.append(np.rint(shares * 255).astype(np.uint8))
        names.append(name)
    return (channels[0] if len(channels) == 1 else np.dstack(channels)), how | {"window": "; ".join(names)}


def _check_white(values: Values, shares: Values, window: str) -> None:
    """Refuses a picture whose window leaves nothing to see, as that of many parametric maps does.

    Raises:
        DataError: values that differ are all shown as white.
    """
    if shares.min() == 1.0 and values.min() < values.max():
        raise DataError(
            f"turns out all white: its values are {values.min():g} to {values.max():g}, the window is {window}. "
            "Say data.options.windows=['CENTRE,WIDTH'] in the units of those values."
        )


def _group(dataset: Any, index: int, name: str) -> Any:
    """The item of a functional group (C.7.6.16), the frame's own before the shared one; the data set where none is."""
    for groups, number in (("PerFrameFunctionalGroupsSequence", index), ("SharedFunctionalGroupsSequence", 0)):
        items = dataset.get(groups) or []
        if number < len(items) and items[number].get(name):
            return items[number].get(name)[0]
    return dataset


def _modality(dataset: Any, stored: NDArray[Any], index: int) -> tuple[Values, dict[str, str]]:
    """Values after the modality LUT or the rescale, of this frame (C.11.1, C.7.6.16.2.9)."""
    from pydicom.pixels.processing import apply_modality_lut

    if dataset.get("ModalityLUTSequence"):
        return apply_modality_lut(stored, dataset).astype(np.float64), {"rescale": "lut"}
    place = _group(dataset, index, "PixelValueTransformationSequence")
    slope, intercept = place.get("RescaleSlope"), place.get("RescaleIntercept")
    slope, intercept = (1.0 if slope is None else float(slope)), (0.0 if intercept is None else float(intercept))
    if slope == 0:
        raise DataError("has RescaleSlope 0, which makes all values one; correct the header.")
    return stored.astype(np.float64) * slope + intercept, {"rescale": f"{slope:g},{intercept:g}"}


def _padding(dataset: Any, stored: NDArray[Any]) -> NDArray[np.bool_]:
    """Where there is no image: Pixel Padding Value, or the range up to its limit (C.7.5.1.1.2)."""
    first = dataset.get("PixelPaddingValue")
    if first is None:
        return np.zeros(stored.shape, dtype=bool)
    last = dataset.get("PixelPaddingRangeLimit", first)
    low, high = sorted((_as_stored(dataset, first), _as_stored(dataset, last)))
    return np.asarray((stored >= low) & (stored <= high))


def _as_stored(dataset: Any, value: Any) -> float:
    """A padding value in the sign of the pixels: many writers give it the other one (63536 for -2000)."""
    number, span = float(value), 2.0 ** int(dataset.get("BitsAllocated") or 16)
    if dataset.get("PixelRepresentation") == 1:
        return number - span if number >= span / 2 else number
    return number + span if number < 0 else number


def _voi(
    dataset: Any, values: Values, padded: NDArray[np.bool_], index: int, window: str, rule: Rule
) -> tuple[Values, str]:
    """Shares of white `[height, width]` and what was applied (C.11.2)."""
    from pydicom.pixels.processing import apply_voi

    chosen = parse(window)
    if isinstance(chosen, tuple):
        return linear(values, *chosen), f"{chosen[0]:g},{chosen[1]:g} LINEAR"
    place = _group(dataset, index, "FrameVOILUTSequence")
    centres, widths = _list(place.get("WindowCenter")), _list(place.get("WindowWidth"))
    if centres and len(centres) == len(widths):
        if chosen >= len(centres):
            raise DataError(f"has {len(centres)} windows; data.options.windows asks for number {chosen} (from 0).")
        kind = str(place.get("VOILUTFunction") or "LINEAR")
        if kind not in FUNCTIONS:
            raise DataError(f"has the VOI LUT function {kind!r}; known are {', '.join(FUNCTIONS)}.")
        return FUNCTIONS[kind](
            values, centres[chosen], widths[chosen]
        ), f"{centres[chosen]:g},{widths[chosen]:g} {kind}"
    if place.get("VOILUTSequence"):
        if chosen >= len(place.VOILUTSequence):
            raise DataError(f"has {len(place.VOILUTSequence)} VOI LUTs; number {chosen} (from 0) is asked for.")
        bits = int(place.VOILUTSequence[chosen].LUTDescriptor[2])
        looked_up = apply_voi(np.rint(values).astype(np.int64), dataset, index=chosen)
        return np.clip(looked_up / (2.0**bits - 1), 0, 1), f"lut {chosen}"
    if not rule.percentiles:
        raise DataError(
            f"has no window, and values from {values[~padded].min():g} to {values[~padded].max():g}. Say "
            "data.options.windows=['CENTRE,WIDTH'], or data.options.percentiles=[1,99] for such files."
        )
    low, high = np.percentile(values[~padded], rule.percentiles)
    said = f"{low:g} to {high:g} (percentiles {rule.percentiles[0]:g}, {rule.percentiles[1]:g})"
    return np.clip((values - low) / max(high - low, 1e-9), 0, 1), said


def _list(value: Any) -> list[float]:
    """A value of one or several decimals."""
    if value is None or value == "":
        return []
    return [float(value)] if isinstance(value, float | int | str) else [float(each) for each in value]


def _square(dataset: Any, image: Image.Image) -> Image.Image:
    """Stretches the shorter sampling direction, so that a circle is round."""
    ratio = dataset.get("PixelAspectRatio") or dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    if not ratio:
        ratio = _group(dataset, 0, "PixelMeasuresSequence").get("PixelSpacing")
    vertical, horizontal = (float(step) for step in ratio) if ratio else (1.0, 1.0)
    if vertical <= 0 or horizontal <= 0 or not 0.01 <= vertical / horizontal <= 100:
        raise DataError(f"has pixels of {vertical:g} x {horizontal:g}, which is no shape.")
    if abs(vertical / horizontal - 1) < 1e-3:
        return image
    finest = min(vertical, horizontal)
    width, height = round(image.width * horizontal / finest), round(image.height * vertical / finest)
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        raise DataError(f"is {width} x {height} square pixels, which is too large.")
    return image.resize((width, height), Image.Resampling.BILINEAR)
