"""A detection set must hold boxes of the labels that it is asked for."""

import pytest
from adapters.sources import picture, save

from finetune.config.schema import Config, DataConfig, TaskConfig
from finetune.errors import DataError
from finetune.pipeline import prepare
from finetune.rundir import RunDir, read_json


def prepared(root, text, labels, **data):
    """24 images of YOLO with one label file each; the summary."""
    for number in range(24):
        save(root / "source" / "images" / f"{number}.png", picture(number, (20, 10)))
        place = root / "source" / "labels" / f"{number}.txt"
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
    (root / "source" / "data.yaml").write_text("names: [dent, hole]\n")
    config = Config(
        data=DataConfig(adapter="yolo", path=str(root / "source"), **data),
        task=TaskConfig(kind="detect", question="Find {labels}.", labels=labels),
    )
    run = RunDir(root / "run")
    prepare.run(config, run)
    return read_json(run.summary)


def test_a_set_without_a_box_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none of 24 images has a box of dent, hole\. The task detect learns"):
        prepared(tmp_path, "", ("dent", "hole"))


def test_a_set_whose_boxes_all_have_other_labels_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none of 24 images has a box of scratch\. 24 boxes have other labels"):
        prepared(tmp_path, "0 0.5 0.5 0.5 0.4\n", ("scratch",))


def test_a_label_that_never_occurs_is_refused_by_name(tmp_path):
    with pytest.raises(DataError, match=r"the label 'scratch' of task.labels names no box \(there are dent\)"):
        prepared(tmp_path, "0 0.5 0.5 0.5 0.4\n", ("dent", "scratch"))


def test_under_a_limit_it_is_a_warning(tmp_path):
    summary = prepared(tmp_path, "0 0.5 0.5 0.5 0.4\n", ("dent", "scratch"), limit=12)
    assert summary["warnings"][0] == "the label 'scratch' of task.labels names no box (there are dent)."


def test_a_set_with_its_boxes_is_taken(tmp_path):
    summary = prepared(tmp_path, "0 0.5 0.5 0.5 0.4\n1 0.2 0.2 0.1 0.1\n", ("dent", "hole"))
    assert (summary["kept"], summary["warnings"]) == (24, [])
