"""WebDataset: tar shards in which the files of one sample share their name up to the first dot."""

import re
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from data_adapters import _boxes, _files, _written
from data_adapters.image_folder import group_of, group_rule
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Example, ImageRef
from finetune.images import decode

WRITES_IMAGES = True
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
MAX_MEMBER_BYTES = 256 * 2**20
"""Largest file in a shard that is read; nothing is ever unpacked to disk as it stands."""


@dataclass(frozen=True)
class Options:
    """What the files of a sample mean.

    Attributes:
        images: endings of the pictures in the order they are shown (`[test.png,temp.png]`); empty: the only picture.
        label: ending of the file with the answer (`cls`, `txt`), or `json:KEY` for a key of the sample's .json.
        group: `data.group`: `json:KEY`, or `regex:PATTERN` on the sample's key; default: each sample for itself.
        split: `data.split.column`: `path` takes train, val or test from the shard's name.
        meta: keys of the sample's .json carried along for subgroups.
        frame: frame of animated or multi-page images.
        window: (low, high) raw values shown as black and white, for 16-bit and float images.
    """

    images: tuple[str, ...] = ()
    label: str = "cls"
    group: str | None = None
    split: str | None = None
    meta: tuple[str, ...] = ()
    frame: int | None = None
    window: tuple[float, ...] | None = None


def locate(path: Path | None, options: Options) -> Path:
    """The folder of the shards.

    Raises:
        DataError: it is not there.
    """
    return path.parent if path is not None and path.is_file() else _files.folder(path, "the folder with .tar shards")


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    return ImageRef(relative)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Streams the samples shard by shard, in sorted order, writing each picture once as PNG into `images`.

    Raises:
        DataError: there are no shards, or one is damaged; compressed ones are refused.
        ConfigError: an option is not one this format has.
    """
    root = locate(path, options)
    _boxes.check_split(options.split)
    if options.group is not None and not options.group.startswith("json:"):
        if options.group == "parent":
            raise ConfigError("data.group: got 'parent', expected 'json:KEY' or 'regex:PATTERN' for webdataset")
        group_rule(options.group)
    for shard in [path.name] if path is not None and path.is_file() else _shards(root):
        seen: Counter[str] = Counter()
        try:
            with tarfile.open(decode.check(root, shard), mode="r:") as archive:
                for item in _samples(archive, shard):
                    if isinstance(item, BadRow):
                        yield item
                        continue
                    key, files = item
                    seen[key] += 1
                    yield _item(shard, key, files, seen[key] > 1, options, images)
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise DataError(f"{shard} cannot be read as an uncompressed tar archive: {error}.") from error


def _shards(root: Path) -> list[str]:
    """The shards of a folder, sorted.

    Raises:
        DataError: there are none, or some are compressed.
    """
    found, packed = _files.shards(root, ".tar"), _files.shards(root, *_COMPRESSED)
    if packed or not found:
        holds = f"the compressed shard {packed[0]!r}; decompress it first" if packed else "no .tar shards"
        raise DataError(f"data.path={root} holds {holds}.")
    return found


_Sample = tuple[str, dict[str, bytes]]


def _samples(archive: tarfile.TarFile, shard: str) -> Iterator[_Sample | BadRow]:
    """Yields (key, ending -> content) of files that follow each other with one key."""
    key, files = "", dict[str, bytes]()
    for member in archive:
        archive.members = []  # type: ignore[attr-defined]  # else it remembers every header of the shard
        where = f"{shard} {member.name}"
        if member.isdir():
            continue
        problem = _unsafe(member)
        if problem:
            yield BadRow(where, member.name, problem)
            continue
        name = PurePosixPath(member.name)
        stem, _, ending = name.name.partition(".")
        mine = (name.parent / stem).as_posix()
        if mine != key and files:
            yield key, files
            files = {}
        key = mine
        handle = archive.extractfile(member)
        content = b"" if handle is None else handle.read(MAX_MEMBER_BYTES)
        if len(content) < member.size:
            raise DataError(f"{where} is cut off.")
        if ending.lower() in files:
            yield BadRow(where, member.name, f"is the second .{ending.lower()} of its sample.")
            continue
        files[ending.lower()] = content
    if files:
        yield key, files


def _unsafe(member: tarfile.TarInfo) -> str | None:
    parts = PurePosixPath(member.name).parts
    if not member.isreg():
        return "is a link, a pipe or a device in the archive; only plain files are read."
    if member.name.startswith("/") or ".." in parts or "\0" in member.name:
        return "has a path that leaves the archive."
    if member.size > MAX_MEMBER_BYTES:
        return f"has {member.size:,} bytes; at most {MAX_MEMBER_BYTES:,} are read."
    return None


def _item(
    shard: str, key: str, files: dict[str, bytes], again: bool, options: Options, images: Path
) -> Example | BadRow:
    where = f"{shard} {key}"
    try:
        key.encode()
        if again:
            raise DataError("occurs twice in its shard, apart; the files of a sample must follow each other.")
        fields = _fields(files)
        target = _value(options.label, files, fields)
        group = _group(shard, key, fields, options)
        window = (options.window[0], options.window[1]) if options.window else None
        decoded = [
            decode.decode(files[ending], ImageRef(f"{key}.{ending}", frame=options.frame, window=window))
            for ending in _endings(files, options)
        ]
        meta = {name: _field(fields, name) for name in options.meta}
    except UnicodeEncodeError:
        return BadRow(ascii(where), ascii(key), "has a name that is not UTF-8; rename it")
    except DataError as error:
        return BadRow(where, key, str(error))
    return Example(
        id=f"{shard}/{key}",
        images=tuple(_written.write(picture, images) for picture in decoded),
        target=target,
        group=group,
        split=_files.split_of(shard) if options.split else None,
        meta=meta,
        row=where,
    )


def _endings(files: dict[str, bytes], options: Options) -> tuple[str, ...]:
    found = [ending for ending in files if f".{ending.rpartition('.')[2]}" in decode.SUFFIXES]
    missing = [ending for ending in options.images if ending.lower() not in files]
    if missing or not found or (not options.images and len(found) > 1):
        wanted = ", ".join(options.images) or "one picture"
        raise DataError(f"holds {', '.join(sorted(files))}; expected {wanted} (data.options.images).")
    return tuple(ending.lower() for ending in options.images) or tuple(found)


def _fields(files: dict[str, bytes]) -> dict[str, Any]:
    value = _files.parse_json(_decoded(files["json"], "json")) if "json" in files else {}
    if not isinstance(value, dict):
        raise DataError("its .json is no object.")
    return value


def _decoded(content: bytes, ending: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"its .{ending} is not UTF-8 (byte {error.start}).") from error


def _value(rule: str, files: dict[str, bytes], fields: dict[str, Any]) -> str:
    if rule.startswith("json:"):
        return _field(fields, rule.removeprefix("json:"))
    if rule not in files:
        raise DataError(f"has no .{rule} (data.options.label); it holds {', '.join(sorted(files))}.")
    text = _decoded(files[rule], rule).strip()
    if not text:
        raise DataError(f"its .{rule} is empty.")
    return text


def _field(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
        raise DataError(f"its .json has {name!r} {value!r}, expected text.")
    return str(value)


def _group(shard: str, key: str, fields: dict[str, Any], options: Options) -> str:
    if options.group is None:
        return f"{shard}/{key}"
    kind, _, rest = options.group.partition(":")
    if kind == "json":
        return _field(fields, rest)
    group = group_of(re.compile(rest), key)
    if group is None:
        raise DataError(f"data.group={options.group} does not match its key")
    return group
