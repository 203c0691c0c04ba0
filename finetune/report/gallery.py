"""The gallery: every test item with its answers, thumbnails of those worth a look first, as JSON safe inside HTML."""

import base64
import io
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageFilter

from finetune.example import Example
from finetune.report import box_drawing
from finetune.rundir import Json

MOST_PICTURES = 500
MOST_BYTES = 8_000_000
"""Of all thumbnails together, as text in the page."""
MOST_TEXT = 2_500_000
"""Characters of replies in the page; with many items each is cut shorter."""
SIDE_PX = 224
"""Longest side of a thumbnail."""
QUALITIES = (72, 45, 20, 10, 3)
"""Of a thumbnail; the next one is tried where a picture takes more than its share of `MOST_BYTES`, as noise does."""
KINDS = {
    "broken": "Tuned wrong, base right",
    "both_wrong": "Both wrong",
    "fixed": "Tuned right, base wrong",
    "both_right": "Both right",
}
"""What became of an item, most worrying first: this is the order in which pictures are spent."""
ALONE = {"wrong": "Tuned wrong", "right": "Tuned right"}
"""The same where the base was not evaluated."""
AGAINST = {"lost": "Tuned wrong, {rival} right", "won": "Tuned right, {rival} wrong"}
"""What is added where there is a model to be replaced."""


@dataclass(frozen=True)
class Gallery:
    """What the template needs.

    Attributes:
        items: one object an item, see `_item`.
        questions: the different questions; an item names its own by number.
        kinds: kind -> (what it is called, how many).
        who: models whose answers are shown.
        pictures: how many items have a thumbnail.
        shown: id -> thumbnail or None, of the items that stand on the page itself (`first`); their entries in `items`
            point there by `#pic-N`, so that no picture is in the page twice.
        legend: what the boxes on the pictures mean, or "".
    """

    items: tuple[Json, ...]
    questions: tuple[str, ...]
    kinds: dict[str, tuple[str, int]]
    who: tuple[str, ...]
    pictures: int
    shown: dict[str, str | None]
    legend: str = ""


def build(
    examples: Sequence[Example],
    deployed: Mapping[str, Sequence[Json]],
    generated: Mapping[str, Sequence[Json]],
    load: Callable[[Example], Image.Image] | None,
    blurred: bool,
    rival: str | None = None,
    first: Sequence[str] = (),
    boxes: bool = False,
) -> Gallery:
    """Joins examples with what the models said.

    Args:
        examples: the test split.
        deployed: model -> rows of its predictions file, in the order of the examples.
        generated: the same of the other answering mode.
        load: decodes the first image of an example; None = no pictures.
        blurred: thumbnails that show no detail.
        rival: the model to be replaced, if there is one.
        first: ids of the items that get their pictures before all others.
        boxes: answers are boxes: they are drawn, and most boxes wrong come first.

    Raises:
        DataError: an image cannot be decoded.
    """
    questions = tuple(dict.fromkeys(example.question for example in examples))
    numbers = {question: number for number, question in enumerate(questions)}
    most = max(80, min(600, MOST_TEXT // max(1, len(examples) * (len(deployed) + len(generated)))))
    items = [_item(i, example, deployed, generated, most, rival) for i, example in enumerate(examples)]
    for item, example in zip(items, examples, strict=True):
        item["question"] = numbers[example.question]
    names = (KINDS if "base" in deployed else ALONE) | (
        {kind: name.format(rival=rival) for kind, name in AGAINST.items()} if rival in deployed else {}
    )
    counts = Counter(kind for item in items for kind in item["kinds"])
    wanted = {name: place for place, name in enumerate(dict.fromkeys(first))}
    drawn = next((who for who in ("tuned", *deployed) if boxes and who in deployed), None)
    wrong = [_wrong(example, deployed[drawn][i]) if drawn else 0 for i, example in enumerate(examples)]
    order = sorted(items, key=lambda item: _place(item, wanted, names, wrong))
    shown: dict[str, str | None] = dict.fromkeys(wanted)
    pictures, spent = 0, 0
    for item in order[:MOST_PICTURES] if load else ():
        example = examples[item["index"]]
        marks = (example.target, deployed[drawn][item["index"]]["answer"]) if drawn else None
        picture = thumbnail(load(example), blurred, marks) if load else ""
        spent += len(picture)
        if spent > MOST_BYTES:
            break
        on_page = item["id"] in shown
        if on_page:
            shown[item["id"]] = picture
        item["picture"] = f"#pic-{item['index']}" if on_page else picture
        pictures += 1
    kinds = {kind: (name, counts[kind]) for kind, name in names.items()}
    cut = tuple(question[:2000] for question in questions)
    legend = box_drawing.LEGEND.format(who=drawn) if drawn and pictures else ""
    return Gallery(tuple(items), cut, kinds, tuple(deployed), pictures, shown, legend)


def _wrong(example: Example, row: Json) -> int:
    return box_drawing.mistakes(example.target, row["answer"])


def _place(
    item: Json, wanted: Mapping[str, int], names: Mapping[str, str], wrong: Sequence[int]
) -> tuple[int, int, int, int]:
    """By which pictures are spent: those asked for, then what became of it, then most boxes wrong."""
    index: int = item["index"]
    return wanted.get(item["id"], len(wanted)), _worry(item, names), -wrong[index], index


def _worry(item: Json, names: Mapping[str, str]) -> int:
    """Rank for a picture: lost against the rival, then by what became of it against the base."""
    return -1 if "lost" in item["kinds"] else list(names).index(item["kinds"][0])


def _item(
    index: int,
    example: Example,
    deployed: Mapping[str, Sequence[Json]],
    generated: Mapping[str, Sequence[Json]],
    most: int,
    rival: str | None,
) -> Json:
    said = {who: _said(rows[index], most) for who, rows in deployed.items()}
    for who, rows in generated.items():
        if who in said and rows[index]["text"] != said[who]["answer"]:
            said[who]["written"] = rows[index]["text"][:most]
        if who in said:
            said[who]["written_outcome"] = rows[index]["outcome"]
    right = {who: rows[index]["outcome"] == "correct" for who, rows in deployed.items()}
    kinds = [_kind(right)]
    if rival in right and right[rival] != right.get("tuned", False):
        kinds.append("lost" if right[rival] else "won")
    return {
        "index": index,
        "id": example.id,
        "group": example.group,
        "gold": example.target[:most],
        "images": len(example.images),
        "kinds": kinds,
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


def _said(row: Json, most: int) -> Json:
    probabilities: dict[str, float] = row.get("even_probabilities") or row["probabilities"] or {}
    ranked = sorted(probabilities.items(), key=lambda entry: -entry[1])[: 6 if most > 300 else 3]
    answer = row["answer"]
    said = {"answer": answer if answer is None else answer[:most], "outcome": row["outcome"]}
    if row["text"] != answer:
        said["text"] = row["text"][:most]
    if ranked:
        said |= {"p": probabilities.get(answer or ""), "probabilities": [[label, round(p, 4)] for label, p in ranked]}
    if row.get("even_probabilities"):
        said["even"] = True
    return said


def thumbnail(image: Image.Image, blurred: bool, boxes: tuple[str, str | None] | None = None) -> str:
    """The image as a `data:` URI of a small WebP. Blurred: 16 pixels survive on a side, so nothing can be undone.

    Args:
        image: what a model saw.
        blurred: without detail.
        boxes: canonical text of truth and answer, drawn where they are given.
    """
    small = image.convert("RGB")
    if blurred:
        small.thumbnail((16, 16))
        scale = SIDE_PX // max(small.size)
        small = small.resize((small.width * scale, small.height * scale), Image.Resampling.BICUBIC)
        small = small.filter(ImageFilter.GaussianBlur(6))
    small.thumbnail((SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    if boxes is not None:
        small = box_drawing.draw(small, *boxes)
    content = b""
    for quality in (30,) if blurred else QUALITIES:
        buffer = io.BytesIO()
        small.save(buffer, "WEBP", quality=quality, method=4)
        content = base64.b64encode(buffer.getvalue())
        if len(content) <= MOST_BYTES // MOST_PICTURES:
            break
    return "data:image/webp;base64," + content.decode()


def safe_json(value: Any) -> str:
    """JSON for a `<script>` element: no `<`, so neither `</script>` nor `<!--` can occur, whatever a label holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text
