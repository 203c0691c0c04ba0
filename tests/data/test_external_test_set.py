"""An external test set: a second source is the whole test, and nothing of it is trained on."""

import io
import tarfile

import pytest
from acceptance import sources
from PIL import Image

from finetune.config.compose import compose
from finetune.config.schema import Config, DataConfig, RunConfig, SplitConfig, TaskConfig
from finetune.data import example_files, external_test_set, source_digest
from finetune.data import source as dataset
from finetune.data.split import Item
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow
from finetune.images import decode
from finetune.pipeline import prepare
from finetune.rundir import RunDir, read_json, read_jsonl


def configured(root, **data):
    given = {"adapter": "image_folder", "path": str(root / "here"), "test_path": str(root / "there")} | data
    return Config(data=DataConfig(**given), task=TaskConfig(labels=sources.LABELS), run=RunConfig(root=str(root)))


def prepared(root, config):
    run = RunDir(root / "run")
    run.make(run.root)
    prepare.run(config, run)
    return run, {name: list(read_jsonl(run.data / f"{name}.jsonl")) for name in ("train", "val", "test")}


def folders(root, here=12, there=6):
    """Parts 0 to 11 in one folder and, under the same file names but with other pixels, 6 in the other."""
    sources.folder(root / "here", parts=here)
    for part in range(there):
        place = root / "there" / sources.LABELS[part % 2]
        place.mkdir(parents=True, exist_ok=True)
        sources.image(part + 100).save(place / f"p{part:02d}_0.png")


def test_the_second_source_is_the_test_and_nothing_else_is(tmp_path):
    folders(tmp_path)
    config = configured(tmp_path, split=SplitConfig(val=0.3))
    run, rows = prepared(tmp_path, config)
    assert sorted(row["id"] for row in rows["test"]) == sorted(
        f"test/{sources.LABELS[part % 2]}/p{part:02d}_0.png#1" for part in range(6)
    )
    assert len(rows["train"]) + len(rows["val"]) == 12
    assert rows["val"]
    assert {row["images"][0]["path"].split("/")[0] for row in rows["test"]} == {"there"}
    assert {row["images"][0]["path"].split("/")[0] for row in rows["train"] + rows["val"]} == {"here"}
    root = dataset.image_root(config, run)
    for row in rows["test"]:
        part = int(row["images"][0]["path"][-8:-6])
        shown = decode.load(root, example_files.to_example(row, None).images[0])
        assert shown.tobytes() == sources.image(part + 100).tobytes()
    assert read_json(run.summary)["by_split"]["test"] == 6


def test_the_share_of_the_test_does_not_matter_and_a_group_keeps_its_place():
    items = [Item(str(n), f"g{n}", "x", split=None if n else "test") for n in range(40)]
    places = [external_test_set.assign(items, SplitConfig(val=0.25, test=share)).splits for share in (0.0, 0.5)]
    assert places[0] == places[1]
    assert places[0]["0"] == "test"
    more = [*items, Item("new", "new", "x")]
    assert (
        external_test_set.assign(more, SplitConfig(val=0.25)).splits | places[0]
        == external_test_set.assign(more, SplitConfig(val=0.25)).splits
    )


def test_a_group_of_both_sources_is_refused(tmp_path):
    folders(tmp_path)
    config = configured(tmp_path, group="regex:p[0-9]+")
    with pytest.raises(DataError, match=r"group 'p00' is in data.path \(.*\) and in data.test_path .*must be new"):
        prepared(tmp_path, config)


def test_a_group_that_is_the_id_as_well_keeps_its_name(tmp_path):
    """One image a patient, whose number is the id: the patient of both sources is still found."""
    folders(tmp_path)
    for side, numbers in (("here", range(8)), ("there", range(4))):
        rows = [f"{sources.LABELS[n % 2]}/p{n:02d}_0.png,{sources.LABELS[n % 2]},P{n}" for n in numbers]
        (tmp_path / side / "labels.csv").write_text("\n".join(["image,label,patient", *rows, ""]))
    config = configured(tmp_path, adapter="table", options={"id": "patient"}, group="patient")
    with pytest.raises(DataError, match=r"group 'P0' is in data.path \(.*\) and in data.test_path"):
        prepared(tmp_path, config)


def test_the_source_itself_is_no_test_of_it(tmp_path):
    folders(tmp_path)
    with pytest.raises(DataError, match=r"is data.path itself: everything tested would be trained on"):
        dataset.sources(configured(tmp_path, test_path=str(tmp_path / "here")).data)


def test_blanks_split_no_group(tmp_path):
    folders(tmp_path)
    rows = [
        f"{sources.LABELS[n % 2]}/p{n:02d}_0.png,{sources.LABELS[n % 2]},P{n // 2}{' ' * (n == 3)}" for n in range(4)
    ]
    (tmp_path / "here" / "labels.csv").write_text("\n".join(["image,label,patient", *rows, ""]))
    config = configured(tmp_path, adapter="table", group="patient", test_path=None)
    bad = [row for row in dataset.examples(config, tmp_path) if isinstance(row, BadRow)]
    assert [(row.row, row.reason.split(";")[0]) for row in bad] == [
        ("labels.csv line 5", "the group 'P1 ' has blanks around it")
    ]


def test_another_site_key_is_another_source(tmp_path):
    folders(tmp_path)
    (tmp_path / "key").write_bytes(b"a" * 32)
    config = configured(tmp_path, site_key=str(tmp_path / "key"))
    before = source_digest.glance(config), source_digest.content(config)
    (tmp_path / "key").write_bytes(b"b" * 32)
    assert all(
        old != new
        for old, new in zip(before, (source_digest.glance(config), source_digest.content(config)), strict=True)
    )


def test_two_tables_of_one_folder(tmp_path):
    rows = sources.rows(tmp_path, parts=10)
    for name, own in (("a.csv", rows[:6]), ("b.csv", rows[6:])):
        lines = [",".join(own[0]), *(",".join(row.values()) for row in own)]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    options = {"images": "images", "id": "uid"}
    config = configured(
        tmp_path, adapter="table", path=str(tmp_path / "a.csv"), test_path=str(tmp_path / "b.csv"), options=options
    )
    _, found = prepared(tmp_path, config)
    assert [row["id"] for row in found["test"]] == [f"test/{row['uid']}" for row in rows[6:]]
    assert {row["images"][0]["path"] for row in found["test"]} == {f"images/{row['image']}" for row in rows[6:]}


def shard(path, parts):
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for part in parts:
            picture = io.BytesIO()
            sources.image(part).save(picture, "PNG")
            for ending, content in (("png", picture.getvalue()), ("cls", sources.LABELS[part % 2].encode())):
                entry = tarfile.TarInfo(f"p{part:03d}.{ending}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))


def test_an_adapter_that_writes_its_images(tmp_path):
    shard(tmp_path / "here" / "a.tar", range(10))
    shard(tmp_path / "there" / "a.tar", range(100, 104))
    config = configured(tmp_path, adapter="webdataset")
    run, rows = prepared(tmp_path, config)
    assert len(rows["test"]) == 4
    for row in rows["test"]:
        with Image.open(run.data / row["images"][0]["path"]) as shown:
            assert any(shown.tobytes() == sources.image(part).tobytes() for part in range(100, 104))


def test_one_inside_the_other_is_refused(tmp_path):
    folders(tmp_path)
    with pytest.raises(DataError, match=r"one lies inside the other, whose images would be read twice"):
        dataset.sources(configured(tmp_path, path=str(tmp_path)).data)


def test_a_bad_row_says_which_source_it_is_in(tmp_path):
    folders(tmp_path)
    (tmp_path / "there" / "dark" / "bad.png").write_bytes(b"")
    config = configured(tmp_path, on_bad_row="quarantine")
    run, _ = prepared(tmp_path, config)
    (bad,) = read_jsonl(run.quarantine)
    assert (bad["path"], "data.test_path" in bad["row"]) == ("there/dark/bad.png", True)
    shown = external_test_set.Source(config.data, "", tested=True).placed(BadRow("line 3", "x.png", "why"))
    assert shown.row == "data.test_path: line 3"


def test_no_example_kept_is_an_error():
    with pytest.raises(DataError, match=r"data\.test_path: no example of it was kept"):
        external_test_set.assign([Item("a", "a", "x")], SplitConfig())


def test_a_class_that_the_external_test_lacks_is_an_error_even_at_share_0(tmp_path):
    folders(tmp_path, there=1)
    with pytest.raises(DataError, match="no example of 'dark' in test"):
        prepared(tmp_path, configured(tmp_path, split=SplitConfig(test=0.0)))


@pytest.mark.parametrize("change", ["here/dark/p01_0.png", "there/dark/p01_0.png"])
def test_a_change_in_either_source_is_seen(tmp_path, change):
    folders(tmp_path)
    config = configured(tmp_path)
    before = source_digest.glance(config), source_digest.content(config)
    Image.new("RGB", (9, 9)).save(tmp_path / change)
    after = source_digest.glance(config), source_digest.content(config)
    assert before[0] != after[0]
    assert before[1] != after[1]


@pytest.mark.parametrize("given", ["data.folds=3", "data.split.column=split", "data.split.by.column=day"])
def test_other_ways_to_divide_are_refused(given):
    key = given.partition("=")[0].removesuffix(".column") if "by" in given else given.partition("=")[0]
    with pytest.raises(ConfigError, match=f"data.test_path is the test: {key} cannot divide the data as well"):
        compose(["recipe=solar_cells", "data.path=a", "data.test_path=b", given])


def test_without_one_nothing_changes():
    data = DataConfig(path="x")
    assert external_test_set.sources(data, None) == ([external_test_set.Source(data)], None)
