"""The source: its adapter, options, root, and the examples it yields."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from finetune import plugins
from finetune.config.convert import to_dataclass
from finetune.config.schema import Config, DataConfig, TaskConfig
from finetune.data import external_test_set, pseudonyms, text_checks
from finetune.data.example_files import to_line
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Example
from finetune.rundir import RunDir, read_jsonl


@dataclasses.dataclass(frozen=True)
class _Common:
    """Options that every adapter has: raw label -> label of the task."""

    relabel: dict[str, str] = dataclasses.field(default_factory=dict)


def options(data: DataConfig) -> Any:
    """The adapter's own `Options`, from `data.options`, `data.group`, `data.split.column` and `data.site_key`.

    Raises:
        ConfigError: an unknown key or a wrong value; all of them.
    """
    cls = plugins.load("adapter", data.adapter).Options
    tree = {name: value for name, value in data.options.items() if name != "relabel"}
    known = {entry.name for entry in dataclasses.fields(cls)}
    given = {
        "group": ("data.group", data.group),
        "split": ("data.split.column", data.split.column),
        "site_key": ("data.site_key", data.site_key),
    }
    problems = [
        f"data.options.{name}: say it as {key} instead" for name, (key, _) in given.items() if name in data.options
    ]
    by, known_meta = data.split.by.column, "meta" in known
    if by is not None and not by.startswith("regex:") and known_meta:
        tree["meta"] = list(dict.fromkeys([*tree.get("meta", ()), by]))
    if by is not None and (data.split.column is not None or data.folds):
        problems.append("data.split.by: a split by time or site takes neither data.split.column nor data.folds")
    problems += [
        f"{key}: the adapter {data.adapter} takes none, got {value!r}; leave it out"
        for name, (key, value) in given.items()
        if value is not None and name not in known and name != "site_key"  # which is used here for adapters without
    ]
    window = tree.get("window")
    if isinstance(window, list) and (len(window) != 2 or window[0] == window[1]):
        problems.append(f"data.options.window: got {window}, expected [LOW,HIGH], two different raw values")
    if problems:
        raise ConfigError("\n".join(problems))
    tree |= {name: value for name, (_, value) in given.items() if value is not None and name in known}
    return to_dataclass(tree, cls, "data.options")


def relabelling(data: DataConfig) -> dict[str, str]:
    """`data.options.relabel`: raw label -> label of the task; empty = labels stay as they are."""
    return to_dataclass({"relabel": data.options.get("relabel", {})}, _Common, "data.options").relabel


def source_path(data: DataConfig) -> Path | None:
    """`data.path` as a path, `~` expanded."""
    return Path(data.path).expanduser() if data.path is not None else None


def image_root(config: Config, run: RunDir) -> Path:
    """The folder that `ImageRef.path` is relative to.

    Raises:
        DataError: the source is not there.
    """
    root = sources(config.data)[1]
    return run.data if root is None else root


def sources(data: DataConfig) -> tuple[list[external_test_set.Source], Path | None]:
    """The sources that are read, and the folder that their image paths start from: None for the one of the run.

    Raises:
        DataError: a source is not there.
    """
    adapter = plugins.load("adapter", data.adapter)
    return external_test_set.sources(data, None if adapter.WRITES_IMAGES else _located)


def _located(data: DataConfig) -> Path:
    root: Path = plugins.load("adapter", data.adapter).locate(source_path(data), options(data))
    return root


def examples(config: Config, images: Path) -> Iterator[Example | BadRow]:
    """Streams the source: the adapter's examples with labels renamed and checked; messages are not filled yet.

    Args:
        config: its `data` and `task` sections count.
        images: folder for adapters that write their images.
    """
    adapter = plugins.load("adapter", config.data.adapter)
    relabel, kind = relabelling(config.data), plugins.load("task", config.task.kind)
    own = {entry.name for entry in dataclasses.fields(adapter.Options)}
    secret = None if config.data.site_key is None or "site_key" in own else pseudonyms.secret(config.data.site_key)
    read = (
        source.placed(row)
        for source in sources(config.data)[0]
        for row in adapter.read(source_path(source.data), options(source.data), images)
    )
    groups = text_checks.Groups()
    for item in read:
        row = item if isinstance(item, BadRow) else _checked(item, relabel, kind, config.task)
        if isinstance(row, Example) and config.data.group is not None and row.group != row.group.strip():
            row = BadRow(row.row, row.images[0].path, f"the group {row.group!r} has blanks around it; remove them")
        if isinstance(row, Example) and config.data.group is not None:
            row = _grouped(row, groups)
        if isinstance(row, Example) and config.data.split.by.column is not None:
            row = _placed(row, config.data.split.by.column)
        if isinstance(row, Example) and secret is not None:
            row = dataclasses.replace(
                row, id=pseudonyms.hashed(secret, row.id), group=pseudonyms.hashed(secret, row.group)
            )
        yield _writable(row) if isinstance(row, BadRow) else row


def _writable(bad: BadRow) -> BadRow:
    """Names of files whose bytes are not UTF-8 are spelled out: no record could hold them."""
    texts = (text if _is_utf8(text) else ascii(text) for text in (bad.row, bad.path, bad.reason))
    return text_checks.shortened(BadRow(*texts))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_text(example: Example) -> bool:
    """Whether all of it can be written as UTF-8: JSON may spell half a surrogate pair, which is no character."""
    return _is_utf8(to_line(example)) and _is_utf8(example.split or "")


def _checked(example: Example, relabel: dict[str, str], kind: ModuleType, task: TaskConfig) -> Example | BadRow:
    if not _is_text(example):
        return BadRow(example.row, ascii(example.images[0].path), "a value is no Unicode text (half a surrogate pair)")
    try:
        renamed = _renamed(example, relabel) if relabel else example
        text_checks.check(renamed, closed=task.kind in ("classify", "tags"))
        admitted: Example = kind.admit(task, renamed)
    except DataError as error:
        return BadRow(example.row, example.images[0].path, str(error))
    return admitted


def _grouped(example: Example, groups: text_checks.Groups) -> Example | BadRow:
    """The example, unless its group was spelled another way before."""
    try:
        groups.check(example.group)
    except DataError as error:
        return BadRow(example.row, example.images[0].path, str(error))
    return example


def _placed(example: Example, column: str) -> Example | BadRow:
    """The example with what a split by time or site goes by in the place of its split."""
    path = example.images[0].path
    value = example.meta.get(column, "").strip()
    if column.startswith("regex:"):
        match = re.search(column.removeprefix("regex:"), path)
        value = "" if match is None else match.group(1 if match.re.groups else 0)
    if not value:
        has = f"; it has {', '.join(example.meta)}" if example.meta else ""
        return BadRow(example.row, path, f"no value for data.split.by.column={column}{has}")
    return dataclasses.replace(example, split=value)


def _renamed(example: Example, relabel: dict[str, str]) -> Example:
    """The example with its answer and the labels of its boxes renamed.

    An answer needs an entry, or is a list of box labels that have one (`dent, scratch`). Where boxes are all there is,
    each label needs an entry; beside an answer, those without one stay as they are.

    Raises:
        DataError: an entry is missing.
    """
    raw, boxes = example.target, example.boxes
    parts = [raw] if raw in relabel or not boxes else raw.split(", ")
    if raw == "" and boxes is not None:
        parts = []
    needed = [*parts, *({box.label: None for box in boxes or ()} if not parts else ())]
    missing = [label for label in needed if label not in relabel]
    if missing:
        named = raw if parts else missing[0]
        raise DataError(
            f"label {named!r} has no entry in data.options.relabel, which has {', '.join(map(repr, sorted(relabel)))}"
        )
    target = ", ".join(sorted({relabel[part] for part in parts})) if len(parts) > 1 else relabel[raw] if parts else ""
    placed = (
        None
        if boxes is None
        else tuple(dataclasses.replace(box, label=relabel.get(box.label, box.label)) for box in boxes)
    )
    return dataclasses.replace(example, target=target, boxes=placed)


def images_present(config: Config, run: RunDir) -> bool:
    """Whether the pictures that an adapter wrote into the run are all there, by size; a source's own are the user's."""
    if not plugins.load("adapter", config.data.adapter).WRITES_IMAGES or not run.manifest.is_file():
        return True
    files = ((run.data / row["path"], row["bytes"]) for row in read_jsonl(run.manifest))
    return all(file.is_file() and file.stat().st_size == size for file, size in files)
