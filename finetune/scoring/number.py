"""Numbers, right within a tolerance, in a declared unit."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from finetune.example import Score
from finetune.stats.proportions import clustered_wilson

_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-+\u2212]?)(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?P<exponent>[eE][-+]?\d+)?(?![\d])\s*(?P<unit>%|\u00b0[CF]?|[^\W\d_]+(?:\s?/\s?[^\W\d_]+)?[\u00b2\u00b3]?)?"
)
_SCALES = {
    "length": {"nm": 1e-9, "um": 1e-6, "\u00b5m": 1e-6, "\u03bcm": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "km": 1e3},
    "mass": {"mg": 1e-6, "g": 1e-3, "kg": 1.0},
    "volume": {"ml": 1e-3, "l": 1.0},
    "time": {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0},
}
_WORDS = {
    "percent": "%",
    "millimetres": "mm",
    "millimeters": "mm",
    "centimetres": "cm",
    "centimeters": "cm",
    "pixels": "px",
}


@dataclass(frozen=True)
class Tolerance:
    """When a number is right: within `absolute`, or within `relative` times the gold value, whichever is wider.

    Attributes:
        absolute: in `unit`.
        relative: share of the gold value's size.
        unit: of gold values and of answers that name none; "" = plain numbers.
    """

    absolute: float = 0.0
    relative: float = 0.0
    unit: str = ""

    def accepts(self, gold: float, answer: float) -> bool:
        """Whether an answer is within reach; the bound itself is, to the last digits of a float."""
        reach = max(self.absolute, self.relative * abs(gold))
        return abs(answer - gold) <= reach * (1 + 1e-9) + 1e-12


def read(text: str, unit: str = "") -> float | None:
    """The single number of a text, in `unit`; None where there is none, several, or a unit that does not convert.

    Thousands are grouped by commas, the decimal mark is a point: `1,5` is neither and is no number. A number without a
    unit is taken to be in `unit`; a word after a number is a unit only where one is declared.
    """
    found = {_value(match, unit) for match in _NUMBER.finditer(text)}
    if re.search(r"\d,\d{1,2}(?!\d)", text) or len(found) != 1:
        return None
    return found.pop()


def _value(match: re.Match[str], unit: str) -> float | None:
    sign = -1.0 if match["sign"] in ("-", "\u2212") else 1.0
    value = sign * float(match["digits"].replace(",", "") + (match["exponent"] or ""))
    named = _WORDS.get((match["unit"] or "").casefold(), match["unit"] or "")
    if not unit or not named or named == unit:
        return value
    for scale in _SCALES.values():
        if unit in scale and named in scale:
            return value * scale[named] / scale[unit]
    known = named in ("%", "px", "\u00b0", "\u00b0C", "\u00b0F") or any(named in scale for scale in _SCALES.values())
    return None if known else value


def right(gold: str, answer: str | None, tolerance: Tolerance) -> bool:
    """Whether an answer is the gold number within the tolerance."""
    if answer is None:
        return False
    wanted, said = read(gold, tolerance.unit), read(answer, tolerance.unit)
    return wanted is not None and said is not None and tolerance.accepts(wanted, said)


def metrics(
    golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str], tolerance: Tolerance
) -> dict[str, Score]:
    """Share within the tolerance."""
    hits = [right(gold, answer, tolerance) for gold, answer in zip(golds, answers, strict=True)]
    return {"within_tolerance": clustered_wilson(hits, groups)}
