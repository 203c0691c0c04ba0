"""`stages=[prepare]` from every kind of source: the same rows whatever the format, skipped when nothing changed."""

import os
import time

import pytest
from acceptance import sources
from PIL import Image

SPLITS = ("train", "val", "test")


def prepare(run, *arguments):
    sources.run("stages=[prepare]", f"run.dir={run}", "data.split.test=0.3", *arguments)


def written(run):
    return {name: (run / "data" / f"{name}.jsonl").read_bytes() for name in (*SPLITS, "manifest")}


@pytest.fixture(params=["image_folder", "csv", "tsv", "jsonl", "parquet", "synthetic"])
def source(request, tmp_path):
    """Overrides that read a small source of that kind."""
    if request.param == "image_folder":
        return [f"data.path={sources.folder(tmp_path / 'source', views=2)}", "data.group='regex:p[0-9]+'"]
    if request.param == "synthetic":
        options = ["data.options.parts=40", "data.options.views=2", "data.options.side_px=32"]
        return ["recipe=defects", *options]
    found = sources.rows(tmp_path, views=2)
    return [*sources.table(tmp_path, found, request.param), "data.group=part", "data.options.id=uid"]


def test_twice_is_once(source, tmp_path, capsys):
    run = tmp_path / "run"
    prepare(run, *source)
    first, summary = written(run), sources.document(run / "data" / "summary.json")
    assert summary["read"] == summary["kept"] == sum(summary["by_split"].values()) >= 60
    assert "prepare: done" in capsys.readouterr().err
    prepare(run, *source)
    assert "prepare: unchanged, skipped" in capsys.readouterr().err
    assert written(run) == first
    assert sources.document(run / "run.json")["stages"]["prepare"]["status"] == "done"


def test_a_group_is_in_one_split_and_every_example_in_one_file(source, tmp_path):
    run = tmp_path / "run"
    prepare(run, *source)
    homes = {}
    for name in SPLITS:
        for row in sources.lines(run / "data" / f"{name}.jsonl"):
            assert homes.setdefault(row["group"], name) == name
            assert set(row) >= {"id", "images", "messages", "target", "rejected", "boxes", "group", "meta"}
    manifest = sources.lines(run / "data" / "manifest.jsonl")
    assert {row["group"]: row["split"] for row in manifest} == homes
    assert len({row["id"] for row in manifest}) == len(manifest)


def test_the_format_of_the_table_changes_nothing(tmp_path):
    found = sources.rows(tmp_path, views=2)
    results = []
    for kind in ("csv", "tsv", "jsonl", "parquet"):
        run = tmp_path / f"run_{kind}"
        prepare(run, *sources.table(tmp_path, found, kind), "data.group=part", "data.options.id=uid")
        results.append(
            [
                [{**row, "row": None} for row in sources.lines(run / "data" / f"{name}.jsonl")]
                for name in (*SPLITS, "manifest")
            ]
        )
    assert all(result == results[0] for result in results)


def test_a_new_time_stamp_is_no_change(tmp_path, capsys):
    source, run = sources.folder(tmp_path / "source"), tmp_path / "run"
    prepare(run, f"data.path={source}")
    for path in source.rglob("*.png"):
        os.utime(path, (time.time() + 60, time.time() + 60))
    capsys.readouterr()
    prepare(run, f"data.path={source}")
    assert "prepare: unchanged, skipped" in capsys.readouterr().err


@pytest.mark.parametrize("change", ["pixel", "new", "gone", "moved"])
def test_changed_images_are_prepared_again(tmp_path, capsys, change):
    source, run = sources.folder(tmp_path / "source"), tmp_path / "run"
    prepare(run, f"data.path={source}")
    before = written(run)
    first = source / "bright" / "p00_0.png"
    if change == "pixel":
        image = Image.open(first)
        image.putpixel((3, 3), (1, 2, 3))
        image.save(first)
    elif change == "new":
        sources.image(90).save(source / "bright" / "p90_0.png")
    elif change == "gone":
        first.unlink()
    else:
        first.rename(source / "dark" / "p00_0.png")
    capsys.readouterr()
    prepare(run, f"data.path={source}")
    assert "prepare: done" in capsys.readouterr().err
    assert written(run)["manifest"] != before["manifest"]
    summary = sources.document(run / "data" / "summary.json")
    assert summary["kept"] == {"new": 31, "gone": 29}.get(change, 30)
    assert summary["by_label"]["dark"] == (16 if change == "moved" else 15)
    sources.run("verify", str(run))


def test_a_changed_label_in_a_table_is_prepared_again(tmp_path, capsys):
    found, run = sources.rows(tmp_path), tmp_path / "run"
    prepare(run, *sources.table(tmp_path, found))
    found[4]["label"] = "dark"
    capsys.readouterr()
    prepare(run, *sources.table(tmp_path, found))
    assert "prepare: done" in capsys.readouterr().err
    assert sources.document(run / "data" / "summary.json")["by_label"] == {"bright": 14, "dark": 16}


def test_more_data_move_no_old_example_and_the_seed_none(tmp_path):
    source = sources.folder(tmp_path / "source", parts=24)
    prepare(tmp_path / "few", f"data.path={source}")
    sources.folder(source, parts=40)
    prepare(tmp_path / "many", f"data.path={source}", "seed=7")
    few, many = (
        {row["id"]: row["split"] for row in sources.lines(tmp_path / name / "data" / "manifest.jsonl")}
        for name in ("few", "many")
    )
    assert (len(few), len(many)) == (24, 40)
    assert {name: many[name] for name in few} == few


def test_another_salt_moves_groups(tmp_path):
    source = sources.folder(tmp_path / "source")
    for salt in ("a", "b"):
        prepare(tmp_path / salt, f"data.path={source}", f"data.split.salt={salt}", "task.labels=[bright,dark]")
    assert written(tmp_path / "a")["test"] != written(tmp_path / "b")["test"]


def test_relabelling_is_the_tasks_business(tmp_path):
    found, run = sources.rows(tmp_path), tmp_path / "run"
    relabel = "data.options.relabel={bright: good, dark: bad}"
    prepare(run, *sources.table(tmp_path, found), relabel, "task.labels=[good,bad]")
    assert sources.document(run / "data" / "summary.json")["by_label"] == {"bad": 15, "good": 15}
