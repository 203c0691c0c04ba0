"""Small real sources on disk, a small real model, and the command line as one function."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from finetune.cli.main import main

LABELS = ("bright", "dark")
PARTS = 30
"""Of which, by the hash of the names below, some fall into each split: see `folder`."""


def image(part: int, view: int = 0, side: int = 24) -> Image.Image:
    """Noise, bright for even parts and dark for odd ones; no two are equal."""
    noise = np.random.default_rng([part, view]).integers(0, 90, (side, side, 3), dtype=np.uint8)
    return Image.fromarray(noise + np.uint8(0 if part % 2 else 160))


def folder(root: Path, parts: int = PARTS, views: int = 1) -> Path:
    """`root/LABEL/pNN_V.png`; returns `root`."""
    for part in range(parts):
        place = root / LABELS[part % 2]
        place.mkdir(parents=True, exist_ok=True)
        for view in range(views):
            image(part, view).save(place / f"p{part:02d}_{view}.png")
    return root


def rows(root: Path, parts: int = PARTS, views: int = 1) -> list[dict[str, str]]:
    """The same images below `root/images`, as rows of a table with an id, a part and a given split."""
    (root / "images").mkdir(parents=True, exist_ok=True)
    found = []
    for part in range(parts):
        for view in range(views):
            name = f"p{part:02d}_{view}.png"
            image(part, view).save(root / "images" / name)
            split = "test" if part % 5 in (3, 4) else "val" if part % 5 == 2 else "train"
            row = {"image": name, "label": LABELS[part % 2], "part": f"p{part:02d}", "uid": f"u{part}-{view}"}
            found.append(row | {"split": split})
    return found


def _delimited(path: Path, found: list[dict[str, str]], mark: str) -> None:
    lines = [mark.join(found[0]), *(mark.join(row.values()) for row in found)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _jsonl(path: Path, found: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")


WRITERS = {
    "csv": lambda path, found: _delimited(path, found, ","),
    "tsv": lambda path, found: _delimited(path, found, "\t"),
    "jsonl": _jsonl,
    "parquet": lambda path, found: pyarrow.parquet.write_table(pa.Table.from_pylist(found), path),
}


def table(root: Path, found: list[dict[str, str]], kind: str = "csv") -> list[str]:
    """Writes a table of that kind beside the images; returns the overrides that read it."""
    path = root / f"labels.{kind}"
    WRITERS[kind](path, found)
    return [f"data.path={path}", "data.adapter=table", "data.options.images=images"]


def run(*arguments: str, code: int = 0) -> None:
    """Runs one command line in this process and checks its exit code."""
    assert main(list(arguments)) == code


def lines(path: Path) -> list[Mapping[str, object]]:
    """The objects of a .jsonl file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def document(path: Path) -> dict:
    """A JSON file; NaN and Infinity, which JSON does not know, are refused."""

    def refuse(name: str) -> float:
        raise ValueError(f"{path} holds {name}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
