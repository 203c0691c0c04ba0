r"""General question sets from a local folder, in the Parquet layouts of MMMU and MMStar.

MMMU (https://huggingface.co/datasets/MMMU/MMMU; features as in the merged copy
https://huggingface.co/datasets/lmms-lab/MMMU): `id`, `question` and `options` (a Python list spelled as text) with
`<image 1>` where an image belongs, `image_1` ... `image_7` (struct of bytes and path, or null), `answer` (a letter; `?`
in the test split), `question_type` (multiple-choice or open).

MMStar (https://huggingface.co/datasets/Lin-Chen/MMStar, mmstar.parquet): `index`, `question` with its options inside
(`...\nOptions: A: ..., B: ...`), `image` (bytes, or the struct), `answer` (a letter), `category`, and more.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from finetune.errors import DataError
from finetune.example import Example, ImageRef, Message
from finetune.regressions.ask import Item

LETTERS = "ABCDEFGHIJ"
IMAGES = tuple(f"image_{number}" for number in range(1, 8))
COLUMNS = {
    "mmmu": ("id", "question", "options", "answer", "question_type", "image_1"),
    "mmstar": ("index", "question", "image", "answer", "category"),
}
HINT = "Answer with the option's letter from the given choices directly."
"""How both benchmarks' own harnesses ask (MMMU eval/configs/llava1.5.yaml, lmms-eval mmstar.yaml)."""
_IMAGE_IN_TEXT = re.compile(r"<image \d>")
Row = Mapping[str, Any]


@dataclass(frozen=True)
class GeneralSet:
    """The questions of one benchmark.

    Attributes:
        name: mmmu or mmstar.
        items: those that can be asked and scored.
        left_out: reason -> number of the others.
        files: what was read, relative to the folder.
    """

    name: str
    items: tuple[Item, ...]
    left_out: Mapping[str, int]
    files: tuple[str, ...]


def tables(folder: Path) -> dict[str, list[Path]]:
    """Benchmark -> its Parquet files below a folder. Of MMMU's splits only validation, where it is among the files.

    Raises:
        DataError: the folder is not there, holds no Parquet file, or one of another layout.
    """
    files = sorted(folder.rglob("*.parquet")) if folder.is_dir() else []
    if not files:
        state = "holds no .parquet file" if folder.is_dir() else "is no folder"
        raise DataError(f"evaluate.general={folder} {state}; expected MMMU or MMStar as they are on the hub.")
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(_kind(file), []).append(file)
    chosen = [file for file in found.get("mmmu", []) if file.name.startswith("validation")]
    return dict(sorted((found | ({"mmmu": chosen} if chosen else {})).items()))


def _kind(file: Path) -> str:
    try:
        columns = set(pyarrow.parquet.read_schema(file).names)
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{file} cannot be read as Parquet ({error}); take it out of evaluate.general.") from error
    for kind, wanted in COLUMNS.items():
        if columns.issuperset(wanted):
            return kind
    layouts = "; ".join(f"{kind}: {', '.join(wanted)}" for kind, wanted in COLUMNS.items())
    raise DataError(
        f"{file} has the columns {', '.join(sorted(columns))}; expected one of these layouts: {layouts}. "
        "Take it out of evaluate.general."
    )


def read(folder: Path, images: Path) -> list[GeneralSet]:
    """Reads every set below `folder` and writes its images, untouched, into `images`.

    Raises:
        DataError: see `tables`; a row cannot be read (names file and row); or no question of a set can be scored.
    """
    return [_read(name, files, folder, images) for name, files in tables(folder).items()]


def _read(name: str, files: Sequence[Path], folder: Path, images: Path) -> GeneralSet:
    parse: Callable[[str, Row, Path], Item | str] = {"mmmu": _mmmu, "mmstar": _mmstar}[name]
    kept: list[Item] = []
    seen: set[str] = set()  # replies are judged by id
    left_out: Counter[str] = Counter()
    for where, row in _rows(files):
        prefix = f"{name}_{len(kept):05d}"
        item = parse(where, row, images / prefix)
        if isinstance(item, str):
            left_out[item] += 1
        elif item.example.id in seen:
            left_out["repeated id"] += 1
        else:
            seen.add(item.example.id)
            kept.append(item)
    if not kept:
        told = ", ".join(f"{reason}: {count}" for reason, count in left_out.items()) or "it is empty"
        raise DataError(f"evaluate.general: no question of {name} in {folder} can be scored ({told}).")
    names = tuple(file.relative_to(folder).as_posix() for file in files)
    return GeneralSet(name, tuple(kept), dict(sorted(left_out.items())), names)


def _rows(files: Sequence[Path]) -> Iterator[tuple[str, Row]]:
    for file in files:
        number = 0
        with pyarrow.parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=64):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{file.name} row {number}", row


def _mmmu(where: str, row: Row, place: Path) -> Item | str:
    """One row as a question, or the reason why it is left out."""
    if row["question_type"] != "multiple-choice":
        return "open question"
    question, options = _question(where, row), _options(where, row["options"])
    choices = tuple(LETTERS[: len(options)])
    if row["answer"] not in choices:
        return "no answer"
    given = [row[column] for column in IMAGES if row.get(column) is not None]
    if not given:
        return "no image"
    listed = "\n".join(f"({letter}) {option}" for letter, option in zip(choices, options, strict=True))
    text = f"{question}\n\n{listed}\n\n{HINT}"
    refs = tuple(_save(where, value, place, number) for number, value in enumerate(given, 1))
    return _item(str(row["id"]), refs, row["answer"], text, dict(zip(choices, options, strict=True)))


def _question(where: str, row: Row) -> str:
    if not isinstance(row["question"], str) or not row["question"].strip():
        raise DataError(f"{where}: question {row['question']!r} is no text.")
    return row["question"].strip()


def _options(where: str, value: Any) -> list[str]:
    try:
        options = ast.literal_eval(value) if isinstance(value, str) else value
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:  # all that it is said to raise
        raise DataError(f"{where}: options {value!r} is not a list ({error}).") from error
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise DataError(f"{where}: options {value!r} is not a list of texts.")
    if len(options) > len(LETTERS):
        raise DataError(f"{where}: {len(options)} options, expected at most {len(LETTERS)}.")
    return options


def _mmstar(where: str, row: Row, place: Path) -> Item | str:
    """One row as a question, or the reason why it is left out."""
    question = _question(where, row)
    options = _inside(question) or dict.fromkeys("ABCD", "")
    if row["answer"] not in options:
        return "no answer"
    if row["image"] is None:
        return "no image"
    refs = (_save(where, row["image"], place, 1),)
    return _item(str(row["index"]), refs, row["answer"], f"{question}\n{HINT}", options)


def _inside(question: str) -> dict[str, str]:
    """Letter -> text of the options that stand in a question of MMStar; empty where no two are found in order."""
    _, found, rest = question.rpartition("Options:")
    marks: list[re.Match[str]] = []
    for letter in LETTERS if found else "":
        start = marks[-1].end() if marks else 0
        mark = re.compile(rf"(?:\A|[,\n.])\s*{letter}:\s*").search(rest, start)
        if mark is None:
            break
        marks.append(mark)
    if len(marks) < 2:  # one choice is no question
        return {}
    ends = [mark.start() for mark in marks[1:]] + [len(rest)]
    return {LETTERS[n]: rest[mark.end() : ends[n]].strip(" ,\n") for n, mark in enumerate(marks)}


def _item(name: str, refs: tuple[ImageRef, ...], answer: str, text: str, options: Mapping[str, str]) -> Item:
    """The text of an option stands for its letter where no other option reads the same."""
    texts = {letter: option.strip().rstrip(".") for letter, option in options.items()}
    folded = Counter(text.casefold() for text in texts.values())
    spelled = {
        letter: (text,)
        for letter, text in texts.items()
        if text and folded[text.casefold()] == 1 and text.upper() not in options and not _IMAGE_IN_TEXT.search(text)
    }
    example = Example(name, refs, answer, name, messages=(Message("user", text),))
    return Item(example, tuple(options), spelled)


def _save(where: str, value: Any, place: Path, number: int) -> ImageRef:
    """Writes the bytes of one image; `finetune.images.decode` decodes them later, under its rules."""
    content = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(content, bytes):
        raise DataError(f"{where}: image {number} holds no bytes; expected the encoded image in the table itself.")
    file = place.with_name(f"{place.name}_{number}.img")
    file.write_bytes(content)
    return ImageRef(file.name)
