"""What else decides on a replacement: privacy, cost, customisation, reliability, speed, currency; and what left."""

from dataclasses import dataclass
from typing import Literal

from finetune.baseline import ledger as journal
from finetune.report import costs, provenance, wording
from finetune.report.run_facts import Facts
from finetune.rundir import Json

Tag = Literal["measured", "config", "human"]
OPEN = "to be filled in by hand"


@dataclass(frozen=True)
class Fact:
    """One cell, and where it comes from; `human` cells without text are left for a pen."""

    text: str
    tag: Tag


@dataclass(frozen=True)
class Aspect:
    """One row of the deployment table."""

    name: str
    tuned: tuple[Fact, ...]
    rival: tuple[Fact, ...]


def aspects(facts: Facts) -> list[Aspect]:
    """The six rows; without a rival its column is left out by the template."""
    rival = facts.rival
    return [
        Aspect("Privacy", _private(facts), _leaving(facts) if rival else ()),
        Aspect("Cost", _cost(facts, "tuned"), _cost(facts, rival) if rival else ()),
        Aspect("Customisation", _trained(facts), _prompted(facts) if rival else ()),
        Aspect("Reliability", _reliable(facts, "tuned"), _reliable(facts, rival) if rival else ()),
        Aspect("Speed", _speed(facts, "tuned"), _speed(facts, rival) if rival else ()),
        Aspect("Currency", _current(facts), _retiring(facts) if rival else ()),
    ]


def _private(facts: Facts) -> tuple[Fact, ...]:
    network = facts.config.network
    text = "every connection off this machine was refused" if network == "none" else "connections were allowed"
    return (Fact(f"Runs on your own machine; in this run {text} (network={network}).", "config"),)


def _leaving(facts: Facts) -> tuple[Fact, ...]:
    baseline = facts.config.baseline
    where = baseline.base_url or baseline.model or "its provider"
    if baseline.kind == "recorded":
        told = [
            Fact(
                "Replayed from a recording; nothing left in this run. In use, every picture goes to the provider.",
                "config",
            )
        ]
    elif baseline.kind == "none":
        told = [Fact("Answers came from a file; who saw the pictures is not recorded.", "config")]
    else:
        told = [Fact(f"Every picture goes to {where}.", "config")]
    ledger = dict(egress(facts))
    if ledger:
        told.append(Fact(f"In this run {ledger['Requests']} requests, {ledger['Sent']}.", "measured"))
    return (*told, Fact("Contract, place of processing, retention:", "human"))


def _cost(facts: Facts, who: str | None) -> tuple[Fact, ...]:
    for row in costs.prices(facts):
        if row["who"] == who:
            tag: Tag = "measured" if row["source"].startswith("measured") else "config"
            return (Fact(f"{row['cost']} per 1,000 items.", tag),)
    return (Fact("Price of an item:", "human"),)


def _trained(facts: Facts) -> tuple[Fact, ...]:
    kept = facts.summary["by_split"].get("train")
    text = f"Trained on {kept:,} of your own images." if kept else "Trained on your own images."
    return (Fact(text, "measured"), Fact("Can be trained again on new classes at any time.", "config"))


def _prompted(facts: Facts) -> tuple[Fact, ...]:
    baseline = facts.config.baseline
    tried = (1 + len(baseline.prompts)) * max(1, len(baseline.shots))
    text = f"Prompt and examples only; {wording.many(tried, 'way')} of asking declared."
    return (Fact(text if baseline.kind != "none" else "Not known.", "config"),)


def _reliable(facts: Facts, who: str | None) -> tuple[Fact, ...]:
    counts: Json = facts.comparison["outcomes"][who]
    asked = sum(counts.values())
    silent = {name: count for name, count in counts.items() if name not in ("correct", "wrong") and count}
    said = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in silent.items())
    text = f"{asked - sum(silent.values()):,} of {asked:,} items got an answer" + (f" ({said})." if said else ".")
    return (Fact(text, "measured"),)


def _speed(facts: Facts, who: str | None) -> tuple[Fact, ...]:
    for row in costs.speeds(facts):
        if row["who"] == who:
            text = f"{row['median']} an item (median), {row['late']} for the slowest twentieth."
            return (Fact(text, "measured"),)
    return (Fact("Seconds an item:", "human"),)


def _current(facts: Facts) -> tuple[Fact, ...]:
    model = facts.config.model
    pinned = f"pinned to {model.revision}" if model.revision else "the weights are on your disk"
    return (Fact(f"Base {model.id}, {pinned}; it changes only when you change it.", "config"),)


def _retiring(facts: Facts) -> tuple[Fact, ...]:
    known = dict(provenance.pack(facts))
    name = known.get("Model returned") or known.get("Model") or known.get("Model requested")
    told = [Fact(f"Answered as {name}.", "measured")] if name else []
    for row in facts.comparison.get("fairness") or ():
        if row["check"] == "snapshot":
            told.append(Fact(row["detail"], "measured"))
    return (*told, Fact("Announced end of this model:", "human"))


def egress(facts: Facts) -> list[tuple[str, str]]:
    """What the ledger of outgoing requests adds up to; empty where there is no ledger.

    Raises:
        IntegrityError: the ledger was altered.
    """
    path = facts.run.eval / journal.EGRESS
    if not path.exists():
        return []
    found = journal.summary(path)
    outcomes = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in found["outcomes"].items())
    rows = [
        (
            "Requests",
            f"{found['requests']:,}" + (f", {found['lost']:,} without a known reply" if found["lost"] else ""),
        ),
        ("Sent", f"{size(found['bytes'])} in all, {wording.many(found['images'], 'picture')}"),
        ("To", ", ".join(found["endpoints"])),
        ("Replies", outcomes),
        ("Cost", f"{found['cost']:.2f}" if found["cost"] is not None else "price not known"),
        ("Head of the ledger", found["head"]),
    ]
    return [(name, text) for name, text in rows if text]


def size(count: int) -> str:
    """`1.2 MB`."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return wording.many(count, "byte")
