"""What near-duplicates mean for a data set: pictures on both sides of a split, groups under two names, other labels."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from finetune.data.duplicates.search import Pair
from finetune.data.split import UNUSED, Item
from finetune.rundir import Json

_SAME_GROUP = 0.5
"""Share of the smaller group's pictures that the other one must hold to count as the same under another name."""


@dataclass(frozen=True)
class Near:
    """Pairs of nearly equal pictures, and what was not searched.

    Attributes:
        pairs: by the numbers of pictures.
        numbers: digest of the pixels of an example -> number of its picture.
        note: why the search was cut back or left out; empty where it was not.
        searched: False where nothing was looked for.
    """

    pairs: Sequence[Pair] = ()
    numbers: Mapping[str, int] = field(default_factory=dict)
    note: str = ""
    searched: bool = False


class _Owners:
    """Examples by picture, and how pictures are linked.

    Args:
        items: all examples.
        near: the pairs.
    """

    def __init__(self, items: Iterable[Item], near: Near) -> None:
        named = {number for pair in near.pairs for number in (pair.first, pair.second)}
        wanted = {digest: number for digest, number in near.numbers.items() if number in named}
        self.of: dict[int, list[Item]] = defaultdict(list)
        for item in items:
            if item.pixels in wanted:
                self.of[wanted[item.pixels]].append(item)

    def pairs(self, near: Near) -> Iterator[tuple[Pair, list[Item], list[Item]]]:
        """Pairs of which both pictures were kept, with their examples."""
        for pair in near.pairs:
            if self.of.get(pair.first) and self.of.get(pair.second):
                yield pair, self.of[pair.first], self.of[pair.second]


def leaks(items: Sequence[Item], splits: Mapping[str, str], near: Near) -> list[Json]:
    """Nearly equal pictures in different splits: linked ones together, at the smallest distance among them."""
    links: list[tuple[Pair, list[Item]]] = []
    roots = Roots()
    for pair, first, second in _Owners(items, near).pairs(near):
        sides = [{splits[item.id] for item in side} - {UNUSED} for side in (first, second)]
        if all(sides) and len(sides[0] | sides[1]) > 1:
            links.append((pair, [*first, *second]))
            roots.join(str(pair.first), str(pair.second))
    together: dict[str, list[tuple[Pair, list[Item]]]] = defaultdict(list)
    for pair, members in links:
        together[roots.of(str(pair.first))].append((pair, members))
    return [_leak("near", linked, splits) for linked in together.values()]


def _leak(kind: str, linked: Sequence[tuple[Pair, list[Item]]], splits: Mapping[str, str]) -> Json:
    members = {item.id: item for _, some in linked for item in some if splits[item.id] != UNUSED}
    return {
        "kind": kind,
        "ids": sorted(members),
        "groups": sorted({item.group for item in members.values()}),
        "splits": sorted({splits[name] for name in members}),
        "distance": min(pair.distance for pair, _ in linked),
        "mirrored": any(pair.mirrored for pair, _ in linked),
    }


def twin_groups(items: Sequence[Item], near: Near) -> list[Json]:
    """Groups that are probably one under two names: half of the smaller one's pictures, two at least, are shared."""
    shared: dict[tuple[str, str], set[str]] = defaultdict(set)
    for one, other in _same(items, near):
        if one.group != other.group:
            pair = (min(one.group, other.group), max(one.group, other.group))
            shared[pair].add(one.pixels if one.group == pair[0] else other.pixels)
    wanted = {group for pair in shared for group in pair}
    pictures: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.group in wanted:
            pictures[item.group].add(item.pixels)
    found = []
    for pair, same in sorted(shared.items()):
        smaller = min(len(pictures[group]) for group in pair)
        if len(same) >= 2 and len(same) >= _SAME_GROUP * smaller:
            found.append({"groups": list(pair), "pictures": len(same), "of": smaller})
    return found


def twin_leaks(twins: Sequence[Json], items: Sequence[Item], splits: Mapping[str, str]) -> list[Json]:
    """Of groups under two names those that lie in different splits: all of their examples are suspects."""
    wanted = {group for twin in twins for group in twin["groups"]}
    members: dict[str, list[str]] = defaultdict(list)
    for item in items:
        if item.group in wanted and splits[item.id] != UNUSED:
            members[item.group].append(item.id)
    found = []
    for twin in twins:
        ids = sorted(name for group in twin["groups"] for name in members[group])
        places = sorted({splits[name] for name in ids})
        if len(places) > 1:
            found.append({"kind": "group", "ids": ids, "groups": twin["groups"], "splits": places, "distance": 0.0})
    return found


def joined(items: Sequence[Item], near: Near) -> dict[str, str]:
    """Group -> the name under which it goes on, for groups that share a picture, equal or nearly equal."""
    roots = Roots()
    for one, other in _same(items, near):
        roots.join(one.group, other.group)
    return {name: roots.of(name) for name in roots.known()}


def conflicts(items: Sequence[Item], near: Near, questions: Mapping[str, str]) -> list[Json]:
    """Nearly equal pictures that are asked the same and carry different labels."""
    found = []
    for pair, first, second in _Owners(items, near).pairs(near):
        for text in sorted({questions[item.id] for item in first} & {questions[item.id] for item in second}):
            sides = [[item for item in side if questions[item.id] == text] for side in (first, second)]
            labels = sorted({item.label for side in sides for item in side})
            if len(labels) > 1:
                ids = sorted(item.id for side in sides for item in side)
                found.append({"kind": "near", "ids": ids, "labels": labels, "distance": pair.distance})
    return found


def _same(items: Sequence[Item], near: Near) -> Iterator[tuple[Item, Item]]:
    """Pairs of examples with equal or nearly equal pictures: enough to link all, not every pair of many equal ones."""
    counts = Counter(item.pixels for item in items)
    first: dict[str, Item] = {}
    for item in items:
        if counts[item.pixels] > 1 and first.setdefault(item.pixels, item) is not item:
            yield first[item.pixels], item
    for _, some, others in _Owners(items, near).pairs(near):
        yield from ((some[0], other) for other in others)
        yield from ((one, others[0]) for one in some[1:])


class Roots:
    """Names that belong together; each set goes by its first name in sorted order."""

    def __init__(self) -> None:
        """Nothing belongs together yet."""
        self._parent: dict[str, str] = {}

    def of(self, name: str) -> str:
        """The name of the set that a name belongs to."""
        while (up := self._parent.get(name, name)) != name:
            self._parent[name] = self._parent.get(up, up)
            name = up
        return name

    def join(self, one: str, other: str) -> None:
        """Puts two sets together."""
        low, high = sorted((self.of(one), self.of(other)))
        if low != high:
            self._parent[high] = low

    def known(self) -> list[str]:
        """Names that are not alone, sorted."""
        return sorted({*self._parent, *map(self.of, self._parent)})
