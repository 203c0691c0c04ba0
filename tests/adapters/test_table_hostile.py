"""Tables as they come: any header, any text, ragged rows, damaged files. What is written is what is read."""

import csv
import io
import json

import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from data_adapters.table import Options, read
from finetune.config.schema import Config, DataConfig, SplitConfig
from finetune.data import source
from finetune.errors import ConfigError, DataError
from finetune.example import BadRow, Example

FAST = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
VALUE = TEXT.filter(str.strip)
"""Neither empty nor blank: that is a missing value."""
NAME = TEXT.map(str.strip).filter(bool)


def quoted(rows, mark=","):
    """CSV by hand: every field in quotes, quotes doubled."""
    return "".join(mark.join('"' + field.replace('"', '""') + '"' for field in row) + "\r\n" for row in rows)


def found(folder, content, options=None, name="labels.csv"):
    data = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(data)
    return list(read(folder / name, options or Options(), folder))


def outcome(path, content):
    """What a user is told, or None and the rows; any other exception is a defect."""
    path.write_bytes(content)
    try:
        return None, list(read(path, Options(), path.parent))
    except DataError as error:
        return str(error), []


@FAST
@given(
    names=st.lists(NAME, min_size=4, max_size=6, unique=True),
    values=st.lists(st.lists(VALUE, min_size=6, max_size=6), max_size=4),
    bom=st.booleans(),
    mark=st.sampled_from([",", ";", "\t", "|"]),
)
@example(names=["a\nb", 'c"d', "e,f", "\u00e9"], values=[["x\r\ny", '"', ",", "=cmd()", "'", "\\"]], bom=True, mark=";")
def test_any_header_and_any_value_survive_csv(tmp_path, names, values, bom, mark):
    table = [names, *(row[: len(names)] for row in values)]
    image, label, group, meta = names[:4]
    options = Options(image=image, label=label, group=group, meta=(meta,), delimiter=mark)
    rows = found(tmp_path, ("\ufeff" if bom else "") + quoted(table, mark), options)
    assert [(row.images[0].path, row.target, row.group, row.meta) for row in rows] == [
        (row[0], row[1], row[2], {meta: row[3]}) for row in values
    ]


@FAST
@given(st.lists(st.lists(VALUE, min_size=2, max_size=2), min_size=1, max_size=4))
def test_the_same_values_survive_every_kind_of_file(tmp_path, values):
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows([["image", "label"], *values])
    (tmp_path / "t.csv").write_text(buffer.getvalue(), encoding="utf-8", newline="")
    (tmp_path / "t.tsv").write_text(quoted([["image", "label"], *values], "\t"), encoding="utf-8", newline="")
    objects = [{"image": image, "label": label} for image, label in values]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, objects)), encoding="utf-8")
    pyarrow.parquet.write_table(pa.Table.from_pylist(objects), tmp_path / "t.parquet")
    for kind in ("csv", "tsv", "jsonl", "parquet"):
        rows = list(read(tmp_path / f"t.{kind}", Options(), tmp_path))
        assert [[row.images[0].path, row.target] for row in rows] == values, kind


@FAST
@given(st.lists(st.lists(st.sampled_from(["a.png", "x", '"', ",", " "]), min_size=1, max_size=6), max_size=8))
def test_ragged_rows_are_each_told_and_none_is_lost(tmp_path, body):
    rows = found(tmp_path, quoted([["image", "label", "lot"], *body]))
    assert len(rows) == len(body)
    for fields, row in zip(body, rows, strict=True):
        whole = len(fields) == 3 and fields[0].strip() and fields[1].strip()
        assert isinstance(row, Example if whole else BadRow)
        if len(fields) != 3:
            assert f"has {len(fields)} fields, the header has 3 (image,label,lot)" in row.reason


@FAST
@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff\xfei\0m\0a\0g\0e\0")
@example(b'image,label\n"open,x\n')
@example(b"image,label\na.png,x\0y\n")
@example(b"\xef\xbb\xbfimage,label\ra.png,x\r")
@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_noise_is_rows_or_a_users_error(tmp_path, kind, content):
    for data in (content, b"image,label\n" + content):
        told, rows = outcome(tmp_path / f"t.{kind}", data)
        assert told is None or f"t.{kind}" in told
        assert all(row.row.startswith(f"t.{kind} ") for row in rows)


@pytest.mark.parametrize("open_row", ['"b.png,y', 'b.png,"y'])
def test_an_open_quote_swallows_no_row(tmp_path, open_row):
    with pytest.raises(DataError, match=r"labels.csv line 3 cannot be read: a quote that begins a field is not closed"):
        found(tmp_path, f"image,label\na.png,x\n{open_row}\nc.png,z\n")


@pytest.mark.parametrize("mark", ["", ";;", '"', "\n", "\r"])
def test_a_delimiter_is_one_character_that_may_stand_between_fields(tmp_path, mark):
    with pytest.raises(ConfigError, match=r"data\.options\.delimiter: got .* expected one character"):
        found(tmp_path, "image,label\na.png,x\n", Options(delimiter=mark))


def test_the_lines_of_a_table_are_those_of_an_editor(tmp_path):
    rows = found(tmp_path, 'image,label\n"a\nb.png",x\nc.png\n\n\nd.png,y\n')
    assert [row.row for row in rows] == ["labels.csv line 3", "labels.csv line 4", "labels.csv line 7"]


def test_a_line_separator_inside_a_json_text_is_no_new_line(tmp_path):
    rows = found(tmp_path, '{"image": "a.png", "label": "x\u2028y\x85z"}\n', name="t.jsonl")
    assert [row.target for row in rows] == ["x\u2028y\x85z"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[" * 100_000, "is not JSON"),
        ('{"image": "a.png", "label": "x"', "is not JSON"),
        ('{"image": "a.png", "label": {"a": 1}}', "'label' (data.options.label) holds a dict, expected text"),
        ('{"image": ["a.png"], "label": "x"}', "'image' (data.options.image) holds a list, expected text"),
        ('{"image": "a.png", "label": "x", "label": "y"}', "has 'label' twice"),
        ('"image"', "is JSON but not an object"),
        ("null", "is JSON but not an object"),
    ],
)
def test_a_bad_line_of_json_costs_that_line(tmp_path, line, reason):
    good = '{"image": "b.png", "label": "x"}'
    first, second = found(tmp_path, f"{line}\n{good}\n", name="t.jsonl")
    assert first.row == "t.jsonl line 1"
    assert reason in first.reason
    assert second.images[0].path == "b.png"


@pytest.mark.parametrize(
    ("spelled", "label"),
    [("1.0", "1.0"), ("01e3", None), ("1e3", "1e3"), ("-0", "-0"), ("9" * 5000, "9" * 5000)],
)
def test_numbers_of_json_keep_their_spelling(tmp_path, spelled, label):
    (row,) = found(tmp_path, f'{{"image": "a.png", "label": {spelled}}}\n', name="t.jsonl")
    assert isinstance(row, BadRow) if label is None else row.target == label


@pytest.mark.parametrize("field", ["label", "image", "lot"])
def test_half_a_surrogate_pair_cannot_be_written_and_is_told(tmp_path, field):
    """JSON can spell what UTF-8 cannot: such a text would break every file of the run."""
    row = {"image": "a.png", "label": "x", "lot": "1"} | {field: "\ud800"}
    (tmp_path / "t.jsonl").write_text(json.dumps(row))
    data = DataConfig(adapter="table", path=str(tmp_path / "t.jsonl"), group="lot")
    (found,) = source.examples(Config(data=data), tmp_path)
    assert isinstance(found, BadRow)
    assert found.row == "t.jsonl line 1"
    assert "is no Unicode text" in found.reason
    json.dumps([found.row, found.path, found.reason], ensure_ascii=False).encode()


def test_parquet_values_of_other_types_become_text(tmp_path):
    table = pa.table(
        {
            "image": pa.array(["a.png", "b.png"]).dictionary_encode(),
            "label": pa.array([True, False]),
            "lot": pa.array([20260101, None], pa.int64()),
            "split": pa.array(["train", "test"], pa.large_string()),
        }
    )
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    options = Options(group="lot", split="split")
    first, second = read(tmp_path / "t.parquet", options, tmp_path)
    assert (first.images[0].path, first.target, first.group, first.split) == ("a.png", "true", "20260101", "train")
    assert second == BadRow("t.parquet row 2", "b.png", "no value for lot")


def test_a_damaged_parquet_file_is_a_users_error(tmp_path):
    table = pa.table({"image": [f"{n}.png" for n in range(4000)], "label": [str(n * n) for n in range(4000)]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    content = (tmp_path / "t.parquet").read_bytes()
    for start in range(4, len(content) - 8, len(content) // 12):
        spoilt = content[:start] + b"\xff" * 64 + content[start + 64 :]
        told, rows = outcome(tmp_path / "t.parquet", spoilt)
        assert "t.parquet cannot be read as Parquet" in told if told else len(rows) == 4000


def test_columns_that_hold_what_they_should_not(tmp_path):
    data = DataConfig(
        adapter="table",
        path=str(tmp_path / "labels.csv"),
        group="label",
        split=SplitConfig(column="lable"),
        options={"image": "imagee"},
    )
    (tmp_path / "labels.csv").write_text("image,label\na.png,x\n")
    with pytest.raises(DataError) as caught:
        list(source.examples(Config(data=data), tmp_path))
    told = str(caught.value)
    assert "no column 'imagee' (data.options.image), did you mean 'image'?" in told
    assert "no column 'lable' (data.split.column), did you mean 'label'?" in told
