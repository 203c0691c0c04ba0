"""JSON inside replies: whole values, found where prose or code fences stand around them."""

import json
import re
from typing import Any

_DECODER = json.JSONDecoder(
    object_pairs_hook=lambda pairs: _object(pairs), parse_constant=lambda name: _refuse(f"{name} is no JSON number")
)

_BEGUN = re.compile(r'\{\s*["}]|\[\s*[\[{"\]\d-]')
"""What begins an object or a list; other brackets are prose."""

_MARKS = re.compile(r'\\.|["{}\[\]]', re.DOTALL)


def values(text: str) -> list[Any]:
    """Every outermost JSON object or list of a text, in order. What does not parse is skipped whole, not mended."""
    found: list[Any] = []
    at = 0
    while (at := _next(text, at)) >= 0:
        try:
            value, end = _DECODER.raw_decode(text, at)
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # 1e400 and half a surrogate pair
            found.append(value)
            at = end
        except (ValueError, RecursionError):
            at = _past(text, at) if _BEGUN.match(text, at) else at + 1
    return found


def _past(text: str, start: int) -> int:
    """Where a value that does not parse ends: at its own bracket, or with the text; what is inside it is no answer."""
    depth, quoted = 0, False
    for mark in _MARKS.finditer(text, start):
        if mark[0] == '"':
            quoted = not quoted
        elif not quoted and mark[0] in "{[}]":
            depth += 1 if mark[0] in "{[" else -1
            if depth == 0:
                return mark.end()
    return len(text)


def _next(text: str, start: int) -> int:
    places = [place for char in "{[" if (place := text.find(char, start)) >= 0]
    return min(places, default=-1)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; one key twice has no single meaning."""
    found = dict(pairs)
    return found if len(found) == len(pairs) else _refuse("one key stands twice")


def _refuse(reason: str) -> Any:
    raise ValueError(reason)
