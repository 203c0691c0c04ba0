"""Forgetting and refusals once more, from `eval/panels.replies.jsonl`."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from oracle import formulas
from oracle.headline import OUTCOMES
from oracle.rows import Row

Tree = dict[str, Any]
WHO = ("base", "tuned")
WITHOUT_ANSWER = ("blank", "absent")
DECLINED = "cannot tell"


def expected(rows: Iterable[Row], labels: Sequence[str]) -> Tree:
    """`general` and `refusals` of `panels.json`.

    Args:
        rows: replies with `set` and `who`.
        labels: the closed answers of the run.
    """
    replies: dict[str, dict[str, list[Row]]] = defaultdict(lambda: {who: [] for who in WHO})
    for row in rows:
        replies[row["set"]][row["who"]].append(row)
    sets = {name: both for name, both in replies.items() if name not in WITHOUT_ANSWER}
    asked = {name: both for name, both in replies.items() if name in WITHOUT_ANSWER}
    together = {who: [row for both in sets.values() for row in both[who]] for who in WHO}
    answerable = None
    if together["base"]:
        silent = {who: [row["answer"] is None for row in together[who]] for who in WHO}
        answerable = {"n": len(silent["base"]), "difference": _gap(silent)}
        answerable |= {who: {"unanswered": formulas.share(sum(silent[who]), len(silent[who]))} for who in WHO}
    unanswerable = {kind: _declined(both, labels) for kind, both in asked.items()}
    return {
        "general": [_set(name, both) for name, both in sets.items()],
        "refusals": {"unanswerable": unanswerable, "answerable": answerable},
    }


def _set(name: str, both: Mapping[str, Sequence[Row]]) -> Tree:
    right = {who: [row["outcome"] == "correct" for row in both[who]] for who in WHO}
    groups = [row["group"] for row in both["base"]]
    found: Tree = {"set": name, "n": len(groups), "difference": _difference(right, groups)}
    found["reading"] = _reading(found["difference"])
    counts = {who: Counter(row["outcome"] for row in both[who]) for who in WHO}
    found["outcomes"] = {who: {kind: counts[who][kind] for kind in OUTCOMES} for who in WHO}
    return found | {who: formulas.proportion(right[who], groups) for who in WHO}


def _declined(both: Mapping[str, Sequence[Row]], labels: Sequence[str]) -> Tree:
    n = len(both["base"])
    silent = {who: [row["answer"] == DECLINED or row["outcome"] == "refused" for row in both[who]] for who in WHO}
    found: Tree = {"n": n, "difference": _gap(silent)}
    for who in WHO:
        own = sum(row["answer"] in labels for row in both[who])
        found[who] = {"declined": formulas.share(sum(silent[who]), n), "own_label": formulas.share(own, n)}
    pairs = zip(both["base"][:3], both["tuned"][:3], strict=True)
    shown = [{"question": a["question"], "base": a["text"], "tuned": b["text"]} for a, b in pairs]
    return found | {"examples": shown}


def _gap(hits: Mapping[str, Sequence[bool]]) -> Tree:
    found = _difference(hits, [f"{place:06d}" for place in range(len(hits["base"]))])
    return found | {"reading": _reading(found)}


def _difference(hits: Mapping[str, Sequence[bool]], groups: Sequence[str]) -> Tree:
    found = formulas.difference(hits["tuned"], hits["base"], groups, None, 0, 0.0)
    names = ("difference", "low", "high", "b", "c", "p", "n", "groups", "discordant_groups")
    return {name: found[name] for name in names}


def _reading(found: Tree) -> str:
    return "lower" if found["high"] < 0 else "higher" if found["low"] > 0 else "open"
