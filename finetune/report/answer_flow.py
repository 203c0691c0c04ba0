"""Where every row went: from the source to the test, and from the test to each model's outcomes."""

from dataclasses import dataclass

from finetune.report import wording
from finetune.report.run_facts import Facts
from finetune.rundir import Json

FAILURES = ("unparsed", "refused", "filtered", "truncated", "api_error")
"""Outcomes without an answer that counts, in the order in which they are listed."""
SPOKEN = {
    "unparsed": "not understood",
    "refused": "refused",
    "filtered": "filtered",
    "truncated": "cut off",
    "api_error": "API error",
}


@dataclass(frozen=True)
class Box:
    """A box of the drawing, in SVG units."""

    x: float
    y: float
    width: float
    number: str
    text: str
    kind: str = ""


@dataclass(frozen=True)
class Flow:
    """Boxes and the lines between them.

    Attributes:
        names: (y, model) of each lane.
        notes: (x, y, text) small print beside boxes.
        alt: all counts in words.
        wrong: sentences on counts that do not add up; there should be none.
    """

    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[str, ...]
    names: tuple[tuple[float, str], ...]
    notes: tuple[tuple[float, float, str], ...]
    alt: str
    wrong: tuple[str, ...]


WIDTH, BOX_HEIGHT, LANE = 760, 44, 64


def flow(facts: Facts) -> Flow:
    """The drawing of the whole way."""
    boxes, arrows, told = _source(facts)
    names: list[tuple[float, str]] = []
    notes: list[tuple[float, float, str]] = []
    wrong = []
    images = (facts.comparison.get("estimand") or {}).get("images", facts.comparison["n"])
    for number, who in enumerate(facts.order):
        y = 184 + LANE * number
        counts = facts.comparison["outcomes"][who]
        asked = sum(counts.values())
        right, false = counts.get("correct", 0), counts.get("wrong", 0)
        failed = {name: counts[name] for name in FAILURES if counts.get(name)}
        names.append((y + BOX_HEIGHT / 2, who))
        boxes += [
            Box(140, y, 86, f"{asked:,}", "asked"),
            Box(262, y, 96, f"{right + false:,}", "answered"),
            Box(394, y, 86, f"{right:,}", "right", "good"),
            Box(488, y, 86, f"{false:,}", "wrong", "bad"),
            Box(610, y, 130, f"{asked - right - false:,}", "no answer", "none"),
        ]
        middle = y + BOX_HEIGHT / 2
        arrows += [f"M226 {middle}H258", f"M358 {middle}H390", f"M574 {middle}H606"]
        says = ", ".join(f"{SPOKEN[name]} {count:,}" for name, count in failed.items())
        if says:
            notes.append((740, y + BOX_HEIGHT + 12, says))
        told.append(
            f"{who}: {asked:,} asked, {right:,} right, {false:,} wrong, {sum(failed.values()):,} without answer"
        )
        if asked != images:
            wrong.append(f"{wording.who(who)}: {asked:,} answers for {images:,} test items")
    height = 184 + LANE * len(facts.order)
    return Flow(height, tuple(boxes), tuple(arrows), tuple(names), tuple(notes), "; ".join(told), tuple(wrong))


def _source(facts: Facts) -> tuple[list[Box], list[str], list[str]]:
    """The upper half: read, set aside, kept, and the splits."""
    data = facts.summary
    boxes = [
        Box(140, 8, 130, f"{data['read']:,}", "rows read"),
        Box(340, 8, 130, f"{data['quarantined']:,}", "set aside", "none"),
        Box(140, 78, 130, f"{data['kept']:,}", "kept"),
    ]
    arrows = ["M270 30H336", "M205 52V74"]
    splits = {name: count for name, count in data["by_split"].items() if not name.startswith("fold")}
    for place, name in enumerate(name for name in splits if name != "test"):
        boxes.append(
            Box(
                340 + 140 * place,
                78,
                130,
                f"{splits[name]:,}",
                {"val": "validation", "train": "training"}.get(name, name),
            )
        )
    if len(splits) > 1:
        arrows.append("M270 100H336")
    arrows.append("M205 122V144")
    pooled = f", {facts.comparison['folds']} folds pooled" if facts.comparison.get("folds") else ""
    told = [f"{data['read']:,} rows read, {data['quarantined']:,} set aside, {data['kept']:,} kept"]
    groups = wording.many(facts.comparison["groups"], "group")
    estimand: Json = facts.comparison.get("estimand") or {}
    counted: int = estimand["images"] if "images" in estimand else facts.comparison["n"]
    open_ = max(0, len(facts.examples) - counted)  # answered and shown, but exact match carries no verdict
    beside = f"; {wording.many(open_, 'open question')} beside the verdict" if open_ else ""
    boxes.append(Box(140, 144, 600, wording.tested(facts.comparison) + pooled + beside, "", "test"))
    told.append(f"test: {facts.comparison['n']:,} items in {groups}{beside}")
    return boxes, arrows, told
