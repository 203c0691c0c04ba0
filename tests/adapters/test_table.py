import json
import sys

import openpyxl
import pyarrow as pa
import pyarrow.parquet
import pytest

from data_adapters.table import Options, locate, read
from finetune.errors import DataError
from finetune.example import BadRow, Example, ImageRef, Message


def written(folder, text, name="labels.csv", encoding="utf-8"):
    (folder / name).write_text(text, encoding=encoding, newline="")
    return folder


def rows(folder, options=None, name="labels.csv"):
    return list(read(folder / name, options or Options(), folder))


def test_a_row_becomes_an_example(tmp_path):
    table = "image,label,lot,part,say,uid,site\na.png,01,L1,train,What?,7,north\n"
    options = Options(
        images="img/", group="lot", split="part", question="say", id="uid", meta=("site",), frame=2, window=(0.0, 1.0)
    )
    assert rows(written(tmp_path, table), options) == [
        Example(
            "7",
            (ImageRef("img/a.png", frame=2, window=(0.0, 1.0)),),
            "01",
            "L1",
            messages=(Message("user", "What?"),),
            split="train",
            meta={"site": "north"},
            row="labels.csv line 2",
        )
    ]


def test_without_id_and_group_the_path_and_a_running_number_stand_in(tmp_path):
    table = "image,label\na.png,x\nb.png,x\na.png,y\n"
    found = rows(written(tmp_path, table))
    assert [(example.id, example.group) for example in found] == [
        ("a.png#1", "a.png"),
        ("b.png#1", "b.png"),
        ("a.png#2", "a.png"),
    ]


@pytest.mark.parametrize("label", ["01", "yes", "1e3", "No", "null", "NaN", " padded "])
def test_labels_stay_text(tmp_path, label):
    assert rows(written(tmp_path, f"image,label\na.png,{label}\n"))[0].target == label


def test_bom_quotes_newlines_and_blank_lines(tmp_path):
    table = 'image,label\r\n"a,b.png","two\nlines"\r\n\r\nc.png,x\r\n'
    found = rows(written(tmp_path, table, encoding="utf-8-sig"))
    assert [(e.images[0].path, e.target, e.row) for e in found] == [
        ("a,b.png", "two\nlines", "labels.csv line 3"),
        ("c.png", "x", "labels.csv line 5"),
    ]


def test_a_row_of_another_length_is_told_with_line_header_and_missing_value(tmp_path):
    table = "image,label,lot,split\na.png,x,1,train\nb.png,x,1\nc.png,x,1,test,more\n"
    _, short, long = rows(written(tmp_path, table))
    assert short == BadRow(
        "labels.csv line 3", "", "has 3 fields, the header has 4 (image,label,lot,split): no value for split."
    )
    assert long == BadRow(
        "labels.csv line 4", "", "has 5 fields, the header has 4 (image,label,lot,split): nothing is named for 'more'."
    )


def test_an_empty_value_is_a_bad_row(tmp_path):
    assert rows(written(tmp_path, "image,label\na.png, \n")) == [
        BadRow("labels.csv line 2", "a.png", "no value for label")
    ]


def test_tsv_and_other_delimiters(tmp_path):
    written(tmp_path, "image\tlabel\na,1.png\tx\n", "t.tsv")
    assert rows(tmp_path, name="t.tsv")[0].images[0].path == "a,1.png"
    assert rows(written(tmp_path, "image;label\na.png;x\n"), Options(delimiter=";"))[0].target == "x"


def test_jsonl_keeps_the_spelling_of_numbers_and_reports_lines(tmp_path):
    lines = [
        '{"image": "a.png", "label": 1.50}',
        "",
        "{broken",
        "[1]",
        '{"image": "b.png"}',
        '{"image": "c.png", "label": ["x"]}',
    ]
    lines += ['{"image": "d.png", "label": true}', '{"image": "e.png", "label": null}']
    first, broken, array, lacking, listed, boolean, null = rows(
        written(tmp_path, "\n".join(lines), "t.jsonl"), name="t.jsonl"
    )
    assert (first.target, first.row) == ("1.50", "t.jsonl line 1")
    assert (broken.row, broken.reason[:11]) == ("t.jsonl line 3", "is not JSON")
    assert array.reason == "is JSON but not an object {column: value, ...}"
    assert lacking.reason == "has no 'label' (data.options.label); it has 'image'"
    assert listed.reason == "'label' (data.options.label) holds a list, expected text"
    assert boolean.target == "true"
    assert null == BadRow("t.jsonl line 8", "e.png", "no value for label")


def test_parquet(tmp_path):
    table = pa.table({"image": ["a.png", "b.png"], "label": [1, None], "unused": [b"x", b"y"]})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    first, second = rows(tmp_path, name="t.parquet")
    assert (first.target, first.row) == ("1", "t.parquet row 1")
    assert second == BadRow("t.parquet row 2", "b.png", "no value for label")


NAN = float("nan")


@pytest.mark.parametrize(
    ("label", "part", "lacking"),
    [([1.0, NAN], ["p", "q"], "label"), (["x", "y"], [7.0, NAN], "part"), ([1.0, NAN], [7.0, NAN], "label, part")],
)
def test_what_is_no_number_is_no_class_and_no_group(tmp_path, label, part, lacking):
    """Parquet as pandas writes it: a column with a hole is one of floats, and the hole is NaN."""
    table = pa.table({"image": ["a.png", "b.png"], "label": label, "part": part})
    pyarrow.parquet.write_table(table, tmp_path / "t.parquet")
    first, second = rows(tmp_path, Options(group="part"), "t.parquet")
    assert (first.target, first.group) == (str(label[0]), str(part[0]))
    assert second == BadRow("t.parquet row 2", "b.png", f"no value for {lacking}")


def test_nan_in_json_lines_and_excel(tmp_path):
    written(tmp_path, '{"image": "a.png", "label": NaN}\n{"image": "b.png", "label": "NaN"}', "t.jsonl")
    hole, spelled = rows(tmp_path, name="t.jsonl")
    assert hole == BadRow("t.jsonl line 1", "a.png", "no value for label")
    assert spelled.target == "NaN"  # text, which somebody wrote as a label
    book = openpyxl.Workbook()
    for row in (["image", "label"], ["a.png", NAN], ["b.png", 1.5]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    hole, number = rows(tmp_path, name="t.xlsx")
    assert (hole, number.target) == (BadRow("t.xlsx row 2", "a.png", "no value for label"), "1.5")


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_a_row_without_its_question_is_bad(tmp_path, empty):
    text = f"image,label,ask\na.png,x,What?\nb.png,x,{empty}\n"
    first, second = rows(written(tmp_path, text), Options(question="ask"))
    assert first.messages == (Message("user", "What?"),)
    assert second == BadRow("labels.csv line 3", "b.png", "no value for ask")


@pytest.mark.parametrize(
    ("name", "text", "given", "advice"),
    [
        ("t.csv", "image;label\na.png;x\n", ",", r"';': say data\.options\.delimiter=';'\."),
        ("t.csv", "image; label,b\na.png;x\n", ",", r"';': say data\.options\.delimiter=';'\."),
        ("t.csv", "image|label\na.png|x\n", ",", r"'\|': say data\.options\.delimiter='\|'\."),
        ("t.csv", "image\tlabel\na.png\tx\n", ",", r"'\\t': name the file \.tsv\."),
        ("t.tsv", "image,label\na.png,x\n", ",", r"',': name the file \.csv and leave data\.options\.delimiter out\."),
        ("t.csv", "image,label\na.png,x\n", ";", r"',': name the file \.csv and leave data\.options\.delimiter out\."),
    ],
)
def test_fields_that_are_separated_otherwise(tmp_path, name, text, given, advice):
    with pytest.raises(DataError, match=rf"{name} has its fields separated by {advice}"):
        rows(written(tmp_path, text, name), Options(delimiter=given), name)


def test_a_column_with_a_semicolon_in_its_name_is_one(tmp_path):
    assert rows(written(tmp_path, "image,label,a;b\na.png,x,1\n"), Options(meta=("a;b",)))[0].meta == {"a;b": "1"}
    with pytest.raises(DataError, match=r"no column 'kind' \(data.options.label\)"):
        rows(written(tmp_path, "image,label,a;b\na.png,x,1\n"), Options(label="kind"))
    with pytest.raises(DataError, match=r"line 1 cannot be read: a quote .* or fields are separated otherwise"):
        rows(written(tmp_path, '"image";"label"\n"a.png";"x"\n'))


def test_parquet_that_holds_the_images_themselves(tmp_path):
    pyarrow.parquet.write_table(pa.table({"image": [b"\x89PNG"], "label": ["x"]}), tmp_path / "t.parquet")
    assert rows(tmp_path, name="t.parquet")[0].reason == "'image' (data.options.image) holds a bytes, expected text"


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        (
            "t.csv",
            b"image,lable\na,b\n",
            Options(),
            r"no column 'label' \(data.options.label\), did you mean 'lable'\?",
        ),
        (
            "t.csv",
            b"image,label\n",
            Options(group="part"),
            r"no column 'part' \(data.group\). Its header has: image, label",
        ),
        ("t.csv", b"image,label,image\n", Options(), "two columns named 'image'"),
        ("t.csv", b"", Options(), "Its header has: nothing"),
        ("t.csv", b"image,label\n\xff\xfe.png,x\n", Options(), "is not UTF-8"),
        ("t.csv", b'image,label\n"' + b"x" * 140_000, Options(), "t.csv line .* cannot be read: field larger"),
        ("t.xls", b"PK", Options(), "t.xls is no table this adapter reads; expected one of .csv, .tsv"),
        ("t.xlsx", b"PK", Options(), "t.xlsx cannot be read as an Excel workbook: File is not a zip file"),
        ("t.parquet", b"no", Options(), "t.parquet cannot be read as Parquet"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path, name, content, options, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        rows(tmp_path, options, name)


def test_where_the_table_is_missing(tmp_path):
    with pytest.raises(DataError, match=r"data.path is not given: name the folder that holds labels.csv"):
        locate(None, Options())
    with pytest.raises(DataError, match=r"holds no labels.csv \(data.options.file\)"):
        locate(tmp_path, Options())
    with pytest.raises(DataError, match=r"does not exist; expected a folder with labels.csv"):
        locate(tmp_path / "gone", Options())


def test_rows_stream(tmp_path):
    lines = (f'{{"image": "{n}.png", "label": "x"}}' for n in range(3))
    written(tmp_path, "\n".join(lines) + "\n\xff", "t.jsonl", encoding="latin-1")
    stream = read(tmp_path / "t.jsonl", Options(), tmp_path)
    with pytest.raises(DataError, match=r"is not UTF-8"):
        list(stream)
    first = next(
        read(written(tmp_path, "image,label\na.png,x\n" + "b.png,x\n" * 9) / "labels.csv", Options(), tmp_path)
    )
    assert first.id == "a.png#1"


@pytest.fixture
def elpv_package(tmp_path, monkeypatch):
    """A stand-in for the package elpv-dataset with 72 mono, 90 poly and 10 mono cells."""
    data = tmp_path / "elpv_dataset" / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").touch()
    kinds = ["mono"] * 72 + ["poly"] * 90 + ["mono"] * 10
    lines = [f"images/cell{n:04d}.png  {(n % 4) / 3!r}  {kind}" for n, kind in enumerate(kinds)]
    (data / "labels.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield data
    sys.modules.pop("elpv_dataset", None)


CELLS = Options(
    images="images",
    image="filename",
    label="defective",
    group="pseudo_module",
    meta=("module_type",),
    package="elpv-dataset",
)


def test_the_package_stands_in_where_no_path_is_given(elpv_package, tmp_path):
    found = list(read(None, CELLS, tmp_path))
    assert locate(None, CELLS) == elpv_package
    assert [example.target for example in found[:4]] == ["0", "0", "1", "1"]
    assert json.loads(json.dumps(found[0].meta)) == {"module_type": "mono"}
    assert (found[0].id, found[0].images[0].path) == ("images/cell0000.png#1", "images/cell0000.png")
    # 72 cells are one block (the rest of 12 joins it), 90 are two (60 and 30), 10 stand alone.
    assert [found[n].group for n in (0, 71, 72, 131, 132, 161, 162)] == [
        "m00",
        "m00",
        "m01",
        "m01",
        "m02",
        "m02",
        "m03",
    ]


def test_without_the_package_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"data.path=FOLDER .* or run `pip install elpv-dataset`"):
        list(read(None, CELLS, tmp_path))


def test_another_package_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"package: 'leather' is not known; there is elpv-dataset"):
        locate(None, Options(package="leather"))
