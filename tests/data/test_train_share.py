"""A share of the training groups: nested, whole groups, every label, and no trace where it is not used."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from finetune.config.checks import problems
from finetune.config.compose import compose, run_folder
from finetune.config.schema import Config, DataConfig, SplitConfig, TaskConfig
from finetune.data import split
from finetune.data.split import UNUSED, Fold, Item
from finetune.pipeline import prepare
from finetune.rundir import RunDir, read_json, read_jsonl

SOURCES = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4), st.lists(st.sampled_from("xyz"), min_size=1, max_size=4), min_size=1
)


def items_of(groups):
    return [Item(f"{group}/{n}", group, label) for group, labels in groups.items() for n, label in enumerate(labels)]


def in_train(fold, items):
    return {item.group for item in items if fold.splits[item.id] == "train"}


@settings(max_examples=60)
@given(SOURCES, st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_shares_are_nested_whole_and_touch_nothing_but_training(groups, one, other):
    items, (small, large) = items_of(groups), sorted((one, other))
    fold = split.assign(items, SplitConfig(val=0.2, test=0.2))
    less, more = split.thin(items, fold, small, "s"), split.thin(items, fold, large, "s")
    assert in_train(less, items) <= in_train(more, items) <= in_train(fold, items)
    for item in items:
        assert less.splits[item.id] == less.splits[f"{item.group}/0"]
        if fold.splits[item.id] != "train":
            assert less.splits[item.id] == fold.splits[item.id]
        else:
            assert less.splits[item.id] in ("train", UNUSED)
    labels = {item.label for item in items if fold.splits[item.id] == "train"}
    assert {item.label for item in items if less.splits[item.id] == "train"} == labels


def test_the_share_comes_out_over_many_groups():
    items = items_of({f"g{n}": "x" for n in range(4000)})
    fold = Fold("", {item.id: "train" for item in items})
    for share in (0.1, 0.25, 0.5):
        assert abs(len(in_train(split.thin(items, fold, share, ""), items)) / 4000 - share) < 0.02
    assert split.thin(items, fold, 1.0, "") is fold


def test_what_is_left_out_is_no_leak():
    items = [Item("1", "g", "x", "same"), Item("2", "h", "x", "same")]
    assert split.leaks(items, Fold("", {"1": UNUSED, "2": "test"})) == []


@pytest.fixture
def source(tmp_path):
    for part in range(40):
        place = tmp_path / "source" / ("cut" if part % 4 == 0 else "good") / f"p{part:02d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (part, 0, 0)).save(place)
    return tmp_path / "source"


def prepared(source, root, share, **data):
    run = RunDir(root)
    config = Config(
        data=DataConfig(path=str(source), train_share=share, **data), task=TaskConfig(labels=("good", "cut"))
    )
    prepare.run(config, run)
    return run


def test_prepare_counts_what_it_leaves_out(source, tmp_path):
    whole, half = prepared(source, tmp_path / "a", 1.0), prepared(source, tmp_path / "b", 0.5)
    for name in ("val", "test"):
        assert (half.data / f"{name}.jsonl").read_bytes() == (whole.data / f"{name}.jsonl").read_bytes()
    rows = {run: {row["id"] for row in read_jsonl(run.data / "train.jsonl")} for run in (whole, half)}
    assert rows[half] < rows[whole]
    summary = read_json(half.summary)
    assert summary["left_out_by_share"] == summary["by_split"][UNUSED] == len(rows[whole] - rows[half]) > 0
    assert summary["kept"] == sum(summary["by_split"].values()) == 40
    assert {row["id"] for row in read_jsonl(half.manifest) if row["split"] == UNUSED} == rows[whole] - rows[half]
    assert read_json(whole.summary)["left_out_by_share"] == 0


def test_folds_lose_training_groups_and_no_test(source, tmp_path):
    run = prepared(source, tmp_path / "a", 0.5, folds=2)
    tested = [row["id"] for part in run.parts(2) for row in read_jsonl(part.split("test"))]
    assert len(tested) == len(set(tested)) == 40
    assert read_json(run.summary)["left_out_by_share"] > 0


def test_the_share_is_part_of_the_runs_name():
    plain = compose(["recipe=defects"])
    assert run_folder(compose(["recipe=defects", "data.train_share=1.0"])) == run_folder(plain)
    assert run_folder(compose(["recipe=defects", "data.train_share=0.5"])) != run_folder(plain)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_shares_out_of_range(share):
    config = dataclasses.replace(Config(), data=DataConfig(train_share=share))
    assert f"data.train_share: got {share:g}, expected a share above 0 and up to 1" in problems(config)
