"""What near-duplicates mean: leaks, groups under two names, other labels, joined groups. Numbers by hand."""

from finetune.data.duplicates import leaks
from finetune.data.duplicates.leaks import Near
from finetune.data.duplicates.search import Pair
from finetune.data.split import UNUSED, Item


def items(*rows):
    return [Item(name, group, label, pixels) for name, group, label, pixels in rows]


def near(*pairs, numbers="abcdefgh"):
    return Near([Pair(*pair, False) for pair in pairs], {name: n for n, name in enumerate(numbers)}, "", True)


FOUR = items(("1", "g", "x", "a"), ("2", "h", "x", "b"), ("3", "i", "y", "c"), ("4", "i", "y", "c"))


def test_a_pair_in_two_splits_is_a_leak_and_one_within_is_none():
    splits = {"1": "train", "2": "test", "3": "train", "4": "train"}
    assert leaks.leaks(FOUR, splits, near((0, 1, 0.002), (0, 2, 0.001))) == [
        {"kind": "near", "ids": ["1", "2"], "groups": ["g", "h"], "splits": ["test", "train"], "distance": 0.002,
         "mirrored": False}
    ]  # fmt: skip


def test_linked_pictures_are_one_finding_with_every_example_that_shows_them():
    splits = {"1": "train", "2": "test", "3": "train", "4": "train"}
    [found] = leaks.leaks(FOUR, splits, near((0, 1, 0.002), (1, 2, 0.001)))
    assert (found["ids"], found["distance"]) == (["1", "2", "3", "4"], 0.001)


def test_unused_examples_leak_nowhere():
    splits = {"1": UNUSED, "2": "test", "3": "train", "4": "train"}
    assert leaks.leaks(FOUR, splits, near((0, 1, 0.002))) == []


def test_pictures_that_were_not_kept_are_passed_over():
    assert leaks.leaks(FOUR, dict.fromkeys("1234", "train"), near((0, 7, 0.002))) == []
    assert leaks.leaks([], {}, near((0, 1, 0.002))) == []


def test_a_group_under_two_names_is_told_and_its_examples_are_suspects():
    films = items(*[(f"p97/{n}", "p97", "x", n) for n in "abcd"], *[(f"p178/{n}", "p178", "x", n) for n in "efgh"])
    pairs = near((0, 4, 0.001), (1, 5, 0.001), (2, 6, 0.001))
    twins = leaks.twin_groups(films, pairs)
    assert twins == [{"groups": ["p178", "p97"], "pictures": 3, "of": 4}]
    splits = {item.id: "test" if item.group == "p97" else "train" for item in films}
    assert leaks.twin_leaks(twins, films, splits) == [
        {"kind": "group", "ids": sorted(splits), "groups": ["p178", "p97"], "splits": ["test", "train"],
         "distance": 0.0}
    ]  # fmt: skip
    assert leaks.twin_leaks(twins, films, dict.fromkeys(splits, "train")) == []


def test_equal_pixels_count_for_groups_too_and_one_picture_is_not_enough():
    two = items(("1", "g", "x", "a"), ("2", "g", "x", "b"), ("3", "h", "x", "a"), ("4", "h", "x", "b"))
    assert leaks.twin_groups(two, Near()) == [{"groups": ["g", "h"], "pictures": 2, "of": 2}]
    assert leaks.twin_groups(two[:3], Near()) == []


def test_groups_that_share_a_picture_are_joined_under_the_first_name():
    assert leaks.joined(FOUR, near((0, 1, 0.002))) == {"g": "g", "h": "g"}
    assert leaks.joined(FOUR, near((0, 1, 0.002), (1, 2, 0.002))) == {"g": "g", "h": "g", "i": "g"}
    assert leaks.joined(FOUR, Near()) == {}
    assert leaks.joined(items(("1", "b", "x", "a"), ("2", "a", "x", "a"), ("3", "b", "x", "a")), Near()) == {
        "a": "a", "b": "a",
    }  # fmt: skip


def test_other_labels_of_one_question_conflict():
    asked = dict.fromkeys("1234", "")
    pairs = near((0, 1, 0.002), (1, 2, 0.003))
    assert leaks.conflicts(FOUR, pairs, asked) == [
        {"kind": "near", "ids": ["2", "3", "4"], "labels": ["x", "y"], "distance": 0.003}
    ]
    assert leaks.conflicts(FOUR, pairs, asked | {"2": "other"}) == []
