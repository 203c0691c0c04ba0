"""Fields: each is right or not, and so is the whole object."""

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from finetune.config.schema import TaskConfig
from finetune.example import Example
from finetune.recompute import formulas, ratios, texts

SPELT = re.compile(r"[-+]?(?!0\d)(\d+[.]?\d*|[.]\d+)([eE][-+]?\d+)?")
"""A text that is a number; with a needless zero in front it is a code."""

KINDS = {"object": dict, "list": list, "text": str}


def right(task: TaskConfig, gold: str, answer: str) -> bool:
    """Whether all fields agree and none was made up."""
    return agree(json.loads(gold), json.loads(answer))


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether an item may carry a verdict: always."""
    return True


def agree(gold: Any, answer: Any) -> bool:
    """Whether two values are one: `true`, `false` and null only with themselves, numbers by value, texts by form."""
    kinds = [_kind(gold), _kind(answer)]
    if kinds == ["object", "object"]:
        return set(gold) == set(answer) and all(agree(value, answer[name]) for name, value in gold.items())
    if kinds == ["list", "list"]:
        return len(gold) == len(answer) and all(agree(*pair) for pair in zip(gold, answer, strict=True))
    if "constant" in kinds:
        return kinds[0] == kinds[1] and gold == answer
    if "object" in kinds or "list" in kinds:
        return False
    values = [_number(gold), _number(answer)]
    if None not in values:
        return values[0] == values[1]
    return kinds == ["text", "text"] and texts.normal(gold) == texts.normal(answer)


def _kind(value: Any) -> str:
    if value is None or value is True or value is False:
        return "constant"
    return next((name for name, kind in KINDS.items() if isinstance(value, kind)), "number")


def _number(value: Any) -> Decimal | None:
    """The value of a number or of a text that spells one, to the last digit."""
    spelt = str(value).strip()
    if isinstance(value, str) and not SPELT.fullmatch(spelt):
        return None
    number = Decimal(spelt)
    return number if number.is_finite() else None


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Any]:
    """Share of gold fields, F1 over the fields of both, share of whole objects; no answer has no field."""
    accuracy, f1, whole = [], [], []
    for gold, answer in zip(golds, answers, strict=True):
        wanted, said = json.loads(gold), json.loads(answer or "{}")
        hits = sum(1.0 for name in wanted if name in said and agree(wanted[name], said[name]))
        accuracy.append((hits, float(len(wanted))))
        f1.append((2 * hits, float(len(wanted) + len(said))))
        whole.append(answer is not None and agree(wanted, said))
    return {
        "field_accuracy": ratios.ratio(accuracy, groups),
        "field_f1": ratios.ratio(f1, groups),
        "whole_object": formulas.proportion(whole, groups),
    }
