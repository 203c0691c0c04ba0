"""Bad data on the command line: exit code 3, file and row by name, and what `quarantine` does instead."""

import re

import pytest
from acceptance import sources
from PIL import Image

from finetune.cli.main import main

PREPARE = ("stages=[prepare]", "data.split.test=0.3")


@pytest.fixture
def refused(tmp_path, capsys):
    """Runs a command that must end with 3; returns what it said, in one line."""

    def run(*arguments: str) -> str:
        sources.run(*PREPARE, f"run.dir={tmp_path / 'run'}", *arguments, code=3)
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "Traceback" not in printed.err
        told = printed.err[printed.err.index("error: ") :]
        status = sources.document(tmp_path / "run" / "run.json")
        assert (status["status"], status["error"]["exit_code"]) == ("failed", 3)
        assert status["stages"].get("prepare", {"status": "failed"})["status"] == "failed"
        return " ".join(told.split())

    return run


def test_a_missing_image(tmp_path, refused):
    found = sources.rows(tmp_path)
    (tmp_path / "images" / found[2]["image"]).unlink()
    told = refused(*sources.table(tmp_path, found))
    assert "labels.csv line 4 (images/p02_0.png)" in told  # the header is line 1
    assert "does not exist" in told
    assert "data.on_bad_row=quarantine" in told


@pytest.mark.parametrize(("kind", "where"), [("tsv", "line 4"), ("jsonl", "line 3"), ("parquet", "row 3")])
def test_a_missing_image_in_every_kind_of_table(tmp_path, refused, kind, where):
    found = sources.rows(tmp_path)
    (tmp_path / "images" / found[2]["image"]).unlink()
    assert f"labels.{kind} {where} (images/p02_0.png)" in refused(*sources.table(tmp_path, found, kind))


def test_a_truncated_jpeg(tmp_path, refused):
    source = sources.folder(tmp_path / "source")
    Image.effect_noise((64, 64), 80).save(source / "dark" / "cut.jpg")
    content = (source / "dark" / "cut.jpg").read_bytes()
    (source / "dark" / "cut.jpg").write_bytes(content[: len(content) * 2 // 3])
    told = refused(f"data.path={source}")
    assert re.search(r"dark/cut\.jpg.*cannot be decoded: .*truncated", told)


@pytest.mark.parametrize("folders", [[], ["bright", "dark"], ["bright/.hidden"]])
def test_an_empty_folder(tmp_path, refused, folders):
    for name in ["", *folders]:
        (tmp_path / "source" / name).mkdir(exist_ok=True, parents=True)
    assert f"data.path={tmp_path / 'source'} holds no rows" in refused(f"data.path={tmp_path / 'source'}")


def test_a_source_that_is_not_there(tmp_path, refused):
    assert f"data.path={tmp_path / 'gone'} does not exist" in refused(f"data.path={tmp_path / 'gone'}")


def test_a_header_without_rows(tmp_path, refused):
    (tmp_path / "labels.csv").write_text("image,label\n")
    assert "holds no rows" in refused(f"data.path={tmp_path}", "data.adapter=table")


def test_a_class_missing_in_train(tmp_path, refused):
    found = sources.rows(tmp_path)
    for row in found:
        row["split"] = "test" if row["label"] == "dark" else row["split"]
    told = refused(*sources.table(tmp_path, found), "data.split.column=split")
    assert "no example of 'dark' in train (6 examples)" in told  # 15 bright parts less 3 for val and 6 for test


def test_a_declared_class_that_nothing_shows(tmp_path, refused):
    source = sources.folder(tmp_path / "source")
    told = refused(f"data.path={source}", "task.labels=[bright,dark,cracked]")
    assert "no example of 'cracked' in train" in told


def test_a_label_that_is_none_of_the_tasks(tmp_path, refused):
    found = sources.rows(tmp_path)
    found[7]["label"] = "drak"
    told = refused(*sources.table(tmp_path, found), "task.labels=[bright,dark]")
    assert "labels.csv line 9 (images/p07_0.png): label 'drak' is none of task.labels ('bright', 'dark')" in told


def test_one_label_only(tmp_path, refused):
    found = [row for row in sources.rows(tmp_path) if row["label"] == "dark"]
    assert "has one label, 'dark'" in refused(*sources.table(tmp_path, found))


def test_an_id_twice(tmp_path, refused):
    found = sources.rows(tmp_path)
    found[9]["uid"] = found[4]["uid"]
    told = refused(*sources.table(tmp_path, found), "data.options.id=uid")
    assert "id 'u4-0' is used twice (labels.csv line 6 and labels.csv line 11)" in told


def test_a_group_on_both_sides_of_a_given_split(tmp_path, refused):
    found = sources.rows(tmp_path, views=2)
    found[5]["split"] = "test"  # the second view of part 2, whose first is in val
    told = refused(*sources.table(tmp_path, found), "data.split.column=split", "data.group=part")
    assert "group 'p02' is in val and in test (column 'split', labels.csv line 7)" in told


def test_a_given_split_of_another_name(tmp_path, refused):
    found = sources.rows(tmp_path)
    found[11]["split"] = "Train"
    told = refused(*sources.table(tmp_path, found), "data.split.column=split")
    assert "labels.csv line 13: column 'split' says 'Train', expected one of train, val, test" in told


def test_a_column_that_is_not_there(tmp_path, refused):
    told = refused(*sources.table(tmp_path, sources.rows(tmp_path)), "data.group=prat")
    assert "labels.csv has no column 'prat' (data.group), did you mean 'part'?" in told


def test_too_few_groups_for_the_folds(tmp_path, refused):
    source = sources.folder(tmp_path / "source", parts=4, views=2)
    told = refused(f"data.path={source}", "data.folds=5", r"data.group='regex:p\d+'")
    assert "data.folds=5 needs at least 5 groups, the data has 4" in told


def spoil(root):
    """Spoils six of the thirty images below root/images; returns file name -> what is said of it."""
    folder = root / "images"
    (folder / "p00_0.png").unlink()
    (folder / "p01_0.png").write_bytes(b"")
    (folder / "p02_0.png").write_bytes((folder / "p02_0.png").read_bytes()[:-40])
    (folder / "p03_0.png").write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "p04_0.png").unlink()
    (folder / "p04_0.png").symlink_to("/etc/hostname")
    (folder / "p05_0.png").unlink()
    (folder / "p05_0.png").mkdir()
    reasons = ["does not exist", "is empty (0 bytes)", "cannot be decoded", "is none of the formats read here"]
    reasons += ["is a link out of", "is a directory, expected a regular file"]
    return dict(zip((f"p{part:02d}_0.png" for part in range(6)), reasons, strict=True))


def test_quarantine_sets_bad_rows_aside_and_the_counts_reconcile(tmp_path, capsys):
    found = sources.rows(tmp_path)
    reasons = spoil(tmp_path)
    found.append(found[9] | {"image": "https://example.org/x.png", "uid": "url"})
    found.append(found[9] | {"image": "../labels.csv", "uid": "climbs"})
    found.append(found[9] | {"label": "", "uid": "unlabelled"})
    run = tmp_path / "run"
    arguments = [*PREPARE, *sources.table(tmp_path, found), f"run.dir={run}", "data.on_bad_row=quarantine"]
    sources.run(*arguments)
    summary = sources.document(run / "data" / "summary.json")
    assert (summary["read"], summary["kept"], summary["quarantined"]) == (33, 24, 9)
    assert sum(summary["by_split"].values()) == sum(summary["by_label"].values()) == 24
    aside = sources.lines(run / "data" / "quarantine.jsonl")
    assert len(aside) == 9
    told = {str(row["path"]).removeprefix("images/"): row for row in aside}
    for number, (name, reason) in enumerate(reasons.items(), 2):
        assert reason in told[name]["reason"], name
        assert told[name]["row"] == f"labels.csv line {number}"
    assert "is a URL; nothing is fetched" in told["https://example.org/x.png"]["reason"]
    assert "climbs with '..'" in told["../labels.csv"]["reason"]
    assert told["p09_0.png"]["reason"] == "no value for label"
    written = [row["id"] for name in ("train", "val", "test") for row in sources.lines(run / "data" / f"{name}.jsonl")]
    assert sorted(written) == sorted(f"images/p{part:02d}_0.png#1" for part in range(6, 30))
    assert "9 of 33 rows set aside; see data/quarantine.jsonl" in capsys.readouterr().err
    sources.run(*arguments)
    assert "prepare: unchanged, skipped" in capsys.readouterr().err


def test_one_bad_row_too_many(tmp_path, refused):
    found = sources.rows(tmp_path)
    spoil(tmp_path)
    told = refused(*sources.table(tmp_path, found), "data.on_bad_row=quarantine", "data.bad_row_limit=5")
    assert "more than data.bad_row_limit=5 rows are bad; the first are labels.csv line 2 (images/p00_0.png)" in told


def test_what_was_corrected_goes_through_with_the_same_command(tmp_path, capsys):
    found = sources.rows(tmp_path)
    arguments = [*PREPARE, *sources.table(tmp_path, found), f"run.dir={tmp_path / 'run'}"]
    whole = (tmp_path / "images" / "p06_0.png").read_bytes()
    (tmp_path / "images" / "p06_0.png").write_bytes(whole[:-30])
    assert main(arguments) == 3
    (tmp_path / "images" / "p06_0.png").write_bytes(whole)
    assert main(arguments) == 0
    status = sources.document(tmp_path / "run" / "run.json")
    assert (status["status"], status["error"], status["stages"]["prepare"]["status"]) == ("done", None, "done")
    assert not list((tmp_path / "run").rglob("*.partial"))
