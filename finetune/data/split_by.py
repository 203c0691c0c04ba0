"""Splits by time or site: the newest groups are tested, or whole sites are held out, as in real use."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from finetune.config.schema import SplitByConfig, SplitConfig
from finetune.data.split import Fold, Item, fraction
from finetune.data.split import assign as by_chance
from finetune.errors import DataError


def chosen(items: Sequence[Item], split: SplitConfig) -> Fold:
    """The one split that the config asks for: by time or site, or by chance and group.

    Raises:
        DataError: it cannot be made; names the row.
    """
    return assign(items, split) if split.by.column is not None else by_chance(items, split)


def assign(items: Sequence[Item], split: SplitConfig) -> Fold:
    """One split by what a column says, which `Item.split` holds here.

    Raises:
        DataError: a value is no time, a group is at two sites, or a site that is named does not occur.
    """
    places = _by_time(items, split) if split.by.kind == "time" else _by_site(items, split)
    return Fold("", {item.id: places[item.group] for item in items})


def _by_site(items: Sequence[Item], split: SplitConfig) -> Mapping[str, str]:
    """Sites that are named, or those that a hash picks; a group has one site."""
    by, sites = split.by, dict[str, Item]()
    for item in items:
        first = sites.setdefault(item.group, item)
        if first.split != item.split:
            raise DataError(
                f"group {item.group!r} is at {first.split!r} ({first.where}) and at {item.split!r} ({item.where}), "
                f"column {by.column!r}: a group may not span splits. Correct the column, or group by site."
            )
    found = sorted({str(item.split) for item in items})
    absent = [name for name in (*by.test, *by.val) if name not in found]
    if absent:
        raise DataError(
            f"data.split.by: no row is of {absent[0]!r}; column {by.column!r} has {', '.join(map(repr, found[:20]))}."
        )
    return {group: _site(str(item.split), split) for group, item in sites.items()}


def _site(name: str, split: SplitConfig) -> str:
    by = split.by
    if by.test or by.val:
        return "test" if name in by.test else "val" if name in by.val else "train"
    place = fraction(split.salt, name)
    return "test" if place < split.test else "val" if place < split.test + split.val else "train"


def _by_time(items: Sequence[Item], split: SplitConfig) -> Mapping[str, str]:
    """The newest groups; a group is as new as the newest of its rows, and equal times stay together."""
    by = split.by
    said = {"test": by.test, "val": by.val}
    bounds = [Item("", "", "", split=given[0], row=f"data.split.by.{name}") for name, given in said.items() if given]
    times = _times([*items, *bounds], by)
    newest: dict[str, float] = defaultdict(lambda: -math.inf)
    for item in items:
        newest[item.group] = max(newest[item.group], times[str(item.split)])
    if bounds:
        test, val = (times[given[0]] if given else math.inf for given in said.values())
    else:
        test, val = _shares(sorted(newest.values(), reverse=True), split)
    if by.test and by.val and val >= test:
        raise DataError(
            f"data.split.by.val={by.val[0]} is not before data.split.by.test={by.test[0]}: what is from then on is "
            "tested, so nothing would validate. Name an earlier time, or leave val out."
        )
    return {group: "test" if time >= test else "val" if time >= val else "train" for group, time in newest.items()}


def _shares(times: Sequence[float], split: SplitConfig) -> list[float]:
    """From which time on groups are tested, and from which they validate: the shares asked for, newest first."""
    tested = round(split.test * len(times))
    held = tested + round(split.val * len(times))
    return [times[count - 1] if count else math.inf for count in (tested, held)]


def _times(items: Sequence[Item], by: SplitByConfig) -> dict[str, float]:
    """Seconds, or plain numbers where all values are numbers, by what is written.

    Raises:
        DataError: a value is no time, some have a time zone and others have none, or some are plain numbers.
    """
    where: dict[str, str] = {}
    for item in items:
        where.setdefault(str(item.split), item.where)
    numbers = [] if by.format is not None else [text for text in where if _is_number(text)]
    if where and len(numbers) == len(where):
        return {text: float(text) for text in numbers}
    if numbers:
        number, other = numbers[0], next(text for text in where if not _is_number(text))
        raise DataError(
            f"{where[number]}: column {by.column!r} says {number!r}, a plain number, and {where[other]} says "
            f"{other!r}, which cannot be compared. Write all of them one way; dates such as 20240531 are read with "
            "data.split.by.format='%Y%m%d'."
        )
    found = {text: _parsed(text, by, place) for text, place in where.items()}
    zoned = {text: time.tzinfo is not None for text, time in found.items()}
    if len(set(zoned.values())) > 1:
        with_zone, without = (next(text for text in zoned if zoned[text] is kind) for kind in (True, False))
        raise DataError(
            f"column {by.column!r} has times with a zone ({with_zone!r}, {where[with_zone]}) and without "
            f"({without!r}, {where[without]}), which cannot be compared. Write all of them one way."
        )
    return {text: (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() for text, time in found.items()}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _parsed(text: str, by: SplitByConfig, where: str) -> datetime:
    try:
        if by.format is not None:
            return datetime.strptime(text.strip(), by.format)
        return datetime.fromisoformat(text.strip())
    except ValueError as error:
        iso = "2024-05-31, 2024-05-31T14:00:00+02:00 or a number"
        expected = iso if by.format is None else f"data.split.by.format={by.format}"
        raise DataError(
            f"{where}: column {by.column!r} says {text!r}, expected {expected}. Other ways of writing need "
            "data.split.by.format, such as '%d.%m.%Y'."
        ) from error
