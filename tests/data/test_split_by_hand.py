"""Splits, folds, shares and limits against hand-made tables: the hash is replaced by numbers that can be read."""

import pytest

from finetune.config.schema import DataConfig, SplitConfig
from finetune.data import split
from finetune.data.split import UNUSED, Fold, Item
from finetune.errors import DataError


@pytest.fixture
def placed(monkeypatch):
    """A group named `30x` falls at 0.30, whatever the salt."""
    monkeypatch.setattr(split, "fraction", lambda salt, group: int(group[:2]) / 100)


def items_of(groups):
    """Items from {group: labels}."""
    return [Item(f"{group}/{n}", group, label) for group, labels in groups.items() for n, label in enumerate(labels)]


def homes(fold, items):
    return {item.group: fold.splits[item.id] for item in items}


@pytest.mark.parametrize(
    ("val", "test", "expected"),
    [
        (0.2, 0.3, {"00": "test", "29": "test", "30": "val", "49": "val", "50": "train", "99": "train"}),
        (0.0, 0.3, {"00": "test", "29": "test", "30": "train", "49": "train", "50": "train", "99": "train"}),
        (0.5, 0.0, {"00": "val", "29": "val", "30": "val", "49": "val", "50": "train", "99": "train"}),
        (0.0, 0.0, dict.fromkeys(("00", "29", "30", "49", "50", "99"), "train")),
    ],
)
def test_test_comes_first_then_val_then_train(placed, val, test, expected):
    items = items_of(dict.fromkeys(expected, "xy"))
    assert homes(split.assign(items, SplitConfig(val=val, test=test)), items) == expected


def test_a_salt_moves_groups_and_nothing_else_does():
    places = {split.fraction(salt, "g") for salt in ("", "a", "b")}
    assert len(places) == 3
    assert all(0 <= place < 1 for place in places)
    assert split.fraction("a", "b") != split.fraction("", "ab") != split.fraction("ab", "")


@pytest.mark.parametrize(("item", "where"), [(Item("i", "g", "x"), "i"), (Item("i", "g", "x", row="line 4"), "line 4")])
def test_errors_name_the_row_or_else_the_id(item, where):
    assert item.where == where
    with pytest.raises(DataError, match=rf"^{where}: column 'part' says None, expected one of train, val, test"):
        split.assign([item], SplitConfig(column="part"))


def test_ids_that_are_used_twice_name_both_rows():
    rows = [Item("x", "g", "a", row="line 2"), Item("y", "g", "a", row="line 3"), Item("x", "g", "a", row="line 9")]
    with pytest.raises(DataError, match=r"id 'x' is used twice \(line 2 and line 9\); .*data.options.id names"):
        split.unique_ids(rows)
    split.unique_ids(rows[:2])


def test_folds_of_three_groups_by_hand(placed):
    """The largest group goes first; each next one goes where its label is scarce."""
    items = items_of({"10": "aab", "20": "ab", "30": "a"})
    found = split.folds(items, 3, SplitConfig(val=0.5))
    assert [fold.name for fold in found] == ["fold_0", "fold_1", "fold_2"]
    assert [homes(fold, items) for fold in found] == [
        {"10": "test", "20": "val", "30": "train"},
        {"10": "val", "20": "test", "30": "train"},
        {"10": "val", "20": "train", "30": "test"},
    ]


def test_folds_without_validation(placed):
    items = items_of({"10": "ab", "20": "ab"})
    found = split.folds(items, 2, SplitConfig(val=0.0))
    assert [homes(fold, items) for fold in found] == [{"10": "test", "20": "train"}, {"10": "train", "20": "test"}]


def test_more_folds_than_groups():
    with pytest.raises(DataError, match=r"data.folds=3 needs at least 3 groups, the data has 2"):
        split.folds(items_of({"10": "a", "20": "b"}), 3, SplitConfig())


@pytest.mark.parametrize(
    ("share", "kept"),
    [
        (0.05, {"10", "30"}),
        (0.2, {"10", "30"}),
        (0.35, {"10", "30"}),
        (0.55, {"10", "30", "50"}),
        (1.0, {"10", "30", "50", "70"}),
    ],
)
def test_a_share_keeps_the_first_group_of_each_label(placed, share, kept):
    items = items_of({"10": "aa", "30": "b", "50": "a", "70": "b"})
    fold = Fold("f", {item.id: "train" for item in items})
    thinned = split.thin(items, fold, share, "s")
    assert {group for group, home in homes(thinned, items).items() if home == "train"} == kept
    assert set(thinned.splits.values()) <= {"train", UNUSED}
    assert thinned.name == "f"


def test_a_share_leaves_val_and_test_as_they_are(placed):
    items = items_of({"90": "a", "91": "a", "92": "a"})
    fold = Fold("", {"90/0": "train", "91/0": "val", "92/0": "test"})
    assert split.thin(items, fold, 0.01, "").splits == fold.splits


@pytest.mark.parametrize(
    ("wanted", "kept"),
    [
        (0, set()),
        (1, {"10"}),
        (2, {"10"}),
        (3, {"10", "20"}),
        (4, {"10", "20", "30"}),
        (99, {"10", "20", "30", "40"}),
    ],
)
def test_a_limit_goes_round_the_labels(placed, wanted, kept):
    """`a` has the groups 10 (2 rows) and 30, `b` has 20 and 40: 10, 20, 30, 40 is the order."""
    items = items_of({"40": "b", "30": "a", "20": "b", "10": "aa"})
    assert split.limit(items, wanted, "s") == kept


def test_a_group_queues_under_its_commonest_label(placed):
    items = items_of({"10": "abb", "20": "ab", "30": "a"})  # 10 under b; 20 under a, the first of two
    assert split.limit(items, 1, "s") == {"20"}
    assert split.limit(items, 3, "s") == {"20", "10"}


def test_no_items_at_all():
    assert split.limit([], 5, "") == set()
    assert split.assign([], SplitConfig()) == Fold("", {})
    assert split.leaks([], Fold("", {})) == split.conflicts([]) == []


def test_the_balance_counts_zeros_and_leaves_the_unused_out():
    items = items_of({"1": "aab", "2": "a", "3": "b"})
    fold = Fold("", {"1/0": "train", "1/1": "train", "1/2": "train", "2/0": "test", "3/0": UNUSED})
    assert split.balance(items, fold, ("a", "b", "c")) == {
        "train": {"a": 2, "b": 1, "c": 0},
        "val": {"a": 0, "b": 0, "c": 0},
        "test": {"a": 1, "b": 0, "c": 0},
    }


def test_what_a_missing_class_is_told_as():
    counts = {"train": {"a": 3, "b": 0, "c": 0}, "val": {"a": 0, "b": 0, "c": 0}, "test": {"a": 1, "b": 1, "c": 1}}
    with pytest.raises(DataError, match=r"^no example of 'b', 'c' in train \(3 examples\): .*Groups move whole"):
        split.check_classes(counts, DataConfig())
    assert split.check_classes(counts, DataConfig(limit=4)) == [
        "no example of 'b', 'c' in train (3 examples).",
        "no example of 'a', 'b', 'c' in val (0 examples).",
    ]
