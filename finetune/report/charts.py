"""Geometry of the report's drawings; the template turns it into inline SVG, so all text is escaped in one place."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from finetune.report import wording
from finetune.rundir import Json


@dataclass(frozen=True)
class Dot:
    """One model on one axis of the dot-and-interval plot; 0..1000 is 0..100 %."""

    who: str
    x: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Panel:
    """One metric of the dot-and-interval plot; `key` is its name in `comparison.json`."""

    key: str
    name: str
    dots: tuple[Dot, ...]


@dataclass(frozen=True)
class Plot:
    """A line chart: points as SVG `points`, ticks as (position, text)."""

    title: str
    unit: str
    width: int
    height: int
    lines: tuple[tuple[str, str], ...]
    markers: tuple[tuple[float, float, str], ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


PLOT_WIDTH, PLOT_HEIGHT = 460, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 30
AXIS_WIDTH = 1000


def intervals(comparison: Json, metrics: Sequence[str], order: Sequence[str]) -> tuple[Panel, ...]:
    """Dot-and-interval plot: one panel a metric, one row a model."""
    panels = []
    for metric in metrics:
        dots = []
        for who in order:
            score = comparison["models"][who].get(metric)
            if not isinstance(score, Mapping) or score["value"] is None or score["low"] is None:
                continue
            value, low, high = (AXIS_WIDTH * score[key] for key in ("value", "low", "high"))
            dots.append(Dot(who, value, low, high, f"{wording.percent(score['value'])} ({wording.interval(score)})"))
        panels.append(Panel(metric, wording.title(metric), tuple(dots)))
    return tuple(panels)


@dataclass(frozen=True)
class Differences:
    """Paired differences on one axis in points; positions are 0..1000.

    Attributes:
        rows: tuned minus each other model; the one that decides first.
        zero: where no difference is.
        margin: where the largest accepted loss is, or None when none was declared.
        ticks: (position, text).
    """

    rows: tuple[Dot, ...]
    zero: float
    margin: float | None
    ticks: tuple[tuple[float, str], ...]


def differences(comparison: Json, order: Sequence[str], margin: float | None) -> Differences | None:
    """Tuned minus each other model with its 95 % interval, against zero and the margin."""
    pairs = {who: comparison["pairs"][f"tuned-{who}"] for who in order if f"tuned-{who}" in comparison["pairs"]}
    if not pairs:
        return None
    edges = [0.0, *(pair[key] for pair in pairs.values() for key in ("low", "high"))]
    edges += [-1.6 * margin, margin] if margin else []
    marks = ticks(100 * min(edges), 100 * max(edges), 6)
    low, high = marks[0], marks[-1]

    def place(share: float) -> float:
        return AXIS_WIDTH * (100 * share - low) / (high - low)

    rows = [
        Dot(
            who,
            place(pair["difference"]),
            place(pair["low"]),
            place(pair["high"]),
            f"{wording.points(pair['difference'])} ({wording.points(pair['low'])} to {wording.points(pair['high'])})",
        )
        for who, pair in pairs.items()
    ]
    texts = tuple((place(mark / 100), f"{mark:+g}".replace("-", "\u2212") if mark else "0") for mark in marks)
    return Differences(tuple(rows), place(0), place(-margin) if margin else None, texts)


def smoothed(values: Sequence[float], weight: float = 0.9) -> list[float]:
    """Exponential moving average without the bias of the first steps."""
    total, norm, out = 0.0, 0.0, []
    for value in values:
        total, norm = weight * total + (1 - weight) * value, weight * norm + (1 - weight)
        out.append(total / norm)
    return out


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers that cover low..high in about `count` steps; two at least, also where low is high."""
    if high - low < 1e-9:
        high = low + 1
    rough = (high - low) / count
    magnitude = 10.0 ** _floor_log10(rough)
    step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= rough * 0.999)
    first = math.floor(low / step + 1e-9)  # 3 / 0.2 is a hair under 15
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _floor_log10(value: float) -> int:
    exponent = 0
    while value < 1:
        value, exponent = value * 10, exponent - 1
    while value >= 10:
        value, exponent = value / 10, exponent + 1
    return exponent


def curve(
    title: str, unit: str, series: Mapping[str, Sequence[tuple[float, float]]], best: float | None = None
) -> Plot:
    """A line chart of named series of (x, y); `best` marks the point with that x."""
    points = [point for line in series.values() for point in line]
    y_marks = ticks(min(y for _, y in points), max(y for _, y in points))
    x_marks = ticks(0, max(x for x, _ in points))

    def place(x: float, y: float) -> tuple[float, float]:
        width, height = PLOT_WIDTH - LEFT - RIGHT, PLOT_HEIGHT - TOP - BOTTOM
        across = LEFT + width * x / max(x_marks[-1], 1e-9)
        return round(across, 1), round(TOP + height * (y_marks[-1] - y) / (y_marks[-1] - y_marks[0]), 1)

    def joined(line: Iterable[tuple[float, float]]) -> str:
        return " ".join(f"{a},{b}" for a, b in (place(x, y) for x, y in line))

    markers = [(*place(x, y), f"{y:.3g}") for line in series.values() for x, y in line if x == best]
    return Plot(
        title=title,
        unit=unit,
        width=PLOT_WIDTH,
        height=PLOT_HEIGHT,
        lines=tuple((name, joined(line)) for name, line in series.items()),
        markers=tuple(markers[-1:]),
        x_ticks=tuple((place(x, y_marks[0])[0], f"{x:,.6g}") for x in x_marks),
        y_ticks=tuple((place(0, y)[1], f"{y:g}") for y in y_marks),
    )


def thinned(line: Sequence[tuple[float, float]], most: int = 400) -> list[tuple[float, float]]:
    """At most `most` points, evenly spaced, the last one kept."""
    step = max(1, -(-len(line) // most))
    kept = list(line[::step])
    return kept if kept and kept[-1] == line[-1] else [*kept, *line[-1:]]


def heat(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Shade 0..10 of each cell of a confusion table: its share of the row."""
    return [[round(10 * cell / max(1, sum(row))) for cell in row] for row in rows]
