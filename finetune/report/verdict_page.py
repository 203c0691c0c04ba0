"""Page one: the verdict, why, the rule it follows, how often this test was looked at, and what it holds for."""

import re
from dataclasses import dataclass

from finetune.report import provenance, results, wording
from finetune.report.run_facts import Facts, flat
from finetune.rundir import Json

BADGES = {
    "replace": ("Replace", "good"),
    "replace_with_review": ("Replace, with review", "good"),
    "keep": ("Keep what is there", "bad"),
    "not_enough_evidence": ("Not enough evidence", "open"),
}
"""Verdict -> its name and its tone."""
TITLES = {
    "replace": "The tuned model may replace {rival}.",
    "replace_with_review": "The tuned model may replace {rival}, if people review what it hands over.",
    "keep": "Keep {rival}.",
    "not_enough_evidence": "Not enough evidence to replace {rival}.",
}
QUALIFIERS = {
    "measurably_worse": "The tuned model may replace {rival}, though it is measurably worse.",
    "superior": "The tuned model may replace {rival}, and is better.",
}
RULE = {
    "metric": "Primary metric",
    "margin": "Largest loss accepted",
    "floor": "Absolute floor",
    "min_coverage": "Share that must be answered",
    "min_lower": "Guard",
    "valid_days": "Valid for",
    "risk_target": "Largest error without review",
    "baseline": "To be replaced",
    "positive": "Positive class",
    "unit": "One decision is about one",
    "aggregate": "Images of a group are joined by",
    "threshold": "Positive from probability",
    "models": "Compared",
}
"""Last part of a rule's key -> what a reader calls it."""
SHARES = ("floor", "min_coverage", "min_lower", "risk_target")


@dataclass(frozen=True)
class Figure:
    """One of the large numbers of page one."""

    name: str
    value: str
    note: str
    tone: str = ""


@dataclass(frozen=True)
class Front:
    """What page one says.

    Attributes:
        badge: the verdict in two or three words.
        tone: good | bad | open, for the colour; the words carry the meaning.
        reason: what was found, without the list of what is open.
        whole_reason: the same with every detail, as the evaluation wrote it.
        open: (criterion, status) of all that a replacement needs and that did not pass.
        figures: candidate, the one it is measured against, and their difference.
        rule: (what, value), fixed before inference.
        rules: how many different rules were tried on this test.
        history: earlier looks at this test.
        needed: what would be enough, or "".
        warning: what makes the whole page no statement about a real model, or "".
    """

    badge: str
    tone: str
    title: str
    reason: str
    whole_reason: str
    open: tuple[tuple[str, str], ...]
    lines: tuple[str, ...]
    figures: tuple[Figure, ...]
    rule: tuple[tuple[str, str], ...]
    rule_sha256: str
    test_sha256: str
    looks: int
    rules: int
    history: tuple[Json, ...]
    scope: tuple[tuple[str, str], ...]
    expires: str
    needed: str
    warning: str


def front(facts: Facts) -> Front:
    """Puts page one together."""
    found = facts.comparison["decision"]
    badge, tone = BADGES[found["verdict"]] if facts.rival else ("No proprietary model compared", "open")
    return Front(
        badge=badge,
        tone=tone,
        title=title(facts),
        reason=_cut(found["reason"]),
        whole_reason=found["reason"],
        open=tuple((row.title, row.status) for row in results.criteria(facts) if row.open),
        lines=tuple(sentences(facts)),
        figures=tuple(figures(facts)),
        rule=tuple(rule(facts)),
        rule_sha256=found["rule_sha256"],
        test_sha256=found.get("test_sha256") or "",
        looks=found["looks"],
        rules=found.get("rules", 1),
        history=tuple(found.get("looks_history") or ()),
        scope=tuple((wording.capital(name.replace(".", ", ").replace("_", " ")), text) for name, text in _scope(found)),
        expires=str(found.get("expires") or "")[:10],
        needed=needed(facts),
        warning=warning(facts),
    )


def warning(facts: Facts) -> str:
    """Said where the model to be replaced was made up for tests, as its pack admits."""
    name = facts.config.baseline.name
    if name not in facts.comparison["models"] or not provenance.about(facts).get("synthetic"):
        return ""
    return (
        f"The answers of {name} were made up to test this software; no such model was ever asked. "
        "Nothing here may be used to decide about a real one."
    )


def _cut(reason: str) -> str:
    """The reason up to where it lists what is open: page one names that by the titles of the criteria."""
    for mark in (" Open: ", " By itself it is not enough: ", "; noninferior: "):
        reason = reason.partition(mark)[0]
    return reason if reason.endswith(".") else f"{reason}."


def _scope(decision: Json) -> list[tuple[str, str]]:
    """What the verdict holds for; digests are cut short, since the whole ones stand where the artefacts are listed."""
    told = decision.get("scope") or {}
    versions = ", ".join(f"{name} {version}" for name, version in (told.get("versions") or {}).items())
    rows = flat(told | ({"versions": versions} if versions else {}))
    return [(name, _short(text)) for name, text in rows]


def _short(text: str) -> str:
    return re.sub(r"\b([0-9a-f]{12})[0-9a-f]{52}\b", "\\1\u2026", text)


def title(facts: Facts) -> str:
    """The verdict in one sentence; without a rival, what is known of the tuning."""
    found = facts.comparison["decision"]
    if facts.rival is None:
        return wording.headline(facts.comparison)
    qualified = QUALIFIERS.get(found.get("qualifier") or "") if found["verdict"] == "replace" else None
    return (qualified or TITLES[found["verdict"]]).format(rival=wording.who(facts.rival))


def against(facts: Facts) -> str | None:
    """Whom page one measures the tuned model against: the rival, else the base."""
    other = facts.rival or "base"
    return other if f"tuned-{other}" in facts.comparison["pairs"] else None


def sentences(facts: Facts) -> list[str]:
    """The comparison in plain sentences, for a reader who signs."""
    comparison, other = facts.comparison, against(facts)
    if other is None:
        return [f"{wording.tested(comparison)}.", *wording.beside_linear(comparison)]
    told = wording.summary(comparison, other)
    if facts.rival and "tuned-base" in comparison["pairs"]:
        told.append(wording.headline(comparison))
    return told + wording.beside_linear(comparison) + wording.alike(facts.metrics["models"])


def figures(facts: Facts) -> list[Figure]:
    """The three large numbers: tuned, the other one, the difference."""
    other = against(facts)
    if other is None:
        return []
    pair = facts.comparison["pairs"][f"tuned-{other}"]
    shown = []
    for who in ("tuned", other):
        score = facts.comparison["models"][who][pair["metric"]]
        called = wording.capital(wording.WHO[who]) if who in wording.WHO else wording.who(who)
        name = f"{called}, {wording.metric(pair['metric'])}"
        shown.append(Figure(name, wording.percent(score["value"]), f"95 % interval {wording.interval(score)}"))
    note = f"points, {wording.points(pair['low'])} to {wording.points(pair['high'])}"
    tone = wording.standing(pair)
    return [*shown, Figure("Difference, same images", wording.points(pair["difference"]), note, tone)]


def rule(facts: Facts) -> list[tuple[str, str]]:
    """The rule as (what, value); a margin that was never set is said, since nothing can be replaced without one."""
    rows = []
    for path, text in flat(facts.comparison["decision"].get("rule") or {}):
        *before, last = path.split(".")
        name = RULE.get(last, wording.capital(path.replace(".", ", ").replace("_", " ")))
        if last == "min_lower":
            of = ".".join(part for part in before if part != "guards").replace(".", " of ", 1)  # labels may hold dots
            rows.append((name, f"{of} at least {wording.percent(float(text))}, one-sided 97.5 %"))
        else:
            rows.append((name, _said(last, text)))
    if facts.config.evaluate.decision.margin is None:
        rows.append((RULE["margin"], "none was declared, so there can be no verdict to replace"))
    return rows


def _said(key: str, text: str) -> str:
    if key == "margin":
        return f"{100 * float(text):g} points"
    if key == "metric":
        return wording.metric(text)
    if key == "valid_days":
        return f"{text} days"
    return wording.percent(float(text)) if key in SHARES else text


def needed(facts: Facts) -> str:
    """How large a test would be enough, beside what there was."""
    wanted = facts.comparison["decision"].get("needed") or {}
    units = {"items": ("image", facts.comparison["n"]), "groups": ("group", facts.comparison["groups"])}
    told = [
        f"{wording.many(wanted[key], noun)} ({there:,} here)"
        for key, (noun, there) in units.items()
        if wanted.get(key) is not None
    ]
    return "A test of about " + " in ".join(told) + " would be enough." if told else ""
