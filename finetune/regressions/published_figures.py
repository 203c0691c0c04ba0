"""Published figures beside our own: shown in grey, never tested against, and only where a row declares that it fits."""

import json
from collections.abc import Collection
from functools import cache
from pathlib import Path

from finetune.config.schema import Config
from finetune.rundir import Json


def rows(config: Config, sets: Collection[str] = ()) -> list[Json]:
    """The published figures that may stand beside this run.

    Args:
        config: its recipe counts; a recipe of one's own has none.
        sets: general question sets that were asked, by name.

    Returns:
        `beside` (`task` or the name of the set), `task`, `model`, `value`, `unit`, `source`, `verified`, `remark`.
    """
    found = []
    for row in _published():
        beside = ["task"] * (config.recipe in row.get("recipes", ())) + [n for n in row.get("sets", ()) if n in sets]
        shown = {name: row.get(name) for name in ("task", "model", "value", "unit", "source", "verified", "remark")}
        found += [{"beside": place, **shown} for place in beside]
    return found


@cache
def _published() -> list[Json]:
    rows: list[Json] = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))["rows"]
    return rows
