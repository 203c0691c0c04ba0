"""Numbers, right within a tolerance, in a declared unit."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from finetune.example import Score
from finetune.scoring.assertions import clause, denied
from finetune.scoring.measurement_units import NAMES, NO_UNITS, SCALES
from finetune.stats.proportions import clustered_wilson

_NUMBER = re.compile(
    r"(?<![\w.,])(?P<sign>[-+\u2212]?)(?P<digits>\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?P<exponent>[eE][-+]?\d+)?(?![\d])(?:\s|-(?=[^\W\d_]))*"
    r"(?P<unit>%|\u00b0[CF]?|\"|(?:[^\W\d_]+(?:\s?/\s?[^\W\d_]+|\^?[23](?!\d)|[\u00b2\u00b3])?))?(?P<closed>(?=[^\S\n]*(?:[.,;:!?)\n]|\Z)))?"
)
_GROUPED = re.compile(r"(?<![\w.,])\d{1,3}(?:,\d{3})+(?!,?\d)")
_BOUND = re.compile(
    r"(?:[<>\u2264\u2265]=?|\b(?:(?:more|less|fewer|greater|larger|smaller|higher|lower|bigger|longer|shorter|wider)\s+than"
    r"|at\s+(?:least|most)|up\s+to|over|under|above|below|exceed\w*|beyond|within|minimum\s+of|maximum\s+of)"
    r"(?:\s+(?:about|around|roughly|approximately))?)\s*\Z"
)
"""Left of a number that is a bound and no value."""


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

    Thousands are grouped by commas, the decimal mark is a point: `1,5` and `1234,567` are neither, so no number. A
    number without a unit is taken to be in `unit`; where one is declared, a word after a number is a unit unless it is
    known to be none, and one that nobody knows makes the number unreadable. A bound (`> 5`, `at least 5`) and a number
    that is denied (`not 5`) are no values.
    """
    found = {_value(match, unit) for match in _NUMBER.finditer(text)}
    if re.search(r"\d,\d", _GROUPED.sub(" ", text)) or len(found) != 1:
        return None
    return found.pop()


def _value(match: re.Match[str], unit: str) -> float | None:
    text, at = match.string, match.start()
    value = float(match["digits"].replace(",", "") + (match["exponent"] or ""))
    if not math.isfinite(value) or _BOUND.search(clause(text, at)) or denied(text, at):
        return None
    value *= -1.0 if match["sign"] in ("-", "\u2212") else 1.0
    named = NAMES.get((match["unit"] or "").casefold(), match["unit"] or "")
    if not unit or not named or named == unit or named.casefold() in NO_UNITS:
        return value
    if match["unit"].casefold() == "in" and match["closed"] is None:  # 3 in total
        return None
    for scale in SCALES:
        if unit in scale and named in scale:
            return value * scale[named] / scale[unit]
    return None


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
