"""The gallery: every test item with its answers, thumbnails of those worth a look first, as JSON safe inside HTML."""

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageFilter

from finetune.example import Example
from finetune.rundir import Json

MOST_PICTURES = 500
MOST_BYTES = 10_000_000
SIDE_PX = 224
"""Longest side of a thumbnail."""
KINDS = {
    "broken": "Tuned wrong, base right",
    "both_wrong": "Both wrong",
    "fixed": "Tuned right, base wrong",
    "both_right": "Both right",
}
"""What became of an item, most worrying first: this is the order in which pictures are spent."""
ALONE = {"wrong": "Tuned wrong", "right": "Tuned right"}
"""The same where the base was not evaluated."""


@dataclass(frozen=True)
class Gallery:
    """What the template needs.

    Attributes:
        items: one object an item, see `_item`.
        kinds: kind -> (what it is called, how many).
        pictures: how many items have a thumbnail.
    """

    items: tuple[Json, ...]
    kinds: dict[str, tuple[str, int]]
    pictures: int


def build(
    examples: Sequence[Example],
    deployed: Mapping[str, Sequence[Json]],
    generated: Mapping[str, Sequence[Json]],
    load: Callable[[Example], Image.Image] | None,
    blurred: bool,
) -> Gallery:
    """Joins examples with what base and tuned said.

    Args:
        examples: the test split.
        deployed: model -> rows of its predictions file, in the order of the examples.
        generated: the same of the other answering mode.
        load: decodes the first image of an example; None = no pictures.
        blurred: thumbnails that show no detail.

    Raises:
        DataError: an image cannot be decoded.
    """
    items = [_item(i, example, deployed, generated) for i, example in enumerate(examples)]
    names = KINDS if "base" in deployed else ALONE
    kinds = {kind: (name, sum(item["kind"] == kind for item in items)) for kind, name in names.items()}
    pictures, spent = 0, 0
    order = sorted(items, key=lambda item: (list(names).index(item["kind"]), item["index"]))
    for item in order[:MOST_PICTURES] if load else ():
        picture = thumbnail(load(examples[item["index"]]), blurred) if load else ""
        spent += len(picture)
        if spent > MOST_BYTES:
            break
        item["picture"] = picture
        pictures += 1
    return Gallery(tuple(items), kinds, pictures)


def _item(
    index: int, example: Example, deployed: Mapping[str, Sequence[Json]], generated: Mapping[str, Sequence[Json]]
) -> Json:
    said = {who: _said(rows[index]) for who, rows in deployed.items() if who in ("base", "tuned")}
    for who, rows in generated.items():
        said[who]["written"] = rows[index]["text"]
        said[who]["written_outcome"] = rows[index]["outcome"]
    right = {who: rows[index]["outcome"] == "correct" for who, rows in deployed.items()}
    return {
        "index": index,
        "id": example.id,
        "group": example.group,
        "question": example.question,
        "gold": example.target,
        "images": len(example.images),
        "kind": _kind(right),
        "said": said,
        "picture": None,
    }


def _kind(right: Mapping[str, bool]) -> str:
    tuned = right.get("tuned", False)
    if "base" not in right:
        return "right" if tuned else "wrong"
    if tuned:
        return "both_right" if right["base"] else "fixed"
    return "broken" if right["base"] else "both_wrong"


def _said(row: Json) -> Json:
    probabilities: dict[str, float] = row["probabilities"] or {}
    ranked = sorted(probabilities.items(), key=lambda entry: -entry[1])[:6]
    return {
        "text": row["text"],
        "answer": row["answer"],
        "right": row["outcome"] == "correct",
        "outcome": row["outcome"],
        "p": probabilities.get(row["answer"] or ""),
        "probabilities": [[label, round(p, 4)] for label, p in ranked],
    }


def thumbnail(image: Image.Image, blurred: bool) -> str:
    """The image as a `data:` URI of a small WebP. Blurred: 16 pixels survive on a side, so nothing can be undone."""
    small = image.convert("RGB")
    if blurred:
        small.thumbnail((16, 16))
        scale = SIDE_PX // max(small.size)
        small = small.resize((small.width * scale, small.height * scale), Image.Resampling.BICUBIC)
        small = small.filter(ImageFilter.GaussianBlur(6))
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=30 if blurred else 72, method=4)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def safe_json(value: Any) -> str:
    """JSON for a `<script>` element: no `<`, so neither `</script>` nor `<!--` can occur, whatever a label holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
