"""General sets in the layouts of MMMU and MMStar, written by hand as the hub has them."""

import io

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from finetune.errors import DataError
from finetune.images import decode
from finetune.regressions import benchmark_files
from finetune.tasks import classify

IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def png(shade: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (6, 4), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def mmmu(file, rows):
    """Writes rows with the columns, and their types, of MMMU/MMMU."""
    file.parent.mkdir(parents=True, exist_ok=True)
    names = ["id", "question", "options", "explanation", "answer", "question_type"]
    columns = {name: pyarrow.array([row.get(name, "") for row in rows], pyarrow.string()) for name in names}
    for name in benchmark_files.IMAGES:
        columns[name] = pyarrow.array([row.get(name) for row in rows], IMAGE)
    pyarrow.parquet.write_table(pyarrow.table(columns), file)


def question(number, **changes):
    return {
        "id": f"validation_Design_{number}",
        "question": "The piece <image 1> is in what style?",
        "options": "['Gothic', 'Art Deco', '<image 2>', 'gothic ']",
        "answer": "B",
        "question_type": "multiple-choice",
        "image_1": {"bytes": png(number), "path": "x.png"},
        **changes,
    }


def mmstar(file, rows):
    """Writes rows with the columns, and their types, of Lin-Chen/MMStar."""
    table = {
        "index": pyarrow.array(range(len(rows)), pyarrow.int64()),
        "question": pyarrow.array([row["question"] for row in rows]),
        "image": pyarrow.array([row.get("image", png()) for row in rows]),
        "answer": pyarrow.array([row["answer"] for row in rows]),
        "category": pyarrow.array(["coarse perception"] * len(rows)),
        "l2_category": pyarrow.array(["image style & quality"] * len(rows)),
        "meta_info": pyarrow.array([{"source": "MMBench", "split": "val", "image_path": "images/0.jpg"}] * len(rows)),
    }
    pyarrow.parquet.write_table(pyarrow.table(table), file)


SUITCASE = (
    "Which option describe the object relationship in the image correctly?\n"
    "Options: A: The suitcase is on the book., B: The suitcase is beneath the cat., C: 3, 4 and 5, D: None of it."
)


def read(folder, tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    return benchmark_files.read(folder, images), images


def test_mmmu_as_on_the_hub(tmp_path):
    rows = [
        question(1, image_2={"bytes": png(9), "path": None}),
        question(2, question_type="open", options="[]", answer="12"),
        question(3, answer="?"),
        question(4, image_1=None),
    ]
    mmmu(tmp_path / "hub/Design/validation-00000-of-00001.parquet", rows)
    mmmu(tmp_path / "hub/Design/dev-00000-of-00001.parquet", [question(5)])
    (found,), images = read(tmp_path / "hub", tmp_path)
    assert (found.name, found.files) == ("mmmu", ("Design/validation-00000-of-00001.parquet",))
    assert found.left_out == {"no answer": 1, "no image": 1, "open question": 1}
    (item,) = found.items
    assert (item.example.id, item.example.target, item.choices) == ("validation_Design_1", "B", ("A", "B", "C", "D"))
    assert item.example.question == (
        "The piece <image 1> is in what style?\n\n(A) Gothic\n(B) Art Deco\n(C) <image 2>\n(D) gothic \n\n"
        "Answer with the option's letter from the given choices directly."
    )
    assert item.synonyms == {"B": ("Art Deco",)}  # two options read the same, one is a picture
    seen = [decode.load(images, ref).getpixel((0, 0)) for ref in item.example.images]
    assert seen == [(1, 0, 0), (9, 0, 0)]


def test_splits_other_than_validation_count_where_there_is_no_validation(tmp_path):
    mmmu(tmp_path / "hub/mine.parquet", [question(1)])
    (found,), _ = read(tmp_path / "hub", tmp_path)
    assert len(found.items) == 1


def test_mmstar_as_on_the_hub(tmp_path):
    (tmp_path / "hub").mkdir()
    rows = [{"question": SUITCASE, "answer": "B"}, {"question": SUITCASE, "answer": "E"}]
    mmstar(tmp_path / "hub/mmstar.parquet", rows)
    (found,), images = read(tmp_path / "hub", tmp_path)
    (item,) = found.items
    assert found.left_out == {"no answer": 1}
    assert (item.example.id, item.example.target, item.choices) == ("0", "B", ("A", "B", "C", "D"))
    assert item.example.question == f"{SUITCASE}\n{benchmark_files.HINT}"
    assert item.synonyms["C"] == ("3, 4 and 5",)
    assert item.synonyms["A"] == ("The suitcase is on the book",)
    assert decode.load(images, item.example.images[0]).size == (6, 4)


def test_images_of_mmstar_may_be_structs(tmp_path):
    (tmp_path / "hub").mkdir()
    mmstar(tmp_path / "hub/m.parquet", [{"question": SUITCASE, "answer": "A", "image": {"bytes": png(), "path": "0"}}])
    (found,), _ = read(tmp_path / "hub", tmp_path)
    assert len(found.items) == 1


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("B", "B"),
        ("B: The suitcase is beneath the cat.", "B"),
        ("The suitcase is beneath the cat", "B"),
        ("(B)", "B"),
        ("A suitcase", None),
        ("A or B", None),
    ],
)
def test_replies_are_read_by_the_parser_of_all_replies(tmp_path, reply, answer):
    (tmp_path / "hub").mkdir()
    mmstar(tmp_path / "hub/mmstar.parquet", [{"question": SUITCASE, "answer": "B"}])
    (found,), _ = read(tmp_path / "hub", tmp_path)
    (item,) = found.items
    assert classify.parse(reply, item.choices, item.synonyms) == answer


def test_options_may_stand_on_lines_of_their_own():
    assert benchmark_files._inside("Is it day?\nOptions: A: Yes\nB: No") == {"A": "Yes", "B": "No"}
    assert benchmark_files._inside("No options here") == {}


@given(st.lists(st.text("abc ,12", min_size=1, max_size=8).map(str.strip).filter(bool), min_size=2, max_size=5))
def test_options_come_back_whatever_commas_they_hold(options):
    listed = ", ".join(f"{letter}: {option}" for letter, option in zip(benchmark_files.LETTERS, options, strict=False))
    found = benchmark_files._inside(f"What?\nOptions: {listed}")
    assert list(found) == list(benchmark_files.LETTERS[: len(options)])
    assert [value.strip(", ") for value in found.values()] == [option.strip(", ") for option in options]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"options": "[1, 2]"}, r"x\.parquet row 1: options '\[1, 2\]' is not a list of texts"),
        ({"options": "['a'"}, r"x\.parquet row 1: options .* is not a list \("),
        ({"options": str(["o"] * 11)}, "11 options, expected at most 10"),
        ({"image_1": {"bytes": None, "path": "a.png"}}, "image 1 holds no bytes"),
        ({"answer": "?"}, r"no question of mmmu in .* can be scored \(no answer: 1\)"),
    ],
)
def test_rows_that_cannot_be_read_are_named(tmp_path, row, message):
    mmmu(tmp_path / "hub/x.parquet", [question(1, **row)])
    with pytest.raises(DataError, match=message):
        read(tmp_path / "hub", tmp_path)


def test_folders_that_hold_something_else(tmp_path):
    with pytest.raises(DataError, match=r"evaluate\.general=.*absent is no folder; expected MMMU or MMStar"):
        benchmark_files.tables(tmp_path / "absent")
    with pytest.raises(DataError, match=r"holds no \.parquet file"):
        benchmark_files.tables(tmp_path)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match=r"broken\.parquet cannot be read as Parquet"):
        benchmark_files.tables(tmp_path)
    pyarrow.parquet.write_table(pyarrow.table({"caption": ["x"]}), tmp_path / "broken.parquet")
    with pytest.raises(DataError, match=r"has the columns caption; expected one of these layouts: mmmu: id, question"):
        benchmark_files.tables(tmp_path)
