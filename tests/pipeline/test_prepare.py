import dataclasses
import json
from collections import Counter

import pytest
from PIL import Image

from finetune.config.convert import to_dataclass
from finetune.config.schema import Config, DataConfig, SplitConfig, TaskConfig
from finetune.data import example_files
from finetune.data import source as dataset
from finetune.errors import DataError
from finetune.pipeline import prepare
from finetune.rundir import RunDir, read_json, read_jsonl, sha256_file

TASK = TaskConfig(question="State? {labels}", labels=("good", "cut"))


def folder_of(root, parts=20, views=2):
    """`parts` parts of `views` images, half of them cut; every image has its own colour."""
    for part in range(parts):
        for view in range(views):
            place = root / ("cut" if part % 2 else "good") / f"p{part:02d}_{view}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (4, 4), (part, view, 0)).save(place)
    return root


def config_of(path, task=TASK, **data):
    return Config(data=DataConfig(**{"path": str(path), "group": "regex:p\\d+"} | data), task=task)


@pytest.fixture
def source(tmp_path):
    return folder_of(tmp_path / "source")


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "run")


def summary_of(config, run):
    prepare.run(config, run)
    return read_json(run.summary)


def test_every_file_of_data_is_written_and_returned(source, run):
    written = prepare.run(config_of(source), run)
    assert {path.relative_to(run.root).as_posix() for path in written} == {
        "data/train.jsonl", "data/val.jsonl", "data/test.jsonl", "data/manifest.jsonl", "data/quarantine.jsonl",
        "data/summary.json",
    }  # fmt: skip
    summary = read_json(run.summary)
    assert {name: summary[name] for name in ("read", "kept", "quarantined", "by_label", "labels", "root", "leaks")} == {
        "read": 40,
        "kept": 40,
        "quarantined": 0,
        "by_label": {"cut": 20, "good": 20},
        "labels": ["good", "cut"],
        "root": "source",
        "leaks": [],
    }
    assert sum(summary["by_split"].values()) == 40
    assert sum(summary["groups"].values()) == 20
    assert sum(sum(counts.values()) for counts in summary["balance"].values()) == 40


def test_manifest_and_split_files_agree(source, run):
    prepare.run(config_of(source), run)
    manifest = {row["id"]: row for row in read_jsonl(run.manifest)}
    for name in ("train", "val", "test"):
        for example in example_files.read_split(run.data / f"{name}.jsonl"):
            row = manifest.pop(example.id)
            image = source / row["path"]
            assert (row["split"], row["label"], row["group"]) == (name, example.target, example.group)
            assert (row["sha256"], row["bytes"], row["meta"]) == (sha256_file(image), image.stat().st_size, {})
            assert [message.text for message in example.messages] == ["State? good, cut"]
    assert manifest == {}


def test_split_rows_hold_the_keys_of_the_contract(source, run):
    prepare.run(config_of(source), run)
    row = next(read_jsonl(run.data / "train.jsonl"))
    assert {"id", "images", "messages", "target", "rejected", "boxes", "group", "meta"} <= set(row)
    assert row["images"] == [
        {"path": row["group"] and row["images"][0]["path"], "member": None, "frame": None, "window": None}
    ]
    assert (row["rejected"], row["boxes"]) == (None, None)


def test_folds_test_everything_once(source, run):
    config = config_of(source, folds=4)
    prepare.run(config, run)
    tested = [e.id for part in run.parts(4) for e in example_files.read_split(part.split("test"))]
    assert len(tested) == len(set(tested)) == 40
    homes = {row["id"]: row["split"] for row in read_jsonl(run.manifest)}
    for part in run.parts(4):
        assert {e.id for e in example_files.read_split(part.split("test"))} == {
            i for i, home in homes.items() if home == part.name
        }
        assert all(path.exists() for path in (part.split("train"), part.split("val")))
    assert set(read_json(run.summary)["by_split"]) == {"fold_0", "fold_1", "fold_2", "fold_3"}


def test_limit_counts_what_it_leaves_out(source, run):
    summary = summary_of(config_of(source, limit=12), run)
    assert (summary["read"], summary["kept"], summary["left_out_by_limit"]) == (12, 12, 28)
    assert sum(summary["by_split"].values()) == 12


@pytest.mark.parametrize("policy", ["fail", "quarantine"])
def test_a_truncated_image(source, run, policy):
    broken = source / "good" / "p00_0.png"
    Image.effect_noise((64, 64), 50).save(broken, "jpeg")
    broken.write_bytes(broken.read_bytes()[:-200])
    config = config_of(source, on_bad_row=policy)
    if policy == "fail":
        with pytest.raises(DataError, match=r"good/p00_0.png.*\n.*data.on_bad_row=quarantine"):
            prepare.run(config, run)
        return
    summary = summary_of(config, run)
    assert (summary["read"], summary["kept"], summary["quarantined"]) == (40, 39, 1)
    [row] = read_jsonl(run.quarantine)
    assert (row["row"], row["path"]) == ("good/p00_0.png", "good/p00_0.png")
    assert "p00_0.png' cannot be decoded" in row["reason"]


def test_more_bad_rows_than_the_limit(source, run):
    for view in (0, 1):
        (source / "good" / f"p00_{view}.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"more than data.bad_row_limit=1 rows are bad; the first are\ngood/p00_0.png"):
        prepare.run(config_of(source, on_bad_row="quarantine", bad_row_limit=1), run)


def test_a_missing_image_is_told_with_row_and_file(tmp_path, run):
    (tmp_path / "labels.csv").write_text("image,label\ngone.png,cut\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"labels.csv line 2 \(gone.png\): image 'gone.png' does not exist"):
        prepare.run(config_of(tmp_path, adapter="table", group=None), run)


def test_only_bad_rows(tmp_path, run):
    (tmp_path / "labels.csv").write_text("image,label\ngone.png,cut\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"all 1 rows are bad, the first: labels.csv line 2 \(gone.png\)"):
        prepare.run(config_of(tmp_path, adapter="table", group=None, on_bad_row="quarantine"), run)


def test_an_empty_folder(tmp_path, run):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no rows: image_folder found no images"):
        prepare.run(config_of(tmp_path / "empty"), run)


@pytest.mark.parametrize("path", [None, "gone"])
def test_no_source_says_what_to_give(run, path):
    config = Config(data=DataConfig(path=path), task=TASK)
    for stage in (lambda: prepare.run(config, run), lambda: prepare.sources(config)):
        with pytest.raises(DataError, match=r"data.path.*one sub-folder a class"):
            stage()


def test_a_class_missing_in_train(source, run):
    with pytest.raises(DataError, match=r"no example of 'dent' in train \(\d+ examples\)"):
        prepare.run(config_of(source, dataclasses.replace(TASK, labels=("good", "cut", "dent"))), run)


def test_one_label_is_not_enough(tmp_path, run):
    folder_of(tmp_path / "one", parts=1)
    with pytest.raises(DataError, match=r"has one label, 'good'; at least two"):
        prepare.run(config_of(tmp_path / "one", TaskConfig()), run)


def test_duplicates_and_conflicts_are_found_and_printed(source, run, capsys):
    prepare.run(config_of(source), run)
    splits = {row["path"]: row["split"] for row in read_jsonl(run.manifest)}
    test = next(path for path, split in splits.items() if split == "test")
    other = next(path for path, split in splits.items() if split == "train" and path[:3] != test[:3])
    (source / other).write_bytes((source / test).read_bytes())
    summary = summary_of(config_of(source), run)
    assert [sorted(leak["ids"]) for leak in summary["leaks"]] == [sorted([f"{test}#1", f"{other}#1"])]
    assert [conflict["labels"] for conflict in summary["conflicts"]] == [["cut", "good"]]
    told = capsys.readouterr()
    assert "warning: 1 findings of equal or nearly equal images in more than one split" in told.err
    assert told.out == ""


def test_the_table_on_standard_error_shows_split_by_label(source, run, capsys):
    summary = summary_of(config_of(source), run)
    lines = [line.split() for line in capsys.readouterr().err.splitlines()]
    counts = summary["balance"]["test"]
    row = ["test", counts["good"], counts["cut"], summary["by_split"]["test"], summary["groups"]["test"]]
    assert [str(cell) for cell in row] in lines


def test_a_source_that_writes_its_images(run):
    options = {"parts": 24, "views": 1, "side_px": 32}
    config = Config(
        data=DataConfig(adapter="synthetic", options=options, split=SplitConfig(val=0, test=0)), task=TaskConfig()
    )
    summary = summary_of(config, run)
    assert (summary["root"], summary["kept"]) == ("run", 24)
    path = next(read_jsonl(run.manifest))["path"]
    assert (run.data / path).is_file()


def test_reads_is_json_and_knows_data_and_task(source, run):
    first = prepare.reads(config_of(source), run)
    assert json.loads(json.dumps(first))["data"]["group"] == "regex:p\\d+"
    assert first != prepare.reads(config_of(source, limit=3), run)
    assert first != prepare.reads(config_of(source, TaskConfig()), run)


def test_sources_change_with_the_data(source, run):
    before = prepare.sources(config_of(source))
    (source / "good" / "p00_0.png").unlink()
    assert prepare.sources(config_of(source)) != before


@pytest.mark.shared_data
def test_solar_cells(shared_data, run):
    tree = {
        "adapter": "table",
        "path": str(shared_data / "elpv"),
        "group": "pseudo_module",
        "options": {"images": "images", "image": "filename", "label": "defective", "relabel": {"0": "ok", "1": "bad"}},
    }
    config = Config(data=to_dataclass(tree, DataConfig), task=TaskConfig())
    cells = list(dataset.examples(config, run.images))
    assert Counter(cell.target for cell in cells) == {"bad": 655, "ok": 1444}
    assert len({cell.group for cell in cells}) == 44
    limited = dataclasses.replace(config, data=dataclasses.replace(config.data, limit=150, folds=2))
    assert summary_of(limited, run)["quarantined"] == 0


def test_labels_that_differ_in_case_alone_are_refused(source, run):
    (source / "Good").mkdir()
    Image.new("RGB", (4, 4), (200, 0, 0)).save(source / "Good" / "p90_0.png")
    with pytest.raises(DataError, match=r"labels 'Good' and 'good' differ only in case or blanks"):
        prepare.run(config_of(source, TaskConfig(question="State? {labels}")), run)
