"""Tiles through the stages: what `prepare` writes, and answers about tiles as one answer about the image."""

from dataclasses import replace

import numpy as np
import pytest
import synthetic
from PIL import Image
from scripted import asked, rule

from finetune.config.schema import Config, DataConfig, EvaluateConfig, SplitConfig, TaskConfig, TilesConfig
from finetune.data import example_files, tiles
from finetune.data import source as dataset
from finetune.evaluation import comparison, decision_units
from finetune.evaluation.pairing import Test
from finetune.example import Prediction
from finetune.images import decode as pixels
from finetune.pipeline import prepare
from finetune.recompute import headline
from finetune.recompute.rows import Setting
from finetune.rundir import RunDir, read_json, read_jsonl, sha256_file

SIDE = 60


@pytest.fixture
def source(tmp_path):
    """Twelve parts of 60 x 60 pixels, every second with a dent of 4 x 4; an equal picture among the good ones."""
    generator = np.random.default_rng(0)
    for n in range(12):
        values = generator.integers(100, 140, (SIDE, SIDE), dtype=np.uint8)
        mask = np.zeros((SIDE, SIDE), np.uint8)
        if n % 2:
            values[10:14, 4 * n : 4 * n + 4] = 0
            mask[10:14, 4 * n : 4 * n + 4] = 255
        for folder, picture in (("images", values), ("masks", mask)):
            (tmp_path / "source" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(tmp_path / "source" / folder / f"{n:02d}.png")
    return tmp_path / "source"


def config_of(path, decode="full", folds=0, **more):
    data = DataConfig(
        adapter="masks",
        path=str(path),
        decode=decode,
        folds=folds,
        split=SplitConfig(val=0.1, test=0.4, salt="b"),
        tiles=TilesConfig(**{"size": 32, "overlap": 4, "empty": "good"} | more),
    )
    task = TaskConfig(question="State? {labels}", labels=("good", "defect"))
    return Config(data=data, task=task, evaluate=EvaluateConfig(aggregate="any"))


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "run")


def test_prepare_writes_tiles_and_counts_images(source, run):
    prepare.run(config_of(source, keep_empty=0.5), run)
    summary = read_json(run.summary)
    assert (summary["read"], summary["kept"], summary["quarantined"]) == (12, 12, 0)
    assert summary["tiles"]["made"] == 48
    assert (summary["tiles"]["boxes"], summary["left_out_by_share"]) == (6, 0)
    assert summary["by_split"]["unused"] == summary["tiles"]["left_out_empty"] > 0
    assert sum(summary["by_split"].values()) == 48
    rows = list(read_jsonl(run.manifest))
    homes = {}
    for row in rows:
        homes.setdefault(row["group"], set()).add(row["split"])
        assert row["sha256"] == sha256_file(source / row["path"])
    assert all(len(splits - {"unused"}) == 1 for splits in homes.values())
    assert {row["label"] for row in rows if row["split"] == "unused"} == {"good"}
    config = config_of(source)
    for example in example_files.read_split(run.parts(0)[0].split("test")):
        (ref,) = example.images
        picture = pixels.load(dataset.image_root(config, run), ref)
        own = next(row["pixels_sha256"] for row in rows if row["id"] == example.id)
        assert own == pixels.digest([picture])
        assert example.target == ("defect" if np.asarray(picture).min() == 0 else "good")
        assert example.whole.size == (SIDE, SIDE)


def test_without_decoding_the_same_tiles(source, run, tmp_path):
    other = RunDir(tmp_path / "other")
    prepare.run(config_of(source), run)
    prepare.run(config_of(source, "headers"), other)
    for name in ("train", "val", "test"):
        assert run.parts(0)[0].split(name).read_bytes() == other.parts(0)[0].split(name).read_bytes()
    assert read_json(other.summary)["conflicts"] == []


def test_equal_images_in_two_splits_are_one_finding(source, run):
    (source / "images" / "00.png").write_bytes((source / "images" / "02.png").read_bytes())
    prepare.run(config_of(source, folds=3), run)
    leaks = read_json(run.summary)["leaks"]
    assert [len(leak["ids"]) for leak in leaks] in ([], [8])


def test_a_row_whose_tiles_have_no_label_is_set_aside(source, run):
    config = config_of(source)
    config = replace(config, data=replace(config.data, tiles=replace(config.data.tiles, empty="defect")))
    config = replace(config, data=replace(config.data, on_bad_row="quarantine"))
    with pytest.raises(Exception, match=r"all 12 rows are bad, the first: images/00.png: has the answer 'good' and no"):
        prepare.run(config, run)


def tiled(golds, wholes, kind="classify"):
    """Two tiles of 10 x 10 side by side for each image of 10 x 20."""
    test = asked(golds, [f"part{n // 2}" for n in range(len(golds))], labels=("good", "bad"), positive=None)
    examples = []
    for n, example in enumerate(test.examples):
        base = replace(example, id=f"im{n // 2}", target=wholes[n // 2], boxes=())
        part = tiles.pieces(base, (10, 20), TilesConfig(size=10))[n % 2]
        examples.append(replace(part, target=golds[n]))
    labels = ("good", "bad", "worse") if kind == "classify" else ()
    return replace(test, labels=labels, examples=tuple(examples), task=kind, negative="good")


def said(test: Test, answers, outcomes=None):
    return [
        Prediction(e.id, "0", e.question, e.target, a or "", a, (outcomes or {}).get(n) or
                   ("correct" if a == e.target else "wrong"), None, 1.0, "m", "p", e.group)
        for n, (e, a) in enumerate(zip(test.examples, answers, strict=True))
    ]  # fmt: skip


def recomputed(test, rows, evaluate):
    tree = {example.id: example for example in test.examples}
    setting = Setting(test.labels, evaluate, None, 0, test.folds, [{}] * len(rows), test.task, test.negative, tree)
    return headline.expected({"tuned": synthetic.rows(rows)}, {}, setting)


def test_an_image_is_what_any_of_its_tiles_shows():
    """Without a positive label, what is not the answer of an empty tile counts."""
    test = tiled(["good", "worse", "good", "good", "bad", "bad"], ["worse", "good", "bad"])
    evaluate = replace(rule(aggregate="any"), positive=None)
    rows = said(test, ["good", "worse", "good", "bad", "good", None], {5: "unparsed"})
    joined = decision_units.aggregate(rows, test, evaluate)
    assert [(row.gold, row.answer, row.outcome) for row in joined] == [
        ("worse", "worse", "correct"),
        ("good", "bad", "wrong"),
        ("bad", None, "unparsed"),
    ]
    whole = decision_units.by_unit(test, evaluate)
    assert [example.target for example in whole.examples] == ["worse", "good", "bad"]
    found = comparison.compare(test, {"tuned": rows}, {}, evaluate)
    assert (found["n"], found["estimand"]["images"]) == (3, 6)
    assert "any of its tiles" in found["estimand"]["text"]
    again = recomputed(test, rows, evaluate)
    assert again["models"]["tuned"]["accuracy"] == pytest.approx(found["models"]["tuned"]["accuracy"])
    assert again["n"] == 3


def test_boxes_of_tiles_are_scored_on_the_image():
    """im0: one dent, found; im1: nothing there, and a tile that failed; im2: the service failed."""
    whole = '[{"label": "dent", "box": [200, 200, 400, 400]}]'
    test = tiled(['[{"label": "dent", "box": [400, 200, 800, 400]}]', *["[]"] * 5], [whole, "[]", "[]"], "detect")
    evaluate = replace(rule(aggregate="nms"), positive=None)
    answers = ['[{"label": "dent", "box": [410, 210, 800, 400]}]', "[]", "[]", None, "[]", None]
    rows = said(test, answers, {3: "unparsed", 5: "api_error"})
    joined = decision_units.aggregate(rows, test, evaluate)
    assert [row.outcome for row in joined] == ["correct", "wrong", "api_error"]
    assert joined[0].answer == '[{"label": "dent", "box": [205, 210, 400, 400]}]'
    assert joined[2].answer is None
    found = comparison.compare(test, {"tuned": rows}, {}, evaluate)
    assert found["models"]["tuned"]["f1_iou50"]["value"] == 1.0  # the failed tile found nothing, as there is nothing
    assert found["models"]["tuned"]["accuracy"]["value"] == 0.5
    again = recomputed(test, rows, evaluate)["models"]["tuned"]
    assert again.keys() == found["models"]["tuned"].keys()
    assert all(score == pytest.approx(found["models"]["tuned"][name]) for name, score in again.items())
    assert [e.target for e in decision_units.by_unit(test, evaluate).examples] == [whole, "[]", "[]"]


def test_a_failed_image_has_no_answer():
    test = tiled(["[]", "[]"], ["[]"], "detect")
    (row,) = decision_units.aggregate(
        said(test, [None, None], {0: "truncated", 1: "unparsed"}), test, rule(aggregate="nms")
    )
    assert (row.answer, row.outcome, row.seconds) == (None, "truncated", 2.0)
