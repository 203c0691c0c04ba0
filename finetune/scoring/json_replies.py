"""JSON inside replies: whole values, found where prose or code fences stand around them."""

import json
import re
from typing import Any

from finetune.scoring.assertions import clause, denied

_DECODER = json.JSONDecoder(
    object_pairs_hook=lambda pairs: _object(pairs), parse_constant=lambda name: _refuse(f"{name} is no JSON number")
)

_BEGUN = re.compile(r'\{\s*["}]|\[\s*[\[{"\]\d-]')
"""What begins an object or a list; other brackets are prose."""

_EMPTY = re.compile(r"\[ ?\](?P<link>\()?(?P<text>[^\S\n]+\w)?")
_BULLET = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+\Z")
_HOLDER = re.compile(
    r"answers?|annotations|anomalies|applicable|applies|apply|(?:b|bounding_)?boxes|categories|classes|defects|detected"
    r"|detections|final_answer|findings|found|instances|items|labels|objects|output|predictions?|present|results?|tags|values"
)
"""Names under which an object holds the list that is the answer; `absent`, `rejected` or `options` are none."""

_HEADS_OTHER = re.compile(
    r"\b(?:absent|negative|missing|excluded|ruled\s+out|unlikely|(?:not|no)\s+\w+|none\s+of|options|choices|candidates"
    r"|(?:possible|allowed|available|valid)(?:\s+\w+)?)\s*[\"']?\s*(?:[:=]\s*)?\Z"
)
"""A heading under which a list says what is not there, or what could have been said."""
_MARKS = re.compile(r'\\.|["{}\[\]]', re.DOTALL)


def values(text: str) -> list[Any]:
    """Every outermost JSON object or list that a text asserts, in order.

    What does not parse is skipped whole, not mended. The box of a task list and a markdown link are no empty lists, and
    what is denied (`not ["crack"]`, `Absent: ["crack"]`) or only listed (`Options: [...]`) is not asserted.
    """
    found: list[Any] = []
    at = 0
    while (at := _next(text, at)) >= 0:
        if mark := _markup(text, at):
            at = mark.end()
            continue
        try:
            value, end = _DECODER.raw_decode(text, at)
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()  # 1e400 and half a surrogate pair
            if not (denied(text, at) or _HEADS_OTHER.search(clause(text, at))):
                found.append(value)
            at = end
        except (ValueError, RecursionError):
            at = _past(text, at) if _BEGUN.match(text, at) else at + 1
    return found


def held_list(value: object) -> list[Any] | None:
    """The list that a value is, or that is the only one in it and stands under a name for the answer; else None."""
    if isinstance(value, dict):
        lists = [(name, inner) for name, inner in value.items() if isinstance(inner, list)]
        named = len(lists) == 1 and _HOLDER.fullmatch(lists[0][0].strip().casefold().replace(" ", "_"))
        value = lists[0][1] if named else None
    return value if isinstance(value, list) else None


def _markup(text: str, at: int) -> re.Match[str] | None:
    """An empty pair of brackets that is markdown: `[ ] crack`, `- []`, `[](x)`, `![](x)`."""
    mark = _EMPTY.match(text, at)
    bullet = _BULLET.match(text[text.rfind("\n", 0, at) + 1 : at])
    box = mark and mark["text"] and text[at + 1] == " "
    return mark if mark and (mark["link"] or bullet or box) else None


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
