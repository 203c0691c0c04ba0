"""The check: everything wrong at once, the exit code of the run, and a page that holds its tongue."""

import re

import pytest
from PIL import Image

from finetune.config.schema import Config, DataConfig, ReportConfig, SplitConfig, TaskConfig
from finetune.errors import ConfigError, DataError
from finetune.example import Box, Example, ImageRef
from finetune.preflight import data_check, page
from finetune.preflight.problems import Problems
from finetune.rundir import RunDir

TASK = TaskConfig(question="State? {labels}", labels=("good", "cut"))


def source_of(root, parts=10):
    for number in range(parts):
        for label in ("good", "cut"):
            place = root / label / f"<b>{number}&{label}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8 + number, 6), (10 * number, 0, label == "cut")).save(place)
    return root


def config_of(path, pictures=None, **given):
    settings = {"path": str(path), "split": SplitConfig(val=0, test=0.4)} | given
    return Config(data=DataConfig(**settings), task=TASK, report=ReportConfig(pictures=pictures))


@pytest.fixture
def run(tmp_path):
    return RunDir(tmp_path / "check")


def checked_of(config, run):
    problems = Problems()
    found = data_check.read(config, run, problems)
    return page.Checked(found, data_check.measure(found) if found else None, None, problems)


def test_a_sound_set_has_no_errors_and_says_what_next(tmp_path, run):
    checked = checked_of(config_of(source_of(tmp_path / "in")), run)
    checked.problems.raise_first()
    assert checked.problems.warnings == []
    assert page.lines(checked) == [
        "data: 20 examples, 0 rows unusable; splits as the run would make them",
        "next: look at the pictures; then the same command without `check` starts the run.",
    ]
    assert sorted(checked.measured.sides) == sorted(2 * list(range(8, 18)))


def test_all_bad_rows_and_a_missing_class_are_told_at_once(tmp_path, run):
    source = source_of(tmp_path / "in", parts=4)
    for number in range(7):
        (source / "good" / f"broken{number}.png").write_bytes(b"no picture")
    config = config_of(source, split=SplitConfig(val=0, test=0.0001))
    checked = checked_of(config, run)
    assert not checked.data.honest
    with pytest.raises(DataError) as told:
        checked.problems.raise_first()
    text = str(told.value)
    assert text.startswith("2 problems would end this run:\n1. 7 rows cannot be used:\ngood/broken0.png: image")
    assert "and 2 more; the page of the check lists them.\nCorrect or remove them, or set aside" in text
    assert "\n2. no example of 'good', 'cut' in test (0 examples): a class missing from test" in text
    assert (
        page.lines(checked)[-1] == "next: correct what is named as an error and check again; the run would end there."
    )
    assert len(checked.data.examples) == 8


def test_rows_that_the_run_would_set_aside_are_a_warning(tmp_path, run):
    source = source_of(tmp_path / "in")
    (source / "good" / "broken.png").write_bytes(b"no picture")
    checked = checked_of(config_of(source, on_bad_row="quarantine"), run)
    assert checked.problems.errors == []
    assert checked.problems.warnings == ["1 rows would be set aside."]
    assert page.lines(checked)[-1].startswith("next: look at the warnings")


def test_nothing_to_read_leaves_a_page_all_the_same(tmp_path, run):
    (tmp_path / "empty").mkdir()
    config = config_of(tmp_path / "empty")
    checked = checked_of(config, run)
    assert checked.data is None
    html = page.write(config, run, checked).read_text()
    assert "The run would fail" in html
    assert "holds no rows" in html


def test_the_page_escapes_names_and_asks_for_nothing_from_outside(tmp_path, run):
    config = config_of(source_of(tmp_path / "in"))
    html = page.write(config, run, checked_of(config, run)).read_text()
    assert "<b>" not in html
    assert "&lt;b&gt;1&amp;good.png" in html
    assert "default-src &#39;none&#39;; img-src data:" in html
    assert set(re.findall(r'src="(.{11})', html)) == {"data:image/"}
    assert "http:" not in html.replace("http-equiv", "")
    assert "https:" not in html
    assert html.count("<img ") == 20


@pytest.mark.parametrize("given", [{"pictures": "none"}, {"sensitivity": "restricted"}])
def test_pictures_stay_away_where_they_are_not_wanted(tmp_path, run, given):
    config = config_of(source_of(tmp_path / "in"), **given)
    html = page.write(config, run, checked_of(config, run)).read_text()
    assert "<img" not in html
    assert "No pictures: report.pictures=none, or the data is restricted." in html


def test_sheets_take_a_dozen_of_each_label_alike_every_time():
    some = [Example(str(n), (ImageRef("x.png"),), "ab"[n % 2], str(n)) for n in range(40)]
    first = data_check.sheets(some)
    assert {label: len(items) for label, items in first.items()} == {"a": 12, "b": 12}
    assert first == data_check.sheets(list(some))
    every = [Example(str(n), (ImageRef("x.png"),), f"answer {n}", str(n)) for n in range(40)]
    assert {label: len(items) for label, items in data_check.sheets(every).items()} == {"": 12}


def test_defects_are_measured_by_their_shorter_side():
    boxes = (Box(0, 0, 9, 4, "x"), Box(0, 0, 2, 30, "x"))
    example = Example("1", (ImageRef("x.png"),), "x", "1", boxes=boxes)
    assert sorted(data_check._short_sides([example])) == [2, 4]


def test_one_problem_keeps_its_class():
    with pytest.raises(ConfigError, match=r"^alone$"):
        Problems([ConfigError("alone")]).raise_first()
    with pytest.raises(ConfigError, match=r"^2 problems would end this run:\n1. first\n2. second$"):
        Problems([ConfigError("first"), DataError("second")]).raise_first()


def test_bars_count_every_value():
    chart = page._chart("t", [1.0, 1.0, 5.0, 9.0])
    assert [count for _, _, count in chart["bars"]] == [2, *[0] * 7, 1, *[0] * 6, 1]
    assert (chart["low"], chart["high"], chart["count"]) == ("1", "9", 4)
    assert page._chart("t", [3.0])["bars"][0] == (0, 90.0, 1)
