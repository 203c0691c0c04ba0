from pathlib import Path

import pytest
from PIL import Image

from finetune.config.schema import Config, DataConfig, SplitConfig, TaskConfig
from finetune.data import example_files
from finetune.data import source as dataset
from finetune.data import source_digest as source_of
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Box, Example, ImageRef, Message
from finetune.rundir import RunDir


def source(folder, table="image,label\na.png,0\nb.png,1\n"):
    (folder / "labels.csv").write_text(table, encoding="utf-8")
    for n, name in enumerate(("a.png", "b.png")):
        Image.new("RGB", (4, 4), (n, n, n)).save(folder / name)
    return folder


def config_of(path, task=None, **options):
    return Config(data=DataConfig(adapter="table", path=str(path), options=options), task=task or TaskConfig())


def test_options_carry_group_and_split_column():
    data = DataConfig(adapter="table", group="lot", split=SplitConfig(column="part"), options={"relabel": {"0": "x"}})
    options = dataset.options(data)
    assert (options.group, options.split, options.label) == ("lot", "part", "label")


def test_all_wrong_options_in_one_message():
    with pytest.raises(ConfigError) as error:
        dataset.options(DataConfig(adapter="table", options={"lable": "x", "frame": "one"}))
    assert "data.options.lable: there is no such key. Did you mean data.options.label?" in str(error.value)
    assert "data.options.frame: got 'one'" in str(error.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DataConfig(adapter="table", options={"group": "x"}), r"data.options.group: say it as data.group instead"),
        (DataConfig(adapter="synthetic", group="x"), r"data.group: the adapter synthetic takes none, got 'x'"),
        (DataConfig(split=SplitConfig(column="x")), r"data.split.column: the adapter image_folder takes none"),
        (DataConfig(options={"window": [1]}), r"data.options.window: got \[1\], expected \[LOW,HIGH\]"),
        (DataConfig(options={"window": [5, 5]}), r"expected \[LOW,HIGH\], two different raw values"),
    ],
)
def test_options_that_belong_elsewhere(data, message):
    with pytest.raises(ConfigError, match=message):
        dataset.options(data)


def test_a_relabel_value_that_is_not_text():
    with pytest.raises(ConfigError, match=r"data.options.relabel.0: got true \(a YAML boolean\), expected text"):
        dataset.relabelling(DataConfig(options={"relabel": {"0": True}}))


def test_relabel_and_its_missing_entry(tmp_path):
    first, second = dataset.examples(config_of(source(tmp_path), relabel={"0": "good"}), tmp_path)
    assert isinstance(first, Example)
    assert first.target == "good"
    assert second == BadRow(
        "labels.csv line 3", "b.png", "label '1' has no entry in data.options.relabel, which has '0'"
    )


def test_a_label_outside_the_declared_ones(tmp_path):
    _, second = dataset.examples(config_of(source(tmp_path), TaskConfig(labels=("0", "2"))), tmp_path)
    assert isinstance(second, BadRow)
    assert second.reason.startswith("label '1' is none of task.labels ('0', '2')")


def test_image_root_is_the_source_or_the_run(tmp_path):
    run = RunDir(tmp_path / "run")
    assert dataset.image_root(config_of(source(tmp_path)), run) == tmp_path
    assert dataset.image_root(config_of(tmp_path / "labels.csv"), run) == tmp_path
    assert dataset.image_root(Config(data=DataConfig(adapter="synthetic")), run) == tmp_path / "run" / "data"


def test_a_row_comes_back_as_it_went(tmp_path):
    example = Example(
        "caf\u00e9/1",
        (ImageRef("a.png", frame=1, window=(0.0, 9.0)), ImageRef("b.png")),
        "yes",
        "g",
        messages=(Message("user", "\u2028?"),),
        split="val",
        rejected="no",
        boxes=(Box(0.0, 1.0, 2.0, 3.0, "x"),),
        meta={"site": "n"},
        row="labels.csv line 2",
    )
    run = RunDir(tmp_path)
    run.write_jsonl(run.data / "val.jsonl", [example_files.to_row(example)])
    assert example_files.read_split(run.data / "val.jsonl") == [example]
    with pytest.raises(DataError, match=r"train.jsonl does not exist; run the stage prepare first"):
        example_files.read_split(run.data / "train.jsonl")


def test_labels_of_a_run(tmp_path):
    run = RunDir(tmp_path)
    with pytest.raises(DataError, match=r"run the stage prepare first"):
        example_files.labels(run)
    run.write_json(run.summary, {"labels": ["b", "a"]})
    assert example_files.labels(run) == ("b", "a")


def test_the_source_digest_sees_labels_pixels_and_missing_files(tmp_path):
    config = config_of(source(tmp_path))
    seen = [source_of.content(config), source_of.content(config)]
    assert seen[0] == seen[1]
    Image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / "b.png")
    seen.append(source_of.content(config))
    (tmp_path / "labels.csv").write_text("image,label\na.png,0\nb.png,2\n", encoding="utf-8")
    seen.append(source_of.content(config))
    (tmp_path / "b.png").unlink()
    seen.append(source_of.content(config))
    assert len(set(seen)) == 4


def test_the_source_digest_does_not_depend_on_the_place(tmp_path):
    places = [tmp_path / name for name in ("here", "there")]
    for place in places:
        place.mkdir()
        source(place)
    assert len({source_of.content(config_of(place)) for place in places}) == 1


def test_home_is_expanded():
    assert dataset.source_path(DataConfig(path="~/x")) == Path.home() / "x"
    assert dataset.source_path(DataConfig()) is None
