"""Stage 1: read the source, decode every image once, split by groups, and write down what was kept and why not."""

import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from finetune import plugins
from finetune.config.compose import run_folder
from finetune.config.schema import Config
from finetune.data import example_files, external_test_set, ingest, source_digest, split, split_by, tiles
from finetune.data.duplicates import leaks as findings
from finetune.data.duplicates import search
from finetune.data.duplicates.fingerprint import Sketches
from finetune.data.duplicates.leaks import Near
from finetune.errors import DataError
from finetune.example import BadRow
from finetune.rundir import Json, RunDir, read_json
from finetune.tasks import _forms

OPEN = "open answer"
"""What counts as the label of an example whose answer is none of the closed ones."""


def reads(config: Config, run: RunDir) -> dict[str, Any]:
    """What the result depends on: the sections data and task."""
    return {"data": dataclasses.asdict(config.data), "task": dataclasses.asdict(config.task)}


def sources(config: Config) -> dict[str, Any]:
    """Digest of the source: everything the adapter yields and the bytes of every image.

    Sizes and times of the files are looked at first: where they are those of the last call on this run, its digest
    stands, and nothing is read.
    """
    folder = run_folder(config)
    memo, seen = folder / "source.json", source_digest.glance(config, (folder, Path(config.run.root)))
    known = read_json(memo) if memo.is_file() else {}
    if known.get("seen") != seen:
        known = {"seen": seen, "content": source_digest.content(config, (folder, Path(config.run.root)))}
        if folder.is_dir():
            RunDir(folder, int(config.run.file_mode, 8)).write_json(memo, known)
    return {"source": known["content"]}


def run(config: Config, run: RunDir) -> list[Path]:
    """Writes data/ of the run.

    Raises:
        DataError: no source, no rows, a bad row (by policy), a class missing from train or test, an id used twice, or,
            where data.duplicates=fail, an image that lies in two splits.
    """
    with ingest.Spool(run, "kept") as spool, closing(Sketches(run.make(run.data) / ".sketches.partial")) as sketches:
        gallery = ingest.Gallery(sketches if _searches(config) else None)
        kept, bad, counts = ingest.take(config, run, spool, gallery)
        if not kept:
            raise DataError(
                f"{ingest.source_name(config)}: all {len(bad)} rows are bad, the first: {ingest.worded(bad[0])}"
            )
        labels = plugins.load("task", config.task.kind).labels(config.task, spool.examples())
        if len(labels) == 1:
            raise DataError(
                f"{ingest.source_name(config)} has one label, {labels[0]!r}; at least two are needed to tell apart."
            )
        unseen = _labels_without_box(config, counts, len(kept), len(bad)) if config.task.kind == "detect" else []
        items = [entry.item for entry in kept]
        conflicts = _conflicts(kept)
        closed = set(labels)
        items = [item if item.label in closed else dataclasses.replace(item, label=OPEN) for item in items]
        near = _near(config, gallery, sketches)
        questions = {entry.item.id: entry.question for entry in kept} if near.pairs else {}
        conflicts += findings.conflicts(items, near, questions)
        renamed = findings.joined(items, near) if config.data.duplicates == "join" else {}
        items = [dataclasses.replace(item, group=renamed.get(item.group, item.group)) for item in items]
        folds = _folds(items, config, {entry.item.id for entry in kept if entry.empty}, counts)
        summary = _summary(config, counts, bad, items, folds) | {
            "conflicts": conflicts,
            "labels": list(labels),
            "warnings": [*unseen, *_warnings(items, folds, labels, config)],
        }
        summary |= _duplicates(config, items, folds, near, renamed)
        written = _write(config, run, spool, folds, labels, renamed)
    written += [run.write_jsonl(run.quarantine, map(dataclasses.asdict, bad)), run.write_json(run.summary, summary)]
    _print_table(summary)
    return written


def _labels_without_box(config: Config, counts: Counter[str], kept: int, bad: int) -> list[str]:
    """Checks that every label of a detection task has a box; returns warnings where `data.limit` cuts the set.

    Raises:
        DataError: there is no box at all, or a label of `task.labels` never occurs.
    """
    there = sorted(key.removeprefix(ingest.BOX_OF) for key in counts if key.startswith(ingest.BOX_OF))
    aside = f" {bad} rows were set aside: data/quarantine.jsonl says why." if bad else ""
    if not there:
        others = f" {number} boxes have other labels." if (number := counts["labels_left_out"]) else ""
        raise DataError(
            f"{ingest.source_name(config)}: none of {kept} images has a box of {', '.join(config.task.labels)}.{others}"
            f"{aside} The task detect learns from boxes: are the label files where data.options expects them?"
        )
    unseen = [label for label in config.task.labels if label not in there]
    said = [
        f"the label {label!r} of task.labels names no box (there are {', '.join(there)}).{aside}" for label in unseen
    ]
    if said and config.data.limit is None:
        raise DataError(f"{said[0]} Correct its spelling, or leave it out of task.labels.")
    return said


def _folds(items: Sequence[split.Item], config: Config, empty: set[str], counts: Counter[str]) -> list[split.Fold]:
    split.unique_ids(items)
    data = config.data
    if data.test_path is not None:
        folds = [external_test_set.assign(items, data.split)]
    else:
        folds = split.folds(items, data.folds, data.split) if data.folds else [split_by.chosen(items, data.split)]
    folds = [split.thin(items, fold, data.train_share, data.split.salt) for fold in folds]
    counts["by_share"] = _unused(folds)
    folds = [tiles.thin(items, fold, empty, data) for fold in folds]
    counts["without_box"] = _unused(folds) - counts["by_share"]
    return folds


def _unused(folds: Sequence[split.Fold]) -> int:
    return sum(place == split.UNUSED for fold in folds for place in fold.splits.values())


def _searches(config: Config) -> bool:
    return config.data.decode == "full" and config.data.duplicates != "off"


def _near(config: Config, gallery: ingest.Gallery, sketches: Sketches) -> Near:
    """Nearly equal pictures, or why they were not looked for."""
    if config.data.duplicates == "off":
        return Near(note="not searched: data.duplicates=off")
    if not _searches(config):
        return Near(note="not searched: data.decode=headers decodes no pixels; equal files are found")
    pairs, how = search.search(sketches.rows())
    return Near(pairs, gallery.numbers, how.note, bool(how.radius))


def _duplicates(
    config: Config, items: Sequence[split.Item], folds: Sequence[split.Fold], near: Near, renamed: dict[str, str]
) -> Json:
    """Suspects across splits, groups under two names, and how far the search went.

    Raises:
        DataError: there are suspects, and data.duplicates=fail.
    """
    home = {item.id: _home(item.id, folds) for item in items}
    twins = findings.twin_groups(items, near)
    leaks: list[Json] = split.leaks(items, split.Fold("", home))
    leaks += [*findings.leaks(items, home, near), *findings.twin_leaks(twins, items, home)]
    if leaks and config.data.duplicates == "fail":
        shown = "; ".join(f"{', '.join(leak['ids'][:4])} in {' and '.join(leak['splits'])}" for leak in leaks[:5])
        raise DataError(
            f"{len(leaks)} findings of equal or nearly equal images in more than one split: {shown}. Correct the "
            "source or data.group, join groups with data.duplicates=join, or accept them with data.duplicates=report."
        )
    record = {
        "searched": near.searched,
        "note": near.note,
        "pictures": len(set(near.numbers.values())),
        "pairs": len(near.pairs),
    }
    merged: dict[str, list[str]] = {}
    for name, root in renamed.items():
        merged.setdefault(root, []).append(name)
    return {"leaks": leaks, "near": record, "twin_groups": twins, "joined_groups": sorted(merged.values())}


def _warnings(
    items: Sequence[split.Item], folds: Sequence[split.Fold], labels: Sequence[str], config: Config
) -> list[str]:
    return [
        warning
        for fold in folds
        for warning in split.check_classes(split.balance(items, fold, labels), config.data, fold.name)
    ]


def _conflicts(kept: Sequence[ingest.Kept]) -> list[dict[str, object]]:
    """Equal pixels with one question and different answers."""
    found = split.conflicts([dataclasses.replace(entry.item, pixels=entry.asked.hex()) for entry in kept])
    asked = {entry.asked.hex(): entry.item.pixels for entry in kept} if found else {}
    return [entry | {"sha256": asked[str(entry["sha256"])]} for entry in found]


def _write(
    config: Config,
    run: RunDir,
    spool: ingest.Spool,
    folds: Sequence[split.Fold],
    labels: Sequence[str],
    renamed: dict[str, str],
) -> list[Path]:
    """Writes the split files of every part and the manifest in a pass each; returns their paths."""
    task, section = plugins.load("task", config.task.kind), _forms.settled(config)
    written: list[Path] = []
    for part, fold in zip(run.parts(config.data.folds), folds, strict=True):
        paths = {name: part.split(name) for name in split.SPLITS}
        with ExitStack() as stack:
            handles = {name: stack.enter_context(run.write(path)) for name, path in paths.items()}
            for example in spool.examples():
                handle = handles.get(fold.splits[example.id])
                if handle is not None:
                    group = renamed.get(example.group, example.group)
                    messages = task.messages(section, labels, example)
                    example = dataclasses.replace(example, messages=messages, group=group)
                    handle.write(example_files.to_line(example))
        written += paths.values()
    return [*written, run.write_jsonl(run.manifest, (_manifest_row(row, folds, renamed) for row in spool.rows()))]


def _manifest_row(row: Json, folds: Sequence[split.Fold], renamed: dict[str, str]) -> Json:
    return {
        "id": row["id"],
        "path": row["images"][0]["path"],
        "sha256": row["sha256"],
        "bytes": row["bytes"],
        "group": renamed.get(row["group"], row["group"]),
        "split": _home(row["id"], folds),
        "label": row["target"],
        "meta": row["meta"],
        "pixels_sha256": row["pixels_sha256"],
    }


def _home(key: str, folds: Sequence[split.Fold]) -> str:
    """The split of an example, or the fold in which it is tested."""
    if not folds[0].name:
        return folds[0].splits[key]
    return next(fold.name for fold in folds if fold.splits[key] == "test")


def _summary(
    config: Config,
    counts: Counter[str],
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
    adapter = plugins.load("adapter", config.data.adapter)
    return {
        "read": counts["kept"] + len(bad),
        "kept": counts["kept"],
        "quarantined": len(bad),
        "left_out_by_limit": counts["read"] - counts["taken"],
        "left_out_by_share": counts["by_share"],
        "by_split": {name: counts.total() for name, counts in balance.items()},
        "by_label": dict(sorted(Counter(item.label for item in items).items())),
        "balance": {name: dict(sorted(counts.items())) for name, counts in balance.items()},
        "groups": {name: len(found) for name, found in groups.items()},
        "root": "run" if adapter.WRITES_IMAGES else "source",
        **({"boxes_of_other_labels": number} if (number := counts["labels_left_out"]) else {}),
        **({"boxes_asked_as": _forms.settled(config).options["boxes"]} if config.task.kind == "detect" else {}),
        **({} if config.data.tiles.size is None else {"tiles": _tiles(counts, len(items))}),
    }


def _tiles(counts: Counter[str], made: int) -> Json:
    told = {"made": made, "left_out_empty": counts["without_box"]}
    return told | {"boxes": counts["boxes"], "boxes_in_pieces": counts["in_pieces"]}


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
        f"warning: {len(summary[kind])} findings of equal or nearly equal images {what}; see {kind} in summary.json"
        for kind, what in (("leaks", "in more than one split"), ("conflicts", "with different labels"))
        if summary[kind]
    ]
    cut = summary.get("tiles", {})
    if cut.get("boxes_in_pieces"):
        notes.append(
            f"warning: {cut['boxes_in_pieces']} of {cut['boxes']} boxes lie in no tile whole and are learned and found "
            "in pieces; raise data.tiles.overlap or data.tiles.size"
        )
    if name := summary.get("boxes_asked_as"):
        notes.append(f"boxes: asked, trained and read in the notation {name} (task.options.boxes)")
    if number := summary.get("boxes_of_other_labels"):
        notes.append(f"warning: {number} boxes have labels that are not in task.labels and were left out")
    notes += [
        f"warning: groups {' and '.join(map(repr, twin['groups']))} share {twin['pictures']} of {twin['of']} images: "
        "one group under two names?"
        for twin in summary["twin_groups"][:5]
    ]
    notes += [f"near-duplicates: {summary['near']['note']}"] if summary["near"]["note"] else []
    if summary["quarantined"]:
        notes.append(f"{summary['quarantined']} of {summary['read']} rows set aside; see data/quarantine.jsonl")
    for note in notes:
        print(note, file=sys.stderr)
