"""Whether the source changed since the last call: by sizes and times at a glance, by content where those differ."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache, partial
from pathlib import Path

from finetune import plugins
from finetune.config.schema import Config, DataConfig
from finetune.data import example_files
from finetune.data import source as dataset
from finetune.errors import DataError
from finetune.example import Example
from finetune.images import decode
from finetune.rundir import sha256_file


def glance(config: Config, beside: Collection[Path] = ()) -> str:
    """Digest of settings and of name, size and times of every file of the source; nothing is read.

    Where `data.path` is a table, its rows are read for the images that they name.

    Args:
        config: the sections data and task count.
        beside: folders of runs, which may lie in the source without being part of it.

    Raises:
        DataError: the source is not there.
    """
    whole = hashlib.sha256(json.dumps([dataclasses.asdict(config.data), dataclasses.asdict(config.task)]).encode())
    whole.update(_key(config.data))
    adapter = plugins.load("adapter", config.data.adapter)
    for data in (source.data for source in dataset.sources(config.data)[0]):
        path = dataset.source_path(data)
        if path is None or not path.is_file():
            for relative, place in _files(data, beside):
                whole.update(relative.encode("utf-8", "surrogateescape") + b"\0" + _stat(place))
            continue
        whole.update(_stat(path))
        if not adapter.WRITES_IMAGES:
            root = adapter.locate(path, dataset.options(data))
            for item in adapter.read(path, dataset.options(data), root):
                for ref in item.images if isinstance(item, Example) else ():
                    whole.update(ref.path.encode("utf-8", "surrogatepass") + _stat(root / ref.path))
    return whole.hexdigest()


def _key(data: DataConfig) -> bytes:
    """Digest of the site key: ids and splits hang on its bytes, not on where it lies."""
    if data.site_key is None or not Path(data.site_key).is_file():  # which is an error of its own, later
        return b""
    return sha256_file(Path(data.site_key)).encode()


def content(config: Config, beside: Collection[Path] = ()) -> str:
    """Sha256 over everything the adapter yields and the bytes of the images it names, as hex.

    For adapters that write their images: over the bytes of all files of the source.

    Raises:
        DataError: the source is not there.
    """
    whole = hashlib.sha256(_key(config.data))
    sources, root = dataset.sources(config.data)
    if root is None:
        for data in (source.data for source in sources):
            path = dataset.source_path(data)
            if path is not None and path.is_file():
                whole.update(sha256_file(path).encode())
                continue
            for relative, place in _files(data, beside):
                digest = _digest(partial(Path, place))
                whole.update(relative.encode("utf-8", "surrogateescape") + b"\0" + digest.encode())
        return whole.hexdigest()
    image = lru_cache(maxsize=2**16)(partial(_image_digest, root))
    for item in dataset.examples(config, root):
        if isinstance(item, Example):
            row = example_files.to_row(item) | {"split": item.split, "sha256": [image(ref.path) for ref in item.images]}
        else:
            row = dataclasses.asdict(item)
        whole.update(json.dumps(row, sort_keys=True).encode() + b"\n")
    return whole.hexdigest()


def _files(data: DataConfig, beside: Collection[Path]) -> Iterator[tuple[str, Path]]:
    """Regular files of the source with their paths below it, sorted; links to folders are not followed."""
    path, adapter = dataset.source_path(data), plugins.load("adapter", data.adapter)
    if path is None and adapter.WRITES_IMAGES:
        return
    root: Path = adapter.locate(path, dataset.options(data))
    apart = {os.path.realpath(folder) for folder in beside}
    for parent, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if os.path.realpath(os.path.join(parent, name)) not in apart)
        for name in sorted(names):
            place = Path(parent) / name
            if place.is_file():
                yield place.relative_to(root).as_posix(), place


def _stat(place: Path) -> bytes:
    """Size and times; the time of the last change of its entry shows edits that set the other one back."""
    try:
        found = place.stat()
    except (OSError, ValueError):
        return b"absent\n"
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}\n".encode()


def _image_digest(root: Path, relative: str) -> str:
    return _digest(partial(decode.check, root, relative))


def _digest(place: Callable[[], Path]) -> str:
    try:
        return sha256_file(place())
    except (DataError, OSError) as error:
        return f"unreadable: {error}"  # `prepare` reports it, with its row; here it only has to change the digest
