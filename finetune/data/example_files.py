"""Reading and writing the examples of a run: the lines of `data/*.jsonl`."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from finetune.config.schema import Config
from finetune.errors import DataError
from finetune.example import Box, Example, ImageRef, Message, Whole
from finetune.rundir import Json, Part, RunDir, read_json, read_jsonl


def to_row(example: Example) -> Json:
    """The line of `data/{train,val,test}.jsonl` that stands for an example."""
    return {
        "id": example.id,
        "images": [_from_ref(ref) for ref in example.images],
        "messages": [vars(message) for message in example.messages],
        "target": example.target,
        "rejected": example.rejected,
        "boxes": None if example.boxes is None else [vars(box) for box in example.boxes],
        "group": example.group,
        "meta": example.meta,
        "row": example.row,
        **({} if example.whole is None else {"whole": vars(example.whole)}),
        **({} if example.size is None else {"size": example.size}),
    }


def _from_ref(ref: ImageRef) -> Json:
    """By hand: `asdict` takes ten times as long, a million times over. Whole images say nothing of tiles."""
    row = {"path": ref.path, "member": ref.member, "frame": ref.frame, "window": ref.window}
    return row if ref.tile is None else row | {"tile": ref.tile}


def to_line(example: Example) -> str:
    """That line as text, with its end."""
    return json.dumps(to_row(example), ensure_ascii=False, allow_nan=False) + "\n"


def read_split(path: Path) -> list[Example]:
    """Reads `data/{train,val,test}.jsonl` back; `split` is the file's name.

    Raises:
        DataError: the file is not there.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; run the stage prepare first.")
    return [to_example(row, path.stem) for row in read_jsonl(path)]


def by_part(config: Config, run: RunDir, examples: Sequence[Example]) -> Iterator[tuple[Part, list[Example]]]:
    """Test examples with the part of the run whose test split holds them: one part, or one a fold."""
    for part in run.parts(config.data.folds):
        own = {row["id"] for row in read_jsonl(part.split("test"))}
        yield part, [example for example in examples if example.id in own]


def to_example(row: Json, split: str | None) -> Example:
    """The example of such a line, and the split it belongs to."""
    boxes = row["boxes"]
    return Example(
        id=row["id"],
        images=tuple(_to_ref(ref) for ref in row["images"]),
        target=row["target"],
        group=row["group"],
        messages=tuple(Message(**message) for message in row["messages"]),
        split=split,
        rejected=row["rejected"],
        boxes=None if boxes is None else tuple(Box(**box) for box in boxes),
        meta=row["meta"],
        row=row["row"],
        whole=_to_whole(row["whole"]) if "whole" in row else None,
        size=(row["size"][0], row["size"][1]) if "size" in row else None,
    )


def _to_ref(ref: Json) -> ImageRef:
    window, tile = ref["window"], ref.get("tile")
    low_high = (window[0], window[1]) if window else None
    rectangle = (tile[0], tile[1], tile[2], tile[3]) if tile else None
    return ImageRef(ref["path"], ref["member"], ref["frame"], low_high, rectangle)


def _to_whole(row: Json) -> Whole:
    return Whole(row["id"], row["target"], (row["size"][0], row["size"][1]))


def labels(run: RunDir) -> tuple[str, ...]:
    """The closed answers of a prepared run, in their order.

    Raises:
        DataError: the run is not prepared.
    """
    if not run.summary.exists():
        raise DataError(f"{run.summary} does not exist; run the stage prepare first.")
    return tuple(read_json(run.summary)["labels"])
