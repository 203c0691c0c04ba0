"""The one number of a text, read sign by sign, and whether it is right within a tolerance."""

import math
import re
from collections.abc import Iterator
from itertools import takewhile

from finetune.scoring.assertions import clause, denied
from finetune.scoring.measurement_units import NAMES, NO_UNITS, SCALES

SIGNS = "+-\u2212"
"""Plus, and two ways to write minus."""
COMPARED = "more less fewer greater larger smaller higher lower bigger longer shorter wider"
BOUNDS = "over under above below beyond within"
PAIRS = ("at least", "at most", "up to", "minimum of", "maximum of")
HEDGES = "about around roughly approximately"


def near(gold: str, answer: str, absolute: float, relative: float, unit: str) -> bool:
    """Whether two texts hold one number each and these differ by no more than the wider of the two tolerances."""
    wanted, said = read(gold, unit), read(answer, unit)
    if wanted is None or said is None:
        return False
    return abs(wanted - said) <= max(absolute, abs(wanted) * relative) * (1 + 1e-9) + 1e-12


def read(text: str, unit: str) -> float | None:
    """The number of a text in `unit`; None where there is none, several that differ, or one that cannot be read."""
    values = set(_values(text, unit)) if _grouped(text) else set()
    return values.pop() if len(values) == 1 else None


def _grouped(text: str) -> bool:
    """Whether every comma between two digits parts thousands."""
    for run in re.finditer(r"\d+(?:,\d+)+", text):
        first, *others = run[0].split(",")
        before = text[run.start() - 1 : run.start()]
        if len(first) > 3 or any(len(other) != 3 for other in others) or _word(before) or before in (".", ","):
            return False
    return True


def _values(text: str, unit: str) -> Iterator[float | None]:
    """Every number of a text, None for one that is no value; what follows a letter, a point or a comma is none."""
    place = 0
    while place < len(text):
        start, before = place, text[place - 1] if place else ""
        digits = start + (text[start] in SIGNS)
        end = digits if _word(before) or before in (".", ",") else _end(text, digits)
        place = start + 1
        if end > digits:
            named, place = _unit(text, end)
            denies = denied(text, start) or _bounds(clause(text, start))
            value = float(text[digits:end].replace(",", "")) * (1 if text[start] not in SIGNS[1:] else -1)
            yield None if denies or math.isinf(value) else _converted(value, named, text[place:], unit)


def _word(char: str) -> bool:
    return char.isalnum() or char == "_"


def _run(text: str, start: int) -> int:
    """How many digits follow from a place on."""
    return sum(1 for _ in takewhile(str.isdecimal, text[start:]))


def _end(text: str, start: int) -> int:
    """Where the numeral that starts here ends: digits, grouped by commas or not, a fraction, an exponent."""
    end = start + _run(text, start)
    while end > start and text[end : end + 1] == "," and _run(text, end + 1):
        end += 1 + _run(text, end + 1)
    if text[end : end + 1] == "." and _run(text, end + 1):
        end += 1 + _run(text, end + 1)
    if end > start and text[end : end + 1] in ("e", "E"):
        exponent = end + 1 + (text[end + 1 : end + 2] in ("+", "-"))
        end = exponent + _run(text, exponent) if _run(text, exponent) else end
    return end


def _letters(text: str, start: int) -> str:
    return "".join(takewhile(lambda char: char.isalnum() and not char.isdecimal(), text[start:]))


def _unit(text: str, end: int) -> tuple[str, int]:
    """The unit behind a numeral, "" where there is none, and where it ends."""
    while text[end : end + 1].isspace() or (text[end : end + 1] == "-" and _letters(text, end + 1)):
        end += 1
    sign = text[end : end + 1]
    if sign in ("%", '"', "\u00b0"):
        found = sign + (text[end + 1 : end + 2] if sign == "\u00b0" and text[end + 1 : end + 2] in ("C", "F") else "")
        return found, end + len(found)
    found = _letters(text, end)
    if not found:
        return "", end
    rest = text[end + len(found) :]
    power = rest[:1] == "^"
    if (over := _over(rest)) is not None:
        found += over
    elif rest[power : power + 1] in ("2", "3") and not _run(rest, power + 1):
        found += rest[: power + 1]
    return found, end + len(found)


def _over(rest: str) -> str | None:
    """`/ s` of `mm / s`, one blank at most on either side; None where nothing is divided by."""
    slash = rest[:1].isspace() + 0
    if rest[slash : slash + 1] != "/":
        return None
    start = slash + 1 + rest[slash + 1 : slash + 2].isspace()
    below = _letters(rest, start)
    return rest[:start] + below if below else None


def _converted(value: float, named: str, rest: str, unit: str) -> float | None:
    """A value with the unit that stands behind it, in the declared one; None where it does not convert."""
    full = NAMES.get(named.casefold(), named)
    if not unit or full in ("", unit) or full.casefold() in NO_UNITS:
        return value
    if named.casefold() == "in" and not _closes(rest):  # 3 in total
        return None
    for known in SCALES:
        if full in known and unit in known:
            return value * known[full] / known[unit]
    return None


def _closes(rest: str) -> bool:
    """Whether a clause ends here."""
    ahead = rest.lstrip("".join(char for char in rest if char.isspace() and char != "\n"))
    return ahead[:1] in ("", *".,;:!?)\n")


def _bounds(left: str) -> bool:
    """Whether what stands left of a number makes it a bound: `>`, `at least`, `more than about`."""
    left = left.rstrip()
    if left.removesuffix("=")[-1:] in tuple("<>\u2264\u2265"):
        return True
    words = left.split()
    if len(words) > 1 and words[-1] in HEDGES.split():
        words.pop()
    last, *former = [re.split(r"\W", word)[-1] for word in words[:-3:-1]] or [""]
    if last in BOUNDS.split() or last.startswith("exceed"):
        return True
    before, after = former[0] if former else "", words[-1] if words else ""
    return f"{before} {after}" in PAIRS or (before in COMPARED.split() and after == "than")
