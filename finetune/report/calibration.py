"""What the models' own probabilities are worth: reliability against its null band, and risk against coverage."""

from dataclasses import dataclass
from typing import Any

from finetune.report import charts, wording
from finetune.report.run_facts import Facts
from finetune.rundir import Json

SIDE, LEFT, TOP = 240, 44, 10
"""Side of a square plot, and its left and upper margin, in SVG units."""
MOST_POINTS = 200
SHIFTED = (
    "In training, labels did not count as often as they occur (train.balance, train.class_weights). Probabilities are "
    "put back to how often they occur, the answers are not: one may stand beside a probability below one half."
)


@dataclass(frozen=True)
class Square:
    """A square plot of shares against shares.

    Attributes:
        who: the model.
        alt: the plot in words.
        band: corners of the band in which a perfectly calibrated model would fall, as SVG `points`; "" without.
        line: the curve, as SVG `points`.
        dots: (x, y, radius, text) of bins or of the chosen threshold.
        level: height of a horizontal line (the target), or None.
        ticks: (position, text) of both axes; y positions count from the top.
    """

    who: str
    alt: str
    band: str
    line: str
    dots: tuple[tuple[float, float, float, str], ...]
    level: float | None
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def _x(share: float) -> float:
    return round(LEFT + SIDE * share, 1)


def _y(share: float, top: float = 1.0) -> float:
    return round(TOP + SIDE * (1 - share / top), 1)


def calibrations(facts: Facts) -> list[Json]:
    """Per model with probabilities: the diagram and the figures beside it."""
    told = []
    for who in facts.order:
        found = facts.detail(who).get("calibration")
        if found:
            row = {"who": who, "plot": reliability(who, found), "facts": _calibration_facts(found)}
            told.append(row | {"note": SHIFTED if who == "tuned" and _evened_out(facts) else ""})
    return told


def _evened_out(facts: Facts) -> bool:
    """Whether the training that was judged changed how often labels count."""
    train = facts.config.train
    return facts.config.model.adapter is None and bool(train.balance or train.class_weights)


def _calibration_facts(found: Json) -> list[tuple[str, str]]:
    null = found.get("ece_null")
    rows = [
        ("Calibration error, 10 bins", _number(found.get("ece"))),
        ("the same if perfectly calibrated", f"{null[0]:.3f} to {null[1]:.3f}" if null else ""),
        ("Calibration error, debiased", _number(found.get("ece_debiased"))),
        ("Brier score", _number(found.get("brier"))),
        ("Log loss", _number(found.get("log_loss"))),
        ("Slope, intercept (ideal 1, 0)", _pair(found.get("slope"), found.get("intercept"))),
        ("Temperature, fitted on validation", _number(found.get("temperature"))),
    ]
    return [(name, text) for name, text in rows if text]


def _value(found: Any) -> Any:
    """A figure that may come with an interval."""
    return found["value"] if isinstance(found, dict) else found


def _number(found: Any) -> str:
    value = _value(found)
    return "" if value is None else f"{value:.3f}"


def _pair(first: Any, second: Any) -> str:
    both = [_number(first), _number(second)]
    return f"{both[0]}, {both[1]}".replace("-", "\u2212") if all(both) else ""


def reliability(who: str, found: Json) -> Square:
    """Share right against mean confidence, a bin a dot; the band is where 95 % of perfectly calibrated bins fall."""
    from scipy.stats import binom

    bins = [row for row in found.get("bins") or () if row["n"]]
    upper, lower = [], []
    for row in bins:
        low, high = (float(edge) / row["n"] for edge in binom.interval(0.95, row["n"], min(row["confidence"], 1)))
        lower.append((_x(row["confidence"]), _y(low)))
        upper.append((_x(row["confidence"]), _y(high)))
    most = max((row["n"] for row in bins), default=1)
    dots = tuple(
        (_x(row["confidence"]), _y(_value(row["accuracy"])), round(2.5 + 3.5 * (row["n"] / most) ** 0.5, 1), _bin(row))
        for row in bins
    )
    outside = sum(
        not low[1] >= dot[1] >= high[1] for dot, low, high in zip(dots, lower, upper, strict=True)
    )  # y counts downwards
    alt = f"{wording.who(who)}: share right against confidence, {len(bins)} bins, {outside} outside the 95 % band"
    ticks = tuple((share, wording.percent(share).replace(".0", "")) for share in (0, 0.25, 0.5, 0.75, 1))
    return Square(
        who=who,
        alt=alt,
        band=_points([*upper, *reversed(lower)]),
        line=_points([(x, y) for x, y, *_ in dots]),
        dots=dots,
        level=None,
        x_ticks=tuple((_x(share), text) for share, text in ticks),
        y_ticks=tuple((_y(share), text) for share, text in ticks),
    )


def _bin(row: Json) -> str:
    right = wording.percent(_value(row["accuracy"]))
    return f"{row['n']:,} items: confidence {wording.percent(row['confidence'])}, right {right}"


def _points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def selections(facts: Facts) -> list[Json]:
    """Per model: error among the answers kept, as more and more of the unsure ones are handed to a person."""
    told = []
    for who in facts.order:
        found = facts.detail(who).get("selective")
        if found and found.get("curve"):
            told.append({"who": who, "plot": risk_coverage(who, found), "facts": _selective_facts(found)})
    return told


def _selective_facts(found: Json) -> list[tuple[str, str]]:
    def share(key: str) -> str:
        value = _value(found.get(key))
        return "" if value is None else wording.percent(value)

    threshold = found.get("threshold")
    if threshold is None:
        rows = [("Largest error accepted", share("target")), ("No threshold", str(found.get("detail") or ""))]
        return [(name, text) for name, text in rows if text]
    rows = [
        ("Answered without review", share("coverage")),
        ("Errors among those", share("risk")),
        ("upper bound, one-sided 97.5 %", share("upper")),
        ("Largest error accepted", share("target")),
        ("Threshold, frozen on validation", f"{threshold:.3f}"),
        ("Finding", str(found.get("status") or "")),
    ]
    return [(name, text) for name, text in rows if text]


def risk_coverage(who: str, found: Json) -> Square:
    """Risk against coverage; the y axis ends a little above the largest risk."""
    curve = charts.thinned(found["curve"], MOST_POINTS)
    target = found.get("target")
    most = max([risk for _, risk in curve] + [target or 0.0, 0.01])
    top = next(edge for edge in (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if edge >= most or edge == 1.0)
    chosen, risk = _value(found.get("coverage")), _value(found.get("risk"))
    frozen = chosen is not None and risk is not None and found.get("threshold") is not None
    dots = ((_x(chosen), _y(risk, top), 5.0, "the frozen threshold"),) if frozen else ()
    at_all = curve[-1][1]
    alt = (
        f"{wording.who(who)}: error among answered items against the share answered; "
        f"{wording.percent(at_all)} when all are"
    )
    shares = [(share, wording.percent(share).replace(".0", "")) for share in (0, 0.25, 0.5, 0.75, 1)]
    return Square(
        who=who,
        alt=alt,
        band="",
        line=_points([(_x(coverage), _y(value, top)) for coverage, value in curve]),
        dots=dots,
        level=_y(target, top) if target is not None else None,
        x_ticks=tuple((_x(share), text) for share, text in shares),
        y_ticks=tuple((_y(top * share, top), wording.percent(top * share)) for share, _ in shares),
    )
