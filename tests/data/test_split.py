import hashlib
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.config.schema import DataConfig, SplitConfig
from finetune.data import split
from finetune.data.split import Fold, Item
from finetune.errors import DataError


def items_of(sizes):
    """Items from {group: labels}."""
    return [Item(f"{group}/{n}", group, label) for group, labels in sizes.items() for n, label in enumerate(labels)]


GROUPS = st.dictionaries(
    st.text(min_size=1, max_size=6), st.lists(st.sampled_from("ab"), min_size=1, max_size=5), min_size=1, max_size=30
)


def test_a_group_falls_where_its_hash_says():
    digest = hashlib.sha256(b"salt\0m07").digest()
    assert split.fraction("salt", "m07") == int(digest[:8].hex(), 16) / 2**64


def test_shares_come_out_over_many_groups():
    items = items_of({f"g{n}": "a" for n in range(4000)})
    counts = Counter(split.assign(items, SplitConfig(val=0.1, test=0.2)).splits.values())
    assert abs(counts["test"] / 4000 - 0.2) < 0.02
    assert abs(counts["val"] / 4000 - 0.1) < 0.02


@settings(deadline=None, max_examples=40)
@given(GROUPS, GROUPS)
def test_groups_stay_whole_and_new_data_moves_nothing(old, new):
    before = split.assign(items_of(old), SplitConfig(val=0.3, test=0.3))
    after = split.assign(items_of(old | new), SplitConfig(val=0.3, test=0.3))
    for item in items_of(old | new):
        assert after.splits[item.id] == after.splits[f"{item.group}/0"]
    for item in items_of({g: labels for g, labels in old.items() if g not in new}):
        assert before.splits[item.id] == after.splits[item.id]


def test_the_sources_own_split_is_checked():
    given_split = [Item("1", "g", "a", split="train"), Item("2", "h", "a", split="test")]
    assert split.assign(given_split, SplitConfig(column="part")).splits == {"1": "train", "2": "test"}
    with pytest.raises(DataError, match=r"2: column 'part' says 'trainval', expected one of train, val, test"):
        split.assign([given_split[0], Item("2", "h", "a", split="trainval")], SplitConfig(column="part"))
    with pytest.raises(DataError, match=r"group 'g' is in train and in test"):
        split.assign([given_split[0], Item("2", "g", "a", split="test")], SplitConfig(column="part"))


@settings(deadline=None, max_examples=40)
@given(GROUPS.filter(lambda sizes: len(sizes) >= 3), st.integers(2, 3), st.sampled_from([0.0, 0.2, 0.5]))
def test_folds_test_every_group_once_and_keep_it_whole(sizes, count, share):
    items = items_of(sizes)
    folds = split.folds(items, count, SplitConfig(val=share))
    assert [fold.name for fold in folds] == [f"fold_{k}" for k in range(count)]
    for item in items:
        assert sum(fold.splits[item.id] == "test" for fold in folds) == 1
        assert all(fold.splits[item.id] == fold.splits[f"{item.group}/0"] for fold in folds)
    for fold in folds:
        assert ("val" in fold.splits.values()) == (share > 0)


@settings(deadline=None, max_examples=40)
@given(GROUPS.filter(lambda sizes: len(sizes) >= 2), st.randoms())
def test_folds_do_not_depend_on_row_order(sizes, random):
    items = items_of(sizes)
    shuffled = random.sample(items, len(items))
    first, second = (split.folds(rows, 2, SplitConfig()) for rows in (items, shuffled))
    assert [fold.splits for fold in first] == [fold.splits for fold in second]


def test_folds_spread_labels_evenly():
    items = items_of({f"g{n}": ["a"] * 3 + ["b"] * (n % 4) for n in range(40)})
    folds = split.folds(items, 5, SplitConfig())
    for fold in folds:
        tested = Counter(item.label for item in items if fold.splits[item.id] == "test")
        assert abs(tested["a"] - 24) <= 3
        assert abs(tested["b"] - 12) <= 3


def test_too_few_groups_for_the_folds():
    with pytest.raises(DataError, match=r"data.folds=3 needs at least 3 groups, the data has 2"):
        split.folds(items_of({"g": "a", "h": "b"}), 3, SplitConfig())


def test_limit_takes_whole_groups_round_robin_over_labels():
    items = items_of({**{f"a{n}": ["a"] * 4 for n in range(20)}, **{f"b{n}": ["b"] * 2 for n in range(5)}})
    kept = split.limit(items, 18, "")
    assert sum(item.group in kept for item in items) == 18
    assert Counter(group[0] for group in kept) == {"a": 3, "b": 3}


def test_limit_does_not_pick_one_split():
    items = items_of({f"g{n}": "a" for n in range(1000)})
    kept = split.limit(items, 100, "")
    splits = split.assign([item for item in items if item.group in kept], SplitConfig(test=0.2)).splits
    assert 8 <= Counter(splits.values())["test"] <= 32


@settings(deadline=None, max_examples=40)
@given(GROUPS, st.integers(1, 40))
def test_limit_reaches_its_number_or_takes_everything(sizes, wanted):
    items = items_of(sizes)
    kept = split.limit(items, wanted, "s")
    total = sum(item.group in kept for item in items)
    assert total >= min(wanted, len(items))
    assert total < wanted + max(map(len, sizes.values()))


def test_duplicates_across_splits_and_conflicting_labels_are_listed():
    items = [Item("1", "g", "a", "same"), Item("2", "h", "b", "same"), Item("3", "i", "a", "other")]
    fold = Fold("", {"1": "train", "2": "test", "3": "train"})
    assert split.leaks(items, fold) == [
        {"kind": "equal", "fold": "", "sha256": "same", "ids": ["1", "2"], "groups": ["g", "h"],
         "splits": ["test", "train"], "distance": 0.0},
    ]  # fmt: skip
    assert split.conflicts(items) == [{"kind": "equal", "sha256": "same", "ids": ["1", "2"], "labels": ["a", "b"]}]
    assert split.leaks(items, Fold("", dict.fromkeys("123", "train"))) == []


def test_ids_are_unique():
    with pytest.raises(DataError, match=r"id 'x' is used twice"):
        split.unique_ids([Item("x", "g", "a"), Item("y", "g", "a"), Item("x", "h", "a")])


FULL = {"a": 2, "b": 2}


@pytest.mark.parametrize("where", ["train", "test"])
def test_a_class_missing_from_train_or_test_is_an_error(where):
    counts = {"train": FULL, "val": FULL, "test": FULL} | {where: {"a": 4, "b": 0}}
    with pytest.raises(DataError, match=rf"no example of 'b' in {where} \(4 examples\)"):
        split.check_classes(counts, DataConfig())


def test_a_class_missing_from_val_or_under_a_limit_is_a_warning():
    lacking = {"a": 1, "b": 0}
    assert split.check_classes({"train": FULL, "val": lacking, "test": FULL}, DataConfig()) == [
        "no example of 'b' in val (1 examples)."
    ]
    assert len(split.check_classes({"train": lacking, "val": FULL, "test": lacking}, DataConfig(limit=3))) == 2


def test_a_class_missing_from_one_fold_of_the_test_is_a_warning_from_train_an_error():
    lacking = {"a": 1, "b": 0}
    data = DataConfig(folds=2)
    assert len(split.check_classes({"train": FULL, "val": FULL, "test": lacking}, data, "fold_1")) == 1
    with pytest.raises(DataError, match=r"in train of fold_1"):
        split.check_classes({"train": lacking, "val": FULL, "test": FULL}, data, "fold_1")


def test_a_split_of_share_zero_is_exempt():
    empty = {"a": 0, "b": 0}
    none = DataConfig(split=SplitConfig(val=0, test=0))
    assert split.check_classes({"train": FULL, "val": empty, "test": empty}, none) == []
    column = DataConfig(split=SplitConfig(column="part"))
    assert split.check_classes({"train": FULL, "val": empty, "test": FULL}, column) == []
