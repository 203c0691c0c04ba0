"""Hostile rows of general question sets: each is named or counted, none is asked under another one's answers."""

import pytest
from regressions.test_benchmark_files import SUITCASE, mmmu, mmstar, question, read

from finetune.errors import DataError
from finetune.regressions import benchmark_files


@pytest.mark.parametrize(
    "options",
    [
        "{[]: 1}",
        "['a'",
        "__import__('os').system('x')",
        "a, b",
        "-" * 20_000 + "1",
        "(" * 500,
        "",
        "None",
        "{'a': 'b'}",
    ],
)
def test_options_that_are_no_list_name_file_and_row(options):
    with pytest.raises(DataError, match=r"x\.parquet row 7: options .* is not a list"):
        benchmark_files._options("x.parquet row 7", options)


@pytest.mark.parametrize("value", [["a", "b"], "['a', 'b']", "[ 'a',\n 'b' ]"])
def test_options_as_text_or_as_a_list(value):
    assert benchmark_files._options("x", value) == ["a", "b"]


@pytest.mark.parametrize("text", ["", "  \n"])
def test_a_row_without_a_question_is_named(tmp_path, text):
    mmmu(tmp_path / "hub/x.parquet", [question(1), question(2, question=text)])
    with pytest.raises(DataError, match=r"x\.parquet row 2: question .* is no text"):
        read(tmp_path / "hub", tmp_path)


def test_a_null_question_is_named(tmp_path):
    (tmp_path / "hub").mkdir()
    mmstar(tmp_path / "hub/m.parquet", [{"question": SUITCASE, "answer": "A"}, {"question": None, "answer": "A"}])
    with pytest.raises(DataError, match=r"m\.parquet row 2: question None is no text"):
        read(tmp_path / "hub", tmp_path)


def test_ids_of_two_files_that_repeat_are_asked_once_and_counted(tmp_path):
    """MMStar counts from 0 in each file: the second file's question 0 would be judged by the options of the first's."""
    (tmp_path / "hub").mkdir()
    mmstar(tmp_path / "hub/a.parquet", [{"question": SUITCASE, "answer": "A"}] * 2)
    other = "What is it?\nOptions: A: A cat, B: A dog"
    mmstar(tmp_path / "hub/b.parquet", [{"question": other, "answer": "B"}] * 3)
    (found,), _ = read(tmp_path / "hub", tmp_path)
    assert [(item.example.id, len(item.choices)) for item in found.items] == [("0", 4), ("1", 4), ("2", 2)]
    assert found.left_out == {"repeated id": 2}


def test_both_benchmarks_stand_beside_each_other(tmp_path):
    mmmu(tmp_path / "hub/one/validation.parquet", [question(1)])
    mmstar(tmp_path / "hub/two.parquet", [{"question": SUITCASE, "answer": "A"}])
    found, images = read(tmp_path / "hub", tmp_path)
    assert [(one.name, one.files) for one in found] == [
        ("mmmu", ("one/validation.parquet",)),
        ("mmstar", ("two.parquet",)),
    ]
    names = [ref.path for one in found for item in one.items for ref in item.example.images]
    assert len(set(names)) == len(names) == len(list(images.iterdir()))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Options: A: Yes, B: No", {"A": "Yes", "B": "No"}),
        ("Options: A: one, two, B: three", {"A": "one, two", "B": "three"}),
        ("Options: B: No, A: Yes", {}),
        ("Options:", {}),
        ("Options: A: x, C: y", {}),
        ("Which Options: here?\nOptions: A: p, B: q", {"A": "p", "B": "q"}),
    ],
)
def test_options_inside_a_question(text, found):
    assert benchmark_files._inside(text) == found


@pytest.mark.parametrize(
    ("options", "spelled"),
    [
        ({"A": "Gothic", "B": "Doric"}, {"A": ("Gothic",), "B": ("Doric",)}),
        ({"A": "Gothic.", "B": "gothic"}, {}),
        ({"A": "B", "B": "A"}, {}),  # the text of one is the letter of the other
        ({"A": "<image 1>", "B": "round"}, {"B": ("round",)}),
        ({"A": "", "B": "round"}, {"B": ("round",)}),
    ],
)
def test_a_text_stands_for_its_letter_only_where_it_is_clear(options, spelled):
    item = benchmark_files._item("x", (), "A", "Which?", options)
    assert item.synonyms == spelled
    assert item.choices == ("A", "B")
