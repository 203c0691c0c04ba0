"""JSON fields: each field of the gold object is right, wrong or missing; a field that nobody asked for counts too."""

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from finetune.example import Score
from finetune.scoring.ratio import mean, ratio
from finetune.scoring.text import normalise
from finetune.stats.proportions import clustered_wilson

_SPELT = re.compile(r"(?![-+]?0\d)[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?")


def same(gold: Any, answer: Any) -> bool:
    """Whether two values of a field agree: numbers as numbers, texts by their normal form, lists in order.

    `true` is not 1, and null (nothing there) agrees with null alone.
    """
    if isinstance(gold, bool) or isinstance(answer, bool) or gold is None or answer is None:
        return gold is answer
    if isinstance(gold, list) and isinstance(answer, list):
        return len(gold) == len(answer) and all(map(same, gold, answer))
    if isinstance(gold, dict) and isinstance(answer, dict):
        return gold.keys() == answer.keys() and all(same(gold[name], answer[name]) for name in gold)
    numbers = [_number(value) for value in (gold, answer)]
    if None not in numbers:
        return numbers[0] == numbers[1]
    return isinstance(gold, str) and isinstance(answer, str) and normalise(gold) == normalise(answer)


def _number(value: Any) -> Decimal | None:
    """Numbers, and texts that spell one without a leading zero (`007` is a code), to the last digit of a long one."""
    plain = str(value).strip() if isinstance(value, int | float | str) else ""
    if isinstance(value, int | float) or _SPELT.fullmatch(plain):
        number = Decimal(plain)
        return number if number.is_finite() else None
    return None


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """Share of gold fields that are exact, share of whole objects, and F1 over fields (invented ones count against).

    No answer is wrong, whatever the gold object.
    """
    wanted = [json.loads(gold) for gold in golds]
    said = [json.loads(answer) if answer is not None else {} for answer in answers]
    hits = [sum(name in a and same(g[name], a[name]) for name in g) for g, a in zip(wanted, said, strict=True)]
    return {
        "field_accuracy": ratio(hits, [len(gold) for gold in wanted], groups),
        "field_f1": ratio(
            [2 * hit for hit in hits], [len(g) + len(a) for g, a in zip(wanted, said, strict=True)], groups
        ),
        "whole_object": clustered_wilson(
            [answer is not None and same(g, a) for g, a, answer in zip(wanted, said, answers, strict=True)], groups
        ),
    }


def per_field(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """Field -> share that is exact, over the items whose gold object has it."""
    rows: dict[str, list[tuple[bool, str]]] = {}
    for gold, answer, group in zip(golds, answers, groups, strict=True):
        said = json.loads(answer) if answer is not None else {}
        for name, value in json.loads(gold).items():
            rows.setdefault(name, []).append((name in said and same(value, said[name]), group))
    return {name: mean([float(hit) for hit, _ in found], [g for _, g in found]) for name, found in rows.items()}
