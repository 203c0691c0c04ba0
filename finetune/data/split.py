"""Grouped splits that are a pure function of salt and group, and the checks that a split must pass."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from finetune.config.schema import DataConfig, SplitConfig
from finetune.errors import DataError

SPLITS = ("train", "val", "test")
UNUSED = "unused"
"""Where the training groups go that `data.train_share` leaves out."""


@dataclass(frozen=True, slots=True)
class Item:
    """What a split needs to know about one example.

    Attributes:
        pixels: digest of its decoded pixels.
        split: the split that the source gives, or None.
        row: where it stands in the source, for errors.
    """

    id: str
    group: str
    label: str
    pixels: str = ""
    split: str | None = None
    row: str = ""

    @property
    def where(self) -> str:
        """The row of the source where that is known, else the id."""
        return self.row or self.id


@dataclass(frozen=True)
class Fold:
    """Example id -> train, val or test, for the run itself or for one fold."""

    name: str
    splits: Mapping[str, str]


def fraction(salt: str, group: str) -> float:
    """Where a group falls in [0, 1): a hash of salt and group, independent of seed, order and other groups."""
    return int.from_bytes(hashlib.sha256(f"{salt}\0{group}".encode()).digest()[:8], "big") / 2**64


def assign(items: Sequence[Item], split: SplitConfig) -> Fold:
    """One split: below `test` is test, below `test + val` is val, the rest is train; or the source's own.

    Raises:
        DataError: the source's split has another name, or puts one group into two.
    """
    if split.column is not None:
        return _given(items, split.column)
    names = {}
    for item in items:
        place = fraction(split.salt, item.group)
        names[item.id] = "test" if place < split.test else "val" if place < split.test + split.val else "train"
    return Fold("", names)


def _given(items: Sequence[Item], column: str) -> Fold:
    seen: dict[str, str] = {}
    for item in items:
        if item.split not in SPLITS:
            raise DataError(
                f"{item.where}: column {column!r} says {item.split!r}, expected one of {', '.join(SPLITS)}."
            )
        if seen.setdefault(item.group, item.split) != item.split:
            raise DataError(
                f"group {item.group!r} is in {seen[item.group]} and in {item.split} (column {column!r}, {item.where}): "
                "a group may not span splits. Correct the column, or drop data.group if these are not related."
            )
    return Fold("", {item.id: str(item.split) for item in items})


def folds(items: Sequence[Item], count: int, split: SplitConfig) -> list[Fold]:
    """Grouped K-fold: every group is test once; labels are spread as evenly as whole groups allow.

    Groups are placed largest first, ties in hash order, where they leave the label counts most even. The validation
    groups of a fold are those `split.val` of its remaining groups that a hash of their own puts first, at least one.

    Raises:
        DataError: there are fewer groups than folds.
    """
    sizes = _label_counts(items)
    if len(sizes) < count:
        raise DataError(f"data.folds={count} needs at least {count} groups, the data has {len(sizes)}.")
    totals = Counter(item.label for item in items)
    load: list[Counter[str]] = [Counter() for _ in range(count)]
    home: dict[str, int] = {}
    for group in sorted(sizes, key=lambda g: (-sizes[g].total(), fraction(split.salt, g), g)):
        costs = [_unevenness(load[k], sizes[group], totals) for k in range(count)]
        home[group] = min(range(count), key=lambda k: (costs[k], load[k].total(), k))
        load[home[group]] += sizes[group]
    return [_fold(items, home, k, split) for k in range(count)]


def _unevenness(load: Counter[str], added: Counter[str], totals: Counter[str]) -> float:
    """Growth of the sum over labels of (share of the label in this fold)^2: smallest where the labels are scarce."""
    return sum((n * (2 * load[label] + n)) / totals[label] ** 2 for label, n in added.items())


def _fold(items: Sequence[Item], home: Mapping[str, int], index: int, split: SplitConfig) -> Fold:
    rest = sorted({group for group, k in home.items() if k != index})
    rest.sort(key=lambda group: fraction(f"{split.salt}/fold_{index}/val", group))
    wanted = max(1, round(split.val * len(rest))) if split.val > 0 else 0
    validation = set(rest[:wanted])
    names = {
        item.id: "test" if home[item.group] == index else "val" if item.group in validation else "train"
        for item in items
    }
    return Fold(f"fold_{index}", names)


def thin(items: Sequence[Item], fold: Fold, share: float, salt: str) -> Fold:
    """Leaves out training groups, so that about `share` of them remain; validation and test stay as they are.

    A group remains while its hash is below `share`, so what a smaller share holds is in every larger one. The first
    group of each label remains in any case: a label that is never seen cannot be learnt. The hash is not the one that
    splits.
    """
    if share >= 1:
        return fold
    first: dict[str, tuple[float, str]] = {}
    for item in items:
        if fold.splits[item.id] == "train":
            place = (fraction(f"{salt}/share", item.group), item.group)
            first[item.label] = min(place, first.get(item.label, place))
    always = {group for _, group in first.values()}
    kept = {item.group for item in items if item.group in always or fraction(f"{salt}/share", item.group) < share}
    left_out = {i.id: UNUSED for i in items if fold.splits[i.id] == "train" and i.group not in kept}
    return Fold(fold.name, {**fold.splits, **left_out})


def limit(items: Sequence[Item], wanted: int, salt: str) -> set[str]:
    """Groups to keep so that about `wanted` examples remain: whole groups, round-robin over labels in hash order.

    A group stands in the queue of its commonest label. The hash is not the one that splits, or every kept group would
    fall into the same split.
    """
    sizes = _label_counts(items)
    queues: dict[str, list[str]] = defaultdict(list)
    for group in sorted(sizes, key=lambda g: (fraction(f"{salt}/limit", g), g)):
        queues[min(sizes[group], key=lambda label: (-sizes[group][label], label))].append(group)
    kept: set[str] = set()
    total = 0
    rounds = max(map(len, queues.values()), default=0)
    for queue, turn in ((queues[label], turn) for turn in range(rounds) for label in sorted(queues)):
        if total >= wanted:
            break
        if turn < len(queue):
            kept.add(queue[turn])
            total += sizes[queue[turn]].total()
    return kept


def _label_counts(items: Iterable[Item]) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        counts[item.group][item.label] += 1
    return counts


def leaks(items: Sequence[Item], fold: Fold) -> list[dict[str, Any]]:
    """Images whose pixels are equal but that lie in different splits."""
    found: list[dict[str, Any]] = []
    for digest, same in _duplicates(items):
        splits = sorted({fold.splits[item.id] for item in same} - {UNUSED})
        if len(splits) > 1:
            names = {"ids": [item.id for item in same], "groups": sorted({item.group for item in same})}
            found.append(
                {"kind": "equal", "fold": fold.name, "sha256": digest} | names | {"splits": splits, "distance": 0.0}
            )
    return found


def conflicts(items: Sequence[Item]) -> list[dict[str, object]]:
    """Images whose pixels are equal but whose labels differ."""
    found: list[dict[str, object]] = []
    for digest, same in _duplicates(items):
        named = sorted({item.label for item in same})
        if len(named) > 1:
            found.append({"kind": "equal", "sha256": digest, "ids": [item.id for item in same], "labels": named})
    return found


def _duplicates(items: Sequence[Item]) -> list[tuple[str, list[Item]]]:
    by_pixels: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_pixels[item.pixels].append(item)
    return [(digest, same) for digest, same in by_pixels.items() if len(same) > 1]


def balance(items: Sequence[Item], fold: Fold, labels: Sequence[str]) -> dict[str, dict[str, int]]:
    """Split -> label -> number of examples; zeros included."""
    counts = Counter((fold.splits[item.id], item.label) for item in items)
    return {split: {label: counts[split, label] for label in labels} for split in SPLITS}


def unique_ids(items: Iterable[Item]) -> None:
    """Checks that no id is used twice.

    Raises:
        DataError: names the first one.
    """
    seen: dict[str, Item] = {}
    for item in items:
        if (first := seen.setdefault(item.id, item)) is not item:
            raise DataError(
                f"id {item.id!r} is used twice ({first.where} and {item.where}); ids must be unique "
                "(data.options.id names their column)."
            )


def check_classes(counts: Mapping[str, Mapping[str, int]], data: DataConfig, fold: str = "") -> list[str]:
    """Checks that every label is in train and test; returns warnings.

    Missing from val, from the test part of a single fold, or under `data.limit`: a warning. A split of share 0: exempt.

    Raises:
        DataError: a label is missing from train or test; names split and label.
    """
    where = f" of {fold}" if fold else ""
    warnings = []
    for split in SPLITS:
        absent = [label for label, n in counts[split].items() if not n]
        if not absent or split in _exempt(data, counts):
            continue
        total = sum(counts[split].values())
        said = f"no example of {', '.join(map(repr, absent))} in {split}{where} ({total} examples)"
        if split == "val" or data.limit is not None or (fold and split == "test"):
            warnings.append(f"{said}.")
            continue
        raise DataError(
            f"{said}: a class missing from {split} can be neither learnt nor judged. Groups move whole, so give more "
            "examples, another data.split.salt, data.folds, or leave the label out of task.labels."
        )
    return warnings


def _exempt(data: DataConfig, counts: Mapping[str, Mapping[str, int]]) -> Collection[str]:
    shares = {"val": data.split.val, "test": data.split.test}
    exempt = {split for split, share in shares.items() if share == 0 and not data.folds}
    exempt -= {"test"} if data.test_path is not None else set()
    if data.folds and data.split.val == 0:
        exempt.add("val")
    if data.split.column is not None and not sum(counts["val"].values()):
        exempt.add("val")
    return exempt
