"""DICOM files in a folder, labelled by a table: images, series or studies, to 8 bits by a stated rule."""

import hmac
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_adapters import _dicom_header, _dicom_image, _dicom_segments, _dicom_window, _files, _written
from data_adapters._dicom_header import Header
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Box, Example, ImageRef
from finetune.images import decode

WRITES_IMAGES = True
MIN_KEY_BYTES = 16


@dataclass(frozen=True)
class Options:
    """What an item is, how its pixels are shown, and where its label stands.

    Attributes:
        labels: table beside the files, with a column for the key and one for the label.
        key: what the table names: `sop` (one image), `series`, `study`, `accession`, `patient`, or `path`.
        column: column of the table that holds it.
        label: column with the answer.
        item: one question is about an `image`, a `series` or a `study`: the latter are ordered lists of images.
        windows: one window, or three for three channels: `file`, `file:N`, `CENTRE,WIDTH` or a preset (lung, ...).
        percentiles: [LOW,HIGH], for files without a window of their own; empty refuses them.
        frames: multi-frame files: `refuse`, or `each` frame is an image.
        max_images: an item with more images is refused.
        segments: segmentations beside the images: `refuse` them, or `read` them as boxes (`item` must be image).
        burned_in: images that may show names as pixels: `refuse`, or `accept` after somebody has looked.
        group: `data.group`: `patient` (the default), `study`, or a column of the table.
        split: `data.split.column`: column of the table that says train, val or test.
        meta: columns of the table carried along for subgroups.
        site_key: `data.site_key`: file with secret bytes, kept outside the run, by which ids are hashed.
    """

    labels: str = "labels.csv"
    key: Literal["sop", "series", "study", "accession", "patient", "path"] = "sop"
    column: str = "uid"
    label: str = "label"
    item: Literal["image", "series", "study"] = "image"
    windows: tuple[str, ...] = ("file",)
    percentiles: tuple[float, ...] = ()
    frames: Literal["refuse", "each"] = "refuse"
    max_images: int = 32
    segments: Literal["refuse", "read"] = "refuse"
    burned_in: Literal["refuse", "accept"] = "refuse"
    group: str | None = None
    split: str | None = None
    meta: tuple[str, ...] = ()
    site_key: str | None = None


def locate(path: Path | None, options: Options) -> Path:
    """The folder of the files.

    Raises:
        DataError: it is not there.
    """
    return _files.folder(path, f"the folder with {options.labels} and the DICOM files")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    return ImageRef(relative)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Yields an example an item, in the order of its first file, writing its images as PNG into `images`.

    Identifiers leave this module hashed with the site key alone; of the headers only how the pixels were made is kept.

    Raises:
        DataError: pydicom, the table or the key file is missing, or the table lacks a column.
        ConfigError: an option is out of range.
    """
    root = locate(path, options)
    rule = _dicom_window.Rule(options.windows, options.percentiles)
    _dicom_window.check_rule(rule)
    secret = _secret(options.site_key)
    if options.segments == "read" and options.item != "image":
        raise ConfigError("data.options.segments=read: boxes are about one image; it needs data.options.item=image")
    source = _Source(root, _table(root, options), rule, secret, options, images, _segments(root, options))
    yield from source.segments.bad
    used: set[str] = set()
    refused = 0
    for item in _items(source):
        if isinstance(item, BadRow):
            refused += 1
            if options.key == "path":
                used.add(item.path)
            yield item
            continue
        name, keys = item[0].path, _keys(item, options)
        used |= keys
        try:
            yield from _examples(source, item, _joined(keys, source.rows, options))
        except DataError as error:
            yield BadRow(name, name, str(error))
    which = f"none of the files that could be read ({refused} could not) has" if refused else "no file has"
    for key in (key for key in source.rows if key not in used):
        yield BadRow(f"{options.labels} {options.column}={key}", "", f"{which} this {options.key}.")


@dataclass(frozen=True)
class _Source:
    """What every item needs."""

    root: Path
    rows: dict[str, Mapping[str, str]]
    rule: _dicom_window.Rule
    secret: bytes
    options: Options
    images: Path
    segments: _dicom_segments.Segments


def _segments(root: Path, options: Options) -> _dicom_segments.Segments:
    if options.segments == "refuse":
        return _dicom_segments.Segments(root)
    safe = (name for name in _dicom_header.candidates(root) if _is_file(root, name))
    return _dicom_segments.collect(root, safe)


def _is_file(root: Path, relative: str) -> bool:
    try:
        decode.check(root, relative)
    except DataError:
        return False
    return True


def _items(source: _Source) -> Iterator[list[Header] | BadRow]:
    """The headers of each item: image by image as they are found; a series or study once all files are known."""
    items: dict[str, list[Header]] = defaultdict(list)
    seen: set[str] = set()
    options = source.options
    for found in _dicom_header.scan(source.root, options.burned_in == "accept"):
        if isinstance(found, BadRow):
            if found.path != options.labels and found.path not in source.segments.files:
                yield found
        elif found.sop in seen:
            yield BadRow(found.path, found.path, "has the SOP Instance UID of another file of the folder.")
        else:
            seen.add(found.sop)
            if options.item == "image":
                yield [found]
            else:
                items[{"series": found.series, "study": found.study}[options.item]].append(found)
    yield from items.values()


def _secret(site_key: str | None) -> bytes:
    if site_key is None:
        raise ConfigError(
            "data.site_key: DICOM ids are hashed with a key of your site, kept outside the run. Make one with "
            "`head -c 32 /dev/urandom > site.key` and name that file: the same key gives the same ids and splits"
        )
    place = Path(site_key).expanduser()
    if not place.is_file() or place.stat().st_size < MIN_KEY_BYTES:
        raise DataError(f"data.site_key={site_key} is no file of at least {MIN_KEY_BYTES} bytes.")
    return place.read_bytes()


def _hashed(secret: bytes, *identifiers: str) -> str:
    return hmac.new(secret, "\0".join(identifiers).encode(), "sha256").hexdigest()[:20]


def _table(root: Path, options: Options) -> dict[str, Mapping[str, str]]:
    """Rows of the label table by key."""
    rows: dict[str, Mapping[str, str]] = {}
    for item in _files.table(root, options.labels, [options.column, *_columns(options)]):
        if isinstance(item, BadRow):
            raise DataError(f"{item.row} {item.reason}")
        where, row = item
        if row[options.column].strip() in rows:
            raise DataError(f"{where} names a {options.key} for the second time; one label each.")
        rows[row[options.column].strip()] = row
    return rows


def _columns(options: Options) -> list[str]:
    """Columns of the table that say something about an item."""
    own = options.group if options.group not in ("patient", "study") else None
    return [name for name in (options.label, own, options.split, *options.meta) if name]


def _keys(headers: list[Header], options: Options) -> set[str]:
    """What the rows of the table call the images of an item."""
    return {
        {
            "sop": header.sop,
            "series": header.series,
            "study": header.study,
            "accession": header.accession,
            "patient": header.patient,
            "path": header.path,
        }[options.key]
        for header in headers
    }


def _joined(keys: set[str], rows: Mapping[str, Mapping[str, str]], options: Options) -> Mapping[str, str]:
    """What the rows of the table say about an item, all of them the same.

    Raises:
        DataError: there is none, or they differ; names the column.
    """
    found = sorted(key for key in keys if key in rows)
    if not found:
        raise DataError(f"has no label: its {options.key} stands in no row of {options.labels} ({options.column}).")
    for column in _columns(options):
        if len({rows[key][column] for key in found}) > 1:
            raise DataError(f"the images of one {options.item} have different values of {column} in {options.labels}.")
    return rows[found[0]]


def _examples(source: _Source, headers: list[Header], row: Mapping[str, str]) -> Iterator[Example]:
    """One example of an item, or one for each frame where the item is an image."""
    options, secret = source.options, source.secret
    if len({header.patient for header in headers}) > 1:
        raise DataError(f"the images of one {options.item} belong to several patients.")
    first = headers[0]
    ordered = [first] if options.item == "image" else _dicom_header.in_order(headers)
    count = sum(header.frames for header in ordered)
    if options.frames == "refuse" and any(header.frames > 1 for header in ordered):
        raise DataError(f"holds {count} frames; say data.options.frames=each if each is an image.")
    if options.item != "image" and count > options.max_images:
        raise DataError(f"has {count} images; at most data.options.max_images={options.max_images} are shown at once.")
    shown = [_frame(source, header, index) for header in ordered for index in range(header.frames)]
    names = {"image": first.sop, "series": first.series, "study": first.study}
    base = _hashed(secret, options.item, names[options.item])
    groups = {None: first.patient, "patient": first.patient, "study": first.study}
    group = _hashed(secret, groups[options.group]) if options.group in groups else row[str(options.group)]
    parts = [[each] for each in shown] if options.item == "image" else [shown]
    for number, part in enumerate(parts, 1):
        name = base if len(parts) == 1 else f"{base}/{number}"
        yield Example(
            id=name,
            images=tuple(ref for ref, *_ in part),
            target=row[options.label],
            group=group,
            split=row[options.split] if options.split else None,
            meta={column: row[column] for column in options.meta} | {"modality": first.modality} | part[0][1],
            row=name,
            boxes=part[0][2],
        )


def _frame(source: _Source, header: Header, index: int) -> tuple[ImageRef, dict[str, str], tuple[Box, ...] | None]:
    """One frame as written, how it was made, and the boxes of its segmentations where they are read."""
    from pydicom import dcmread

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about values of the header that are not used here
            dataset = dcmread(source.root / header.path)
    except _dicom_image.DAMAGED as error:
        raise DataError(f"cannot be read as DICOM: {error}.") from error
    picture, record = _dicom_image.show(dataset, index, source.rule)
    boxes = None
    if source.options.segments == "read":
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        if header.frames > 1 and source.segments.frames.get(header.sop):
            raise DataError("has several frames and a segmentation; which frame it is about is not read.")
        scale = (picture.width / columns, picture.height / rows)
        boxes = source.segments.boxes(header.sop, (rows, columns), scale)
    return _written.write(picture, source.images), record, boxes
