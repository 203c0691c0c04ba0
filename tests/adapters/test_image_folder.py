import os

import pytest

from data_adapters import image_folder
from data_adapters.image_folder import Options, read
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Example, ImageRef


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_the_first_folder_is_the_label_and_order_is_by_name(tmp_path):
    touch(tmp_path, "good/b.JPG", "good/a.png", "cut/lot1/x.tiff", "notes.txt", "good/.DS_Store")
    assert list(read(tmp_path, Options(), tmp_path)) == [
        Example("cut/lot1/x.tiff#1", (ImageRef("cut/lot1/x.tiff"),), "cut", "cut/lot1/x.tiff", row="cut/lot1/x.tiff"),
        Example("good/a.png#1", (ImageRef("good/a.png"),), "good", "good/a.png", row="good/a.png"),
        Example("good/b.JPG#1", (ImageRef("good/b.JPG"),), "good", "good/b.JPG", row="good/b.JPG"),
    ]


def test_folders_of_splits_are_no_classes(tmp_path):
    touch(tmp_path, "train/good/a.png", "train/cut/b.png", "Valid/good/c.png", "test/good/d.png")
    with pytest.raises(DataError, match=r"are Valid, test, train: splits, not classes. Point data.path at .*test_path"):
        list(read(tmp_path, Options(), tmp_path))
    touch(tmp_path, "scratch/e.png")
    assert {row.target for row in read(tmp_path, Options(), tmp_path)} == {"Valid", "test", "train", "scratch"}


@pytest.mark.parametrize(
    ("rule", "groups"),
    [
        ("parent", ["cut/p1", "good/p1", "good/p2"]),
        ("regex:p\\d", ["p1", "p1", "p2"]),
        ("regex:/(p\\d)/", ["p1", "p1", "p2"]),
    ],
)
def test_group_rules(tmp_path, rule, groups):
    touch(tmp_path, "cut/p1/x.png", "good/p1/y.png", "good/p2/z.png")
    assert [example.group for example in read(tmp_path, Options(group=rule), tmp_path)] == groups


@pytest.mark.parametrize("rule", ["regex:p*", "regex:x(p?)", "regex:x(p)?"])
def test_a_rule_that_matches_nothing_names_no_group(tmp_path, rule):
    """The empty text would be one group for all."""
    touch(tmp_path, "cut/x.png", "good/x.png")
    rows = list(read(tmp_path, Options(group=rule), tmp_path))
    assert [row.reason for row in rows] == [f"data.group={rule} does not match its path"] * 2


def test_pixel_rules_reach_the_image(tmp_path):
    touch(tmp_path, "good/a.png")
    [example] = read(tmp_path, Options(frame=1, window=(0.0, 9.0)), tmp_path)
    assert example.images == (ImageRef("good/a.png", frame=1, window=(0.0, 9.0)),)


def test_what_cannot_be_an_example_is_a_bad_row(tmp_path):
    touch(tmp_path, "loose.png", "good/a.heic", "good/no-lot.png", "good/lot7.png", "elsewhere/b.png")
    os.symlink(tmp_path / "elsewhere", tmp_path / "good" / "linked")
    bad = [item for item in read(tmp_path, Options(group="regex:lot\\d"), tmp_path) if isinstance(item, BadRow)]
    assert [(row.row, row.reason) for row in bad] == [
        ("elsewhere/b.png", "data.group=regex:lot\\d does not match its path"),
        ("good/a.heic", f"is no image this program reads ({', '.join(sorted(image_folder.SUFFIXES))})"),
        ("good/linked", "is a link to a folder; links are not followed, copy the folder"),
        ("good/no-lot.png", "data.group=regex:lot\\d does not match its path"),
        ("loose.png", f"lies in no class folder; expected {tmp_path.name}/LABEL/loose.png"),
    ]


@pytest.mark.parametrize(
    ("rule", "message"),
    [("lot", "data.group: got 'lot', expected 'parent' or 'regex:PATTERN'"), ("regex:(", "is no regular expression")],
)
def test_an_unknown_group_rule(tmp_path, rule, message):
    with pytest.raises(ConfigError, match=message):
        list(read(tmp_path, Options(group=rule), tmp_path))


def test_where_the_folder_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"data.path is not given: name the folder"):
        list(read(None, Options(), tmp_path))
    with pytest.raises(DataError, match=r"does not exist; expected a folder that holds one sub-folder a class"):
        list(read(tmp_path / "gone", Options(), tmp_path))
    touch(tmp_path, "file")
    with pytest.raises(DataError, match=r"is a file; expected a folder"):
        list(read(tmp_path / "file", Options(), tmp_path))


def test_a_name_that_is_not_utf8_is_a_bad_row(tmp_path):
    touch(tmp_path, "good/a.png")
    (tmp_path / "good" / os.fsdecode(b"\xff.png")).touch()
    (found,) = [row for row in read(tmp_path, Options(), tmp_path) if isinstance(row, BadRow)]
    assert found == BadRow(r"'good/\udcff.png'", r"'good/\udcff.png'", "has a name that is not UTF-8; rename it")
