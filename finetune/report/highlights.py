"""Items that stand on the page itself: regressions, and labels that look wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finetune.report import wording
from finetune.report.run_facts import Facts
from finetune.rundir import Json

MOST_REGRESSIONS, MOST_SUSPECTS = 24, 12
"""Items shown on the page; all of them are in the gallery."""


@dataclass(frozen=True)
class Item:
    """One item of the page.

    Attributes:
        index: its place in the test.
        said: (model, answer, whether it is right).
        twice: its picture stands further up already, under the name that the gallery points to.
    """

    index: int
    id: str
    gold: str
    said: tuple[tuple[str, str, bool], ...]
    note: str = ""
    twice: bool = False


@dataclass(frozen=True)
class Singled:
    """What is shown, and of how many.

    Attributes:
        regressions: tuned wrong, rival or base right; those that the rival had right come first.
        all_regressions: how many there are.
        counts: (sentence, number) for each kind of regression.
        suspects: items whose label the tuned model doubts most.
        doubted: how many suspects there are.
    """

    regressions: tuple[Item, ...]
    all_regressions: int
    counts: tuple[tuple[str, int], ...]
    suspects: tuple[Item, ...]
    doubted: int

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids of all items that need their pictures first."""
        return tuple(item.id for item in (*self.regressions, *self.suspects))


def out(facts: Facts) -> Singled:
    """Picks the items."""
    places = {example.id: place for place, example in enumerate(facts.examples)}
    who = [name for name in ("tuned", facts.rival, "base") if name and name in facts.comparison["models"]]
    rows = {name: facts.rows(name) for name in who}
    kinds: dict[str, list[str]] = {}
    for entry in facts.metrics.get("regressions") or ():
        kinds.setdefault(entry["id"], []).append(entry["kind"])
    order = sorted(kinds, key=lambda name: (-len(kinds[name]), not _lost(kinds[name]), places[name]))
    suspects = facts.metrics.get("suspects") or []
    first = set(order[:MOST_REGRESSIONS])
    return Singled(
        regressions=tuple(_item(facts, places[name], rows) for name in order[:MOST_REGRESSIONS]),
        all_regressions=len(order),
        counts=tuple(_counts(facts, kinds)),
        suspects=tuple(
            _item(facts, places[row["id"]], rows, _doubt(row), row["id"] in first) for row in suspects[:MOST_SUSPECTS]
        ),
        doubted=len(suspects),
    )


def _doubt(row: Json) -> str:
    return f"the tuned model gives this label {wording.percent(row['probability'])}"


def _lost(kinds: Sequence[str]) -> bool:
    return any(kind.endswith("wrong_baseline_right") for kind in kinds)


def _counts(facts: Facts, kinds: Mapping[str, Sequence[str]]) -> list[tuple[str, int]]:
    told = []
    for ending, other in (("wrong_baseline_right", facts.rival), ("wrong_base_right", "base")):
        if other is not None and other in facts.comparison["models"]:
            count = sum(any(kind.endswith(ending) for kind in own) for own in kinds.values())
            told.append((f"tuned wrong where {wording.who(other)} was right", count))
    return told


def _item(facts: Facts, place: int, rows: Mapping[str, Sequence[Json]], note: str = "", twice: bool = False) -> Item:
    example = facts.examples[place]
    said = tuple(
        (who, _answer(found[place]), found[place]["outcome"] == "correct") for who, found in rows.items() if found
    )
    return Item(place, example.id, example.target[:120], said, note, twice)


def _answer(row: Json) -> str:
    return row["answer"][:120] if row["answer"] is not None else f"no answer ({row['outcome'].replace('_', ' ')})"
