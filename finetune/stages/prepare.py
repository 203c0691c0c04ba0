"""Stage 1: read the source, decode every image once, split by groups, and write down what was kept and why not."""

import dataclasses
import itertools
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tqdm import tqdm

from finetune import dataset, named, pixels, split
from finetune.config import Config, DataConfig, TaskConfig, identity
from finetune.errors import DataError
from finetune.example import BadRow, Example
from finetune.rundir import Json, RunDir, sha256_file

OPEN = "open answer"
"""What counts as the label of an example whose answer is none of the closed ones."""

_CHUNK = 64
"""Images decoded ahead: bounds memory, keeps every core busy (Pillow decodes outside the interpreter lock)."""


@dataclasses.dataclass(frozen=True)
class _Kept:
    """An example whose images decode, with what the manifest says of its first image."""

    example: Example
    sha256: str
    bytes: int
    pixels: str


def reads(config: Config, run: RunDir) -> dict[str, Any]:
    """What the result depends on: the sections data and task."""
    return {"data": identity(config.data), "task": dataclasses.asdict(config.task)}


def sources(config: Config) -> dict[str, Any]:
    """Digest of the source: everything the adapter yields and the bytes of every image."""
    return {"source": dataset.source_digest(config)}


def run(config: Config, run: RunDir) -> list[Path]:
    """Writes data/ of the run.

    Raises:
        DataError: no source, no rows, a bad row (by policy), a class missing from train or test, an id used twice.
    """
    rows, bad = _read(config, run)
    taken = _limited(rows, config.data)
    kept, undecodable = _decode(taken, config, run)
    bad += undecodable
    _apply_limit(bad, config.data)
    if not kept:
        raise DataError(f"{_source_name(config)}: all {len(bad)} rows are bad, the first: {_worded(bad[0])}")
    labels = named.load("task", config.task.kind).labels(config.task, (item.example for item in kept))
    if len(labels) == 1:
        raise DataError(f"{_source_name(config)} has one label, {labels[0]!r}; at least two are needed to tell apart.")
    items = [_item(item, labels) for item in kept]
    split.unique_ids(items)
    data = config.data
    folds = split.folds(items, data.folds, data.split) if data.folds else [split.assign(items, data.split)]
    folds = [split.thin(items, fold, data.train_share, data.split.salt) for fold in folds]
    counts = [split.balance(items, fold, labels) for fold in folds]
    warnings = [
        warning
        for fold, count in zip(folds, counts, strict=True)
        for warning in split.check_classes(count, data, fold.name)
    ]
    summary = _summary(config, len(rows), len(taken), bad, items, folds) | {
        "conflicts": _conflicts(kept),
        "labels": list(labels),
        "warnings": warnings,
    }
    written = _write(config, run, kept, folds, labels)
    written += [run.write_jsonl(run.quarantine, map(dataclasses.asdict, bad)), run.write_json(run.summary, summary)]
    _print_table(summary)
    return written


def _source_name(config: Config) -> str:
    return f"data.path={config.data.path}" if config.data.path else f"data.adapter={config.data.adapter}"


def _worded(bad: BadRow) -> str:
    return (
        f"{bad.row}: {bad.reason}" if bad.row == bad.path or not bad.path else f"{bad.row} ({bad.path}): {bad.reason}"
    )


def _read(config: Config, run: RunDir) -> tuple[list[Example], list[BadRow]]:
    """All rows of the source; bad rows obey the policy as soon as they come."""
    if named.load("adapter", config.data.adapter).WRITES_IMAGES:
        run.make(run.images)
    rows: list[Example] = []
    bad: list[BadRow] = []
    for item in tqdm(
        dataset.examples(config, run.images), "reading", unit=" rows", file=sys.stderr, leave=False, mininterval=0.5
    ):
        if isinstance(item, Example):
            rows.append(item)
        else:
            bad.append(item)
            _apply_limit(bad, config.data)
    for path in run.images.iterdir() if run.images.is_dir() else ():
        path.chmod(run.file_mode)
    if not rows and not bad:
        raise DataError(f"{_source_name(config)} holds no rows: {config.data.adapter} found no images or lines in it.")
    return rows, bad


def _apply_limit(bad: Sequence[BadRow], data: DataConfig) -> None:
    """Fails on the first bad row, or on the first one over the limit.

    Raises:
        DataError: names row, file and reason.
    """
    if bad and data.on_bad_row == "fail":
        raise DataError(
            f"{_worded(bad[0])}\nCorrect or remove it, or set aside all such rows with data.on_bad_row=quarantine."
        )
    if len(bad) > data.bad_row_limit:
        shown = "\n".join(_worded(row) for row in bad[:5])
        raise DataError(f"more than data.bad_row_limit={data.bad_row_limit} rows are bad; the first are\n{shown}")


def _limited(rows: list[Example], data: DataConfig) -> list[Example]:
    if data.limit is None:
        return rows
    items = [split.Item(row.id, row.group, row.target) for row in rows]
    groups = split.limit(items, data.limit, data.split.salt)
    return [row for row in rows if row.group in groups]


def _decode(rows: Sequence[Example], config: Config, run: RunDir) -> tuple[list[_Kept], list[BadRow]]:
    """Decodes every image of every row completely."""
    if not rows:
        return [], []
    root = dataset.image_root(config, run)
    kept: list[_Kept] = []
    bad: list[BadRow] = []
    with tqdm(
        total=len(rows), desc="decoding", unit=" images", file=sys.stderr, leave=False, mininterval=0.5
    ) as progress:
        for done in _threaded(root, rows, config.task):
            progress.update()
            if isinstance(done, _Kept):
                kept.append(done)
            else:
                bad.append(done)
                _apply_limit(bad, config.data)
    return kept, bad


def _threaded(root: Path, rows: Iterable[Example], task: TaskConfig) -> Iterator[_Kept | BadRow]:
    rest = iter(rows)
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        while chunk := list(itertools.islice(rest, _CHUNK)):
            yield from pool.map(lambda row: _checked(root, row, task), chunk)


def _checked(root: Path, row: Example, task: TaskConfig) -> _Kept | BadRow:
    try:
        images = [pixels.load(root, ref) for ref in row.images]
        row = named.load("task", task.kind).complete(task, row, [(image.height, image.width) for image in images])
        first = pixels.check(root, row.images[0].path)
    except DataError as error:
        return BadRow(row.row, row.images[0].path, str(error))
    return _Kept(row, sha256_file(first), first.stat().st_size, pixels.digest(images))


def _item(kept: _Kept, labels: Sequence[str]) -> split.Item:
    row = kept.example
    return split.Item(row.id, row.group, row.target if row.target in labels else OPEN, kept.pixels, row.split, row.row)


def _conflicts(kept: Sequence[_Kept]) -> list[dict[str, object]]:
    """Equal pixels with one question and different answers."""
    asked = [(item.example, " ".join((item.pixels, *(turn.text for turn in item.example.messages)))) for item in kept]
    found = split.conflicts([split.Item(row.id, row.group, row.target, both) for row, both in asked])
    return [entry | {"sha256": str(entry["sha256"]).partition(" ")[0]} for entry in found]


def _write(
    config: Config, run: RunDir, kept: Sequence[_Kept], folds: Sequence[split.Fold], labels: Sequence[str]
) -> list[Path]:
    """Writes the split files of every part and the manifest; returns their paths."""
    task = named.load("task", config.task.kind)
    rows = {}
    for item in kept:
        example = dataclasses.replace(item.example, messages=task.messages(config.task, labels, item.example))
        rows[example.id] = dataset.to_row(example)
    written = []
    for part, fold in zip(run.parts(config.data.folds), folds, strict=True):
        for name in split.SPLITS:
            chosen = (row for key, row in rows.items() if fold.splits[key] == name)
            written.append(run.write_jsonl(part.split(name), chosen))
    return [*written, run.write_jsonl(run.manifest, (_manifest_row(item, folds) for item in kept))]


def _manifest_row(kept: _Kept, folds: Sequence[split.Fold]) -> Json:
    row = kept.example
    return {
        "id": row.id,
        "path": row.images[0].path,
        "sha256": kept.sha256,
        "bytes": kept.bytes,
        "group": row.group,
        "split": _home(row.id, folds),
        "label": row.target,
        "meta": row.meta,
        "pixels_sha256": kept.pixels,
    }


def _home(key: str, folds: Sequence[split.Fold]) -> str:
    """The split of an example, or the fold in which it is tested."""
    if not folds[0].name:
        return folds[0].splits[key]
    return next(fold.name for fold in folds if fold.splits[key] == "test")


def _summary(
    config: Config,
    rows: int,
    taken: int,
    bad: Sequence[BadRow],
    items: Sequence[split.Item],
    folds: Sequence[split.Fold],
) -> Json:
    """Counts that reconcile: read = kept + quarantined; rows beyond `data.limit` are not read but counted apart."""
    home = {item.id: _home(item.id, folds) for item in items}
    balance: dict[str, Counter[str]] = {} if config.data.folds else {name: Counter() for name in split.SPLITS}
    groups: dict[str, set[str]] = {name: set() for name in balance}
    for item in sorted(items, key=lambda item: home[item.id]) if config.data.folds else items:
        balance.setdefault(home[item.id], Counter())[item.label] += 1
        groups.setdefault(home[item.id], set()).add(item.group)
    adapter = named.load("adapter", config.data.adapter)
    return {
        "read": len(items) + len(bad),
        "kept": len(items),
        "quarantined": len(bad),
        "left_out_by_limit": rows - taken,
        "left_out_by_share": sum(place == split.UNUSED for fold in folds for place in fold.splits.values()),
        "by_split": {name: counts.total() for name, counts in balance.items()},
        "by_label": dict(sorted(Counter(item.label for item in items).items())),
        "balance": {name: dict(sorted(counts.items())) for name, counts in balance.items()},
        "groups": {name: len(found) for name, found in groups.items()},
        "leaks": split.leaks(items, split.Fold("", home)),
        "root": "run" if adapter.WRITES_IMAGES else "source",
    }


def _print_table(summary: Json) -> None:
    """Prints split x label with groups, and what deserves a look, to standard error."""
    labels = summary["labels"]
    lines = [["", *labels, "all", "groups"]]
    for name, counts in summary["balance"].items():
        shown = [str(counts.get(label, 0)) for label in labels]
        lines.append([name, *shown, str(summary["by_split"][name]), str(summary["groups"][name])])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = (text.rjust(width) for text, width in zip(line[1:], widths[1:], strict=True))
        print("  ".join((line[0].ljust(widths[0]), *cells)), file=sys.stderr)
    notes = [f"warning: {warning}" for warning in summary["warnings"]]
    notes += [
        f"warning: {len(summary[kind])} images {what}; see {kind} in data/summary.json"
        for kind, what in (("leaks", "occur in more than one split"), ("conflicts", "carry different labels"))
        if summary[kind]
    ]
    if summary["quarantined"]:
        notes.append(f"{summary['quarantined']} of {summary['read']} rows set aside; see data/quarantine.jsonl")
    for note in notes:
        print(note, file=sys.stderr)
