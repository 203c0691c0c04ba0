"""What the rows of an adapter go through before `prepare` keeps them: labels, text that can be written, round trips."""

import json
import os

import pytest
from adapters.sources import picture, save
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.config.schema import Config, DataConfig, SplitConfig, TaskConfig
from finetune.data import example_files, source
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Box, Example, ImageRef, Message
from finetune.rundir import RunDir

TEXT = st.text(max_size=8)
NUMBERS = st.floats(-1e6, 1e6)
REFS = st.builds(
    ImageRef, TEXT, st.none() | TEXT, st.none() | st.integers(0, 9), st.none() | st.tuples(NUMBERS, NUMBERS)
)
EXAMPLES = st.builds(
    Example, TEXT, st.lists(REFS, min_size=1, max_size=3).map(tuple), TEXT, TEXT,
    st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), TEXT), max_size=2).map(tuple),
    st.sampled_from([None, "train", "val"]), st.none() | TEXT,
    st.none() | st.lists(st.builds(Box, *[NUMBERS] * 4, TEXT, st.integers(0, 2)), max_size=2).map(tuple),
    st.dictionaries(TEXT, TEXT, max_size=2), TEXT,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(EXAMPLES)
def test_a_line_gives_back_its_example(example):
    assert example_files.to_example(json.loads(example_files.to_line(example)), example.split) == example
    assert example_files.to_line(example).count("\n") == 1


@pytest.mark.parametrize("field", ["id", "target", "group", "row", "rejected", "split"])
def test_half_a_character_is_no_text(field):
    whole = {"id": "i", "images": (ImageRef("a.png"),), "target": "x", "group": "g", "row": "r"}
    assert source._is_text(Example(**whole))
    assert not source._is_text(Example(**(whole | {field: "\ud800"})))
    assert not source._is_text(Example(**(whole | {"meta": {"site": "\udfff"}})))


def annotated(root, stray):
    """One sound image with its annotation, and an annotation of no image under the name `stray`."""
    save(root / "JPEGImages" / "a.png", picture(0, (20, 10)))
    (root / "Annotations").mkdir()
    (root / "Annotations" / "a.xml").write_text("<annotation/>")
    with open(os.path.join(os.fsencode(root / "Annotations"), stray), "wb") as handle:
        handle.write(b"<annotation/>")
    return Config(data=DataConfig(adapter="voc", path=str(root)), task=TaskConfig(kind="detect", labels=("dent",)))


def test_bad_rows_under_names_that_are_not_utf8_can_be_written_down(tmp_path):
    config = annotated(tmp_path / "in", b"\xff.xml")
    good, bad = source.examples(config, tmp_path)
    assert isinstance(good, Example)
    assert bad == BadRow("'Annotations/\\udcff.xml'", "'Annotations/\\udcff.xml'", "has no image of its name.")
    run = RunDir(tmp_path / "run")
    run.write_jsonl(run.quarantine, [vars(bad)])


def test_bad_rows_under_other_names_stay_as_they_are(tmp_path):
    config = annotated(tmp_path / "in", "\u00fc\n.xml".encode())
    _, bad = source.examples(config, tmp_path)
    assert bad.row == "Annotations/\u00fc\n.xml"


def folders(root, *labels):
    for number, label in enumerate(labels):
        save(root / label / f"{number}.png", picture(number))
    return root


def test_relabelling_merges_and_refuses_what_it_does_not_name(tmp_path):
    path = folders(tmp_path, "crack", "cut", "good")
    options = {"relabel": {"crack": "defect", "cut": "defect"}}
    rows = list(source.examples(Config(data=DataConfig(path=str(path), options=options)), tmp_path))
    assert [row.target for row in rows[:2]] == ["defect", "defect"]
    assert rows[2] == BadRow(
        "good/2.png",
        "good/2.png",
        "label 'good' has no entry in data.options.relabel, which has 'crack', 'cut'",
    )


def test_labels_are_judged_after_they_are_renamed(tmp_path):
    path = folders(tmp_path, "0", "1")
    config = Config(
        data=DataConfig(path=str(path), options={"relabel": {"0": "good", "1": "1"}}),
        task=TaskConfig(labels=("good", "bad")),
    )
    good, bad = source.examples(config, tmp_path)
    assert good.target == "good"
    assert bad.reason.startswith("label '1' is none of task.labels ('good', 'bad')")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relabel": ["a"]}, r"data.options.relabel: got"),
        ({"relabel": {"a": 1}}, r"data.options.relabel.a: got 1"),
        ({"relabel": None}, r"data.options.relabel: got"),
    ],
)
def test_relabel_is_a_map_of_text(options, message):
    with pytest.raises(ConfigError, match=message):
        source.relabelling(DataConfig(options=options))


def test_options_reach_every_adapter_in_its_own_words(tmp_path):
    data = DataConfig(
        adapter="coco",
        group="parent",
        split=SplitConfig(column="path"),
        options={"annotations": ["a.json", "b.json"], "crowd": "drop", "window": [0, 255]},
    )
    options = source.options(data)
    assert (options.annotations, options.crowd, options.group, options.split) == (
        ("a.json", "b.json"),
        "drop",
        "parent",
        "path",
    )
    assert options.window == (0.0, 255.0)


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (DataConfig(adapter="coco", options={"crowd": "keep"}), ["data.options.crowd: got 'keep'"]),
        (DataConfig(adapter="yolo", options={"missing": "no"}), ["data.options.missing: got 'no'"]),
        (DataConfig(adapter="mvtec", options={"layout": "x", "boxes": 1}), ["data.options.layout", "options.boxes"]),
        (DataConfig(adapter="masks", options={"min_area_px": "2"}), ["data.options.min_area_px: got '2'"]),
        (
            DataConfig(options={"split": "a", "site_key": "b"}),
            ["data.options.split: say it as data.split.column instead", "data.options.site_key: say it as data.site"],
        ),
    ],
)
def test_every_wrong_option_is_told_at_once(data, messages):
    with pytest.raises(ConfigError) as error:
        source.options(data)
    assert [message for message in messages if message not in str(error.value)] == []


def test_pictures_that_an_adapter_wrote_are_missed(tmp_path):
    run = RunDir(tmp_path / "run")
    written = Config(data=DataConfig(adapter="webdataset", path=str(tmp_path)))
    assert source.images_present(written, run)  # nothing is prepared, so nothing can be missing
    save(run.data / "images" / "a.png", picture(0))
    size = (run.data / "images" / "a.png").stat().st_size
    run.write_jsonl(run.manifest, [{"path": "images/a.png", "bytes": size}])
    assert source.images_present(written, run)
    (run.data / "images" / "a.png").write_bytes(b"cut")
    assert not source.images_present(written, run)
    (run.data / "images" / "a.png").unlink()
    assert not source.images_present(written, run)
    assert source.images_present(Config(data=DataConfig(path=str(tmp_path))), run)  # the user's own files


def test_test_examples_by_part(tmp_path):
    run = RunDir(tmp_path / "run")
    found = [Example(str(n), (ImageRef("a.png"),), "x", str(n)) for n in range(4)]
    for part, ids in zip(run.parts(2), ([0, 2], [1]), strict=True):
        run.write_jsonl(part.split("test"), [example_files.to_row(found[n]) for n in ids])
    config = Config(data=DataConfig(folds=2))
    parts = [[example.id for example in own] for _, own in example_files.by_part(config, run, found)]
    assert parts == [["0", "2"], ["1"]]


def test_a_split_that_was_never_written(tmp_path):
    with pytest.raises(DataError, match=r"test.jsonl does not exist; run the stage prepare first"):
        example_files.read_split(tmp_path / "test.jsonl")
