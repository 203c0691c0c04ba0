"""Splits by time and site, by hand."""

import dataclasses

import pytest
from PIL import Image

from finetune.config import checks
from finetune.config.schema import Config, DataConfig, SplitByConfig, SplitConfig, TaskConfig
from finetune.data import source as dataset
from finetune.data import split_by
from finetune.data.split import Item
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow
from finetune.pipeline import prepare
from finetune.rundir import RunDir, read_jsonl


def items(*rows):
    return [Item(str(n), group, "x", split=value, row=f"line {n}") for n, (group, value) in enumerate(rows)]


def placed(rows, **by):
    shares = {name: by.pop(name) for name in ("val_share", "test_share") if name in by}
    settings = SplitConfig(
        val=shares.get("val_share", 0.25), test=shares.get("test_share", 0.25), by=SplitByConfig(column="c", **by)
    )
    return "".join(name[:2] + " " for name in split_by.chosen(items(*rows), settings).splits.values()).strip()


FOUR = [("a", "2024-01-03"), ("b", "2024-01-01"), ("c", "2024-01-04"), ("d", "2024-01-02")]


def test_the_newest_groups_are_tested():
    assert placed(FOUR, kind="time") == "va tr te tr"
    assert placed(FOUR, kind="time", test=("2024-01-03",)) == "te tr te tr"
    assert placed(FOUR, kind="time", test=("2024-01-04",), val=("2024-01-02",)) == "va tr te va"
    assert placed(FOUR, kind="time", test_share=0, val_share=0) == "tr tr tr tr"


def test_a_group_is_as_new_as_its_newest_row_and_equal_times_stay_together():
    rows = [("a", "2024-01-01"), ("a", "2024-01-09"), ("b", "2024-01-05"), ("c", "2024-01-09"), ("d", "2024-01-02")]
    assert placed(rows, kind="time", val_share=0) == "te te tr te tr"


@pytest.mark.parametrize(
    "times",
    [
        ("2024-05-01T23:00:00-05:00", "2024-05-02T01:00:00+00:00"),  # 04:00 and 01:00 in UTC
        ("10", "9.5"),
        ("20240502", "20240501"),
        (" 2024-05-02 ", "2024-05-01T10:00"),
    ],
)
def test_times_of_several_ways_of_writing(times):
    assert placed([("a", times[0]), ("b", times[1])], kind="time", val_share=0, test_share=0.5) == "te tr"


def test_a_format_reads_what_is_no_iso():
    rows = [("a", "02.05.2024"), ("b", "31.04.2023".replace("31", "30"))]
    assert placed(rows, kind="time", format="%d.%m.%Y", val_share=0, test_share=0.5) == "te tr"
    with pytest.raises(DataError, match=r"line 0: column 'c' says '02.05.2024', expected 2024-05-31.*split.by.format"):
        placed(rows, kind="time")


@pytest.mark.parametrize("value", ["", "soon", "nan", "2024-02-30", "2024"])
def test_what_is_no_time_names_its_row(value):
    with pytest.raises(DataError, match=r"line 1: column 'c' says"):
        placed([("a", "2024-01-01"), ("b", value)], kind="time")


@pytest.mark.parametrize(
    ("values", "by", "said"),
    [
        (
            ("20240502", "20240501"),
            {"test": ("2024-05-02",)},
            ("line 0", "20240502", "data.split.by.test", "2024-05-02"),
        ),
        (
            ("1717200000123", "5"),
            {"val": ("2024-05-02",)},
            ("line 0", "1717200000123", "data.split.by.val", "2024-05-02"),
        ),
        (
            ("2024-05-02", "2024-05-01"),
            {"test": ("20240502",)},
            ("data.split.by.test", "20240502", "line 0", "2024-05-02"),
        ),
        (("2024-05-02", "20240501"), {}, ("line 1", "20240501", "line 0", "2024-05-02")),
    ],
)
def test_dates_are_not_compared_with_plain_numbers(values, by, said):
    """2024-05-02 is 1714608000 seconds: every number of the form 20240502 lies before it."""
    where, number, other, date = said
    told = rf"{where}: column 'c' says '{number}', a plain number, and {other} says '{date}', .*format='%Y%m%d'\."
    with pytest.raises(DataError, match=told):
        placed(list(zip("ab", values, strict=True)), kind="time", **by)


def test_with_a_format_numbers_are_dates():
    rows = [("a", "20240502"), ("b", "20240501")]
    assert placed(rows, kind="time", format="%Y%m%d", test=("20240502",)) == "te tr"
    assert placed(rows, kind="time", test=("20240502",)) == "te tr"


@pytest.mark.parametrize("val", ["2024-01-03", "2024-01-03T00:00", "2024-01-04"])
def test_validation_comes_before_the_test(val):
    with pytest.raises(
        DataError, match=rf"data.split.by.val={val} is not before data.split.by.test=2024-01-03: .*val out"
    ):
        placed(FOUR, kind="time", test=("2024-01-03",), val=(val,))


@pytest.mark.parametrize(
    ("by", "said"),
    [
        (
            {"kind": "time", "test": ("2024", "2025")},
            "data.split.by.test: got 2 times, expected one, the first of them",
        ),
        ({"kind": "time", "test": ("3",), "val": ("1", "2")}, "data.split.by.val: got 2 times, expected one"),
        (
            {"test": ("Ulm", "Bonn"), "val": ("Ulm",)},
            "data.split.by: 'Ulm' is in test and in val; a site has one split",
        ),
        ({"val": ("Ulm",)}, "data.split.by.val: nothing says what is tested; give data.split.by.test, or"),
        ({"format": "%Y"}, "data.split.by.format: is how times are written; it needs data.split.by.kind=time"),
        ({"column": "regex:["}, "data.split.by.column: 'regex:[' holds no regular expression (unterminated"),
        ({"column": None, "test": ("Ulm",)}, "data.split.by.test: needs data.split.by.column"),
        ({"column": None, "kind": "time"}, "data.split.by.kind: needs data.split.by.column"),
    ],
)
def test_settings_that_contradict_each_other(by, said):
    split = SplitConfig(by=SplitByConfig(**{"column": "c"} | by))
    (problem,) = checks.problems(Config(data=DataConfig(split=split)))
    assert problem.startswith(said)


def test_settings_that_go_together():
    for by, shares in (
        ({"test": ("Ulm", "Bonn"), "val": ("K\u00f6ln",)}, {}),
        ({"kind": "time", "test": ("2024-05-01",), "format": "%Y-%m-%d"}, {}),
        ({"val": ("Ulm",)}, {"test": 0}),
    ):
        split = SplitConfig(by=SplitByConfig(column="c", **by), **shares)
        found = checks.problems(Config(data=DataConfig(split=split), stages=("prepare", "train")))
        assert found == []


def test_zones_must_be_said_everywhere_or_nowhere():
    with pytest.raises(
        DataError, match=r"with a zone \('2024-01-01T00:00Z', line 1\) and without \('2024-01-01', line 0\)"
    ):
        placed([("a", "2024-01-01"), ("b", "2024-01-01T00:00Z")], kind="time")


SITES = [("a", "Ulm"), ("b", "K\u00f6ln"), ("c", "Ulm"), ("d", "s" * 255)]


def test_sites_are_held_out_whole():
    assert placed(SITES, test=("Ulm",)) == "te tr te tr"
    assert placed(SITES, test=("Ulm",), val=("K\u00f6ln",)) == "te va te tr"
    assert placed(SITES, test=("K\u00f6ln", "Ulm"), val=("s" * 255,)) == "te te te va"
    by_hash = placed(SITES, test_share=0.5, val_share=0.2).split()
    assert by_hash[0] == by_hash[2]
    assert placed(SITES[::-1], test_share=0.5, val_share=0.2).split() == by_hash[::-1]


def test_a_site_that_does_not_occur_and_a_group_at_two_sites():
    with pytest.raises(DataError, match=r"no row is of 'Bonn'; column 'c' has 'K\u00f6ln'"):
        placed(SITES, test=("Bonn",))
    with pytest.raises(DataError, match=r"group 'a' is at 'Ulm' \(line 0\) and at 'Bonn' \(line 1\)"):
        placed([("a", "Ulm"), ("a", "Bonn")])


def test_without_a_column_groups_fall_by_chance():
    rows = items(*SITES)
    rows = [dataclasses.replace(row, split=None) for row in rows]
    assert set(split_by.chosen(rows, SplitConfig(val=0, test=1)).splits.values()) == {"test"}


def config_of(root, by, **data):
    given = {"adapter": "table", "path": str(root), "split": SplitConfig(by=by)} | data
    return Config(data=DataConfig(**given), task=TaskConfig(labels=("x", "y")))


@pytest.fixture
def source(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    lines = ["image,label,site"]
    for number in range(8):
        Image.new("RGB", (4, 4), (number * 9, 0, 0)).save(root / f"cam{number % 2}_{number}.png")
        lines.append(f"cam{number % 2}_{number}.png,{'xy'[number // 4]},{('Ulm', 'Bonn')[number % 2]}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize(("column", "test"), [("site", "Ulm"), ("regex:cam(\\d)", "0")])
def test_through_prepare_by_column_or_path(source, tmp_path, column, test):
    run = RunDir(tmp_path / "run")
    prepare.run(config_of(source, SplitByConfig(column=column, test=(test,))), run)
    assert {(row["path"][:4], row["split"]) for row in read_jsonl(run.manifest)} == {
        ("cam0", "test"),
        ("cam1", "train"),
    }


def test_a_row_without_a_value_is_bad(source, tmp_path):
    (source / "labels.csv").write_text("image,label,site\ncam0_0.png,x,\n")
    [row] = dataset.examples(config_of(source, SplitByConfig(column="site")), tmp_path)
    assert row == BadRow("labels.csv line 2", "cam0_0.png", "no value for data.split.by.column=site; it has site")
    [row] = dataset.examples(config_of(source, SplitByConfig(column="regex:line")), tmp_path)
    assert row.reason == "no value for data.split.by.column=regex:line"


def test_it_goes_with_no_other_split(source):
    with pytest.raises(ConfigError, match=r"neither data.split.column nor data.folds"):
        dataset.options(config_of(source, SplitByConfig(column="site"), folds=2).data)
