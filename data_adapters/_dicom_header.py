"""What DICOM files are before their pixels are decoded: identifiers, order, and what is refused by name."""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data_adapters import _files
from data_adapters._dicom_image import DAMAGED
from finetune.errors import DataError
from finetune.example import BadRow
from finetune.images import decode

MAX_DEFLATED_BYTES = 2**19
"""Deflated files are inflated whole before anything is known of them, by up to a factor of 1,000."""

_COMPANIONS = (".csv", ".tsv", ".txt", ".md", ".json", ".xml", ".pdf", ".html", ".key")
_MAY_SHOW_NAMES = frozenset({"US", "SC", "XA", "RF", "OT"})
_REFUSED = {
    "1.2.840.10008.5.1.4.1.1.77.1.6": "a whole-slide image (cut it into tiles)",
    "1.2.840.10008.5.1.4.1.1.481.3": "an RT structure set (contours, no picture)",
    "1.2.840.10008.5.1.4.1.1.66.4": "a segmentation (a mask; data.options.segments=read takes its boxes)",
    "1.2.840.10008.5.1.4.1.1.104.1": "an encapsulated PDF",
}
_STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.88."
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "AccessionNumber",
    "PatientID",
    "Modality",
    "BurnedInAnnotation",
    "NumberOfFrames",
    "SeriesNumber",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Rows",
    "Columns",
]


@dataclass(frozen=True)
class Header:
    """Identifiers of one file, and what orders it within its series."""

    path: str
    sop: str
    series: str
    study: str
    accession: str
    patient: str
    modality: str
    frames: int
    series_number: float
    instance: float | None
    position: tuple[float, ...]
    orientation: tuple[float, ...]


def scan(root: Path, burned_in: bool) -> Iterator[Header | BadRow]:
    """Walks a folder in sorted order; a DICOMDIR is never read, tables and texts are left alone.

    Args:
        root: of the source.
        burned_in: images that may show names as pixels are accepted.

    Raises:
        DataError: pydicom is not installed.
    """
    try:
        import pydicom  # noqa: F401
    except ImportError as error:
        raise DataError("DICOM files need pydicom: pip install 'onsite-vlm[dicom]'.") from error
    for relative in candidates(root):
        try:
            relative.encode()
            if os.path.isdir(root / relative):
                raise DataError("is a link to a folder; links are not followed, copy the folder.")
            yield read(root, relative, burned_in)
        except UnicodeEncodeError:
            yield BadRow(ascii(relative), ascii(relative), "has a name that is not UTF-8; rename it")
        except DataError as error:
            yield BadRow(relative, relative, str(error))


def candidates(root: Path) -> Iterator[str]:
    """Paths of the files that may be DICOM, and of links to folders, sorted folder by folder.

    Raises:
        DataError: a folder cannot be listed.
    """
    for parent, folders, names in os.walk(root, onerror=_files.unlisted):
        folders.sort()
        folders[:] = [name for name in folders if not name.startswith(".")]
        linked = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for name in sorted([*names, *linked]):
            if not name.startswith(".") and name != "DICOMDIR" and not name.lower().endswith(_COMPANIONS):
                yield (Path(parent) / name).relative_to(root).as_posix()


def read(root: Path, relative: str, burned_in: bool) -> Header:
    """The header of one file.

    Raises:
        DataError: it is unsafe, no DICOM image, of a kind that is refused by name, or lacks an identifier.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    place = decode.check(root, relative)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values of the header that are not used here
            _check_deflated(place)
            dataset = dcmread(place, stop_before_pixels=True, specific_tags=list(_TAGS))
            _check_kind(dataset, burned_in)
            return _header(dataset, relative)
    except InvalidDicomError as error:
        raise DataError("is no DICOM file (no DICM mark after its first 128 bytes).") from error
    except DAMAGED as error:
        raise DataError(f"cannot be read as DICOM: {error}.") from error


def _check_deflated(place: Path) -> None:
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    syntax = read_file_meta_info(place).get("TransferSyntaxUID")
    if syntax == DeflatedExplicitVRLittleEndian and place.stat().st_size > MAX_DEFLATED_BYTES:
        raise DataError(f"is deflated and has more than {MAX_DEFLATED_BYTES:,} bytes; inflate it first (dcmconv +te).")


def _check_kind(dataset: Any, burned_in: bool) -> None:
    kind = dataset.get("SOPClassUID")
    if kind is None:
        raise DataError("names no SOP Class, so what it is cannot be known.")
    if str(kind).startswith(_STRUCTURED_REPORT):
        raise DataError(f"is a structured report ({kind.name}), which is no picture.")
    if kind in _REFUSED:
        raise DataError(f"is {_REFUSED[kind]}, which this adapter does not read.")
    if not dataset.get("Rows") or not dataset.get("Columns"):
        raise DataError(f"has no pixels ({kind.name}).")
    said, modality = str(dataset.get("BurnedInAnnotation") or "").upper(), str(dataset.get("Modality") or "")
    if not burned_in and (said == "YES" or (modality in _MAY_SHOW_NAMES and said != "NO")):
        told = (
            "says that text is burned into its pixels" if said == "YES" else "does not say that its pixels hold no text"
        )
        raise DataError(
            f"has modality {modality} and {told}: names may show. Look at such images first, then say "
            "data.options.burned_in=accept."
        )


def _header(dataset: Any, relative: str) -> Header:
    for name in ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"):
        if not dataset.get(name):
            raise DataError(f"has no {name}.")
    patient = str(dataset.get("PatientID") or "")
    if not patient:
        raise DataError("has no PatientID, by which splits are kept apart.")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if not 1 <= frames <= 100_000:
        raise DataError(f"says that it holds {frames} frames.")
    instance = dataset.get("InstanceNumber")
    return Header(
        relative,
        str(dataset.SOPInstanceUID),
        str(dataset.SeriesInstanceUID),
        str(dataset.StudyInstanceUID),
        str(dataset.get("AccessionNumber") or ""),
        patient,
        str(dataset.get("Modality") or ""),
        frames,
        float(dataset.get("SeriesNumber") or 0),
        None if instance is None else float(instance),
        tuple(map(float, dataset.get("ImagePositionPatient") or ())),
        tuple(map(float, dataset.get("ImageOrientationPatient") or ())),
    )


def in_order(headers: Sequence[Header]) -> list[Header]:
    """The files of a series or study: by series number, then along the normal of the slices, else by instance number.

    Raises:
        DataError: nothing orders them, or the slices of one series lie at an angle to each other.
    """
    series: dict[tuple[float, str], list[Header]] = {}
    for header in headers:
        series.setdefault((header.series_number, header.series), []).append(header)
    ordered: list[Header] = []
    for key in sorted(series):
        ordered += _slices(series[key])
    return ordered


def _slices(headers: list[Header]) -> list[Header]:
    if len(headers) == 1:
        return headers
    if all(len(header.position) == 3 and len(header.orientation) == 6 for header in headers):
        directions = np.array([header.orientation for header in headers])
        if np.abs(directions - directions[0]).max() > 1e-3:
            raise DataError(
                "its slices lie at an angle to each other (a scout among them?); label them by image instead."
            )
        normal = np.cross(directions[0][:3], directions[0][3:])
        places = [float(np.dot(normal, header.position)) for header in headers]
        if len(set(places)) == len(places):
            return [header for _, header in sorted(zip(places, headers, strict=True), key=lambda pair: pair[0])]
    numbers = [header.instance for header in headers]
    if None in numbers or len(set(numbers)) < len(numbers):
        raise DataError("neither positions nor instance numbers order its images.")
    return sorted(headers, key=lambda header: header.instance or 0.0)
