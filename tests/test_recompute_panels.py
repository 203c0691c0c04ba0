"""Forgetting and refusals by the second code, against the panels and against one count by hand."""

from dataclasses import asdict

import numpy as np
import pytest
from regressions.test_shares import reply

from finetune.recompute import differences, panels
from finetune.regressions import general_ability, refusals

LABELS = ("yes", "no")


def drawn(seed, n):
    """Replies of both models: right, wrong, silent, declined, refused."""
    kinds = [("yes", "correct"), ("no", "wrong"), (None, "unparsed"), ("cannot tell", "wrong"), (None, "refused")]
    found = {}
    for who, shift in (("base", 0), ("tuned", 1)):
        chosen = np.random.default_rng([seed, shift]).integers(0, len(kinds), n)
        found[who] = [reply(number, *kinds[kind]) for number, kind in enumerate(chosen)]
    return found


def written(replies):
    return [
        {"set": name, "who": who, **asdict(row)} for name, both in replies.items() for who in both for row in both[who]
    ]


@pytest.fixture
def made():
    replies = {"mmstar": drawn(1, 40), "shapes": drawn(2, 30), "blank": drawn(3, 20), "absent": drawn(4, 20)}
    sets = {name: replies[name] for name in ("mmstar", "shapes")}
    rows = [general_ability.row(name, both, {"no answer": 2}, ["a.parquet"]) for name, both in sets.items()]
    asked = {kind: replies[kind] for kind in panels.WITHOUT_ANSWER}
    panel = refusals.panel(asked, list(sets.values()), LABELS)
    told = {"schema": 1, "identity": "ab", "general": rows, "refusals": panel, "references": [], "notes": ["so"]}
    return replies, told


def held(replies, told):
    found = differences._held(panels.expected(written(replies), LABELS), told, "panels.json")
    return [line for line in found if line]


def test_two_codes_agree(made):
    assert held(*made) == []


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda p: p["general"][1].update(reading="higher"), "general[1] reading"),
        (lambda p: p["general"][0]["tuned"].update(value=0.9), "general[0] tuned value"),
        (lambda p: p["general"][0]["difference"].update(low=0.2), "general[0] difference low"),
        (lambda p: p["refusals"]["answerable"]["base"]["unanswered"].update(high=0.1), "refusals answerable base"),
        (lambda p: p["refusals"]["unanswerable"]["blank"].update(n=19), "refusals unanswerable blank n"),
        (lambda p: p.update(luck=0.5), "luck: no prediction gives this value"),
    ],
)
def test_an_altered_figure_is_named(made, change, where):
    replies, told = made
    change(told)
    (line,) = held(replies, told)
    assert line.startswith(f"panels.json {where}")


def test_by_hand():
    """Of 4 blank pictures the base declines 3 (one refusal) and tuned none: it answers with labels of the run."""
    base = [reply(0, "cannot tell"), reply(1, "cannot tell"), reply(2, None, "refused"), reply(3, "yes")]
    tuned = [reply(n, "no") for n in range(4)]
    found = panels.expected(written({"blank": {"base": base, "tuned": tuned}}), LABELS)
    row = found["refusals"]["unanswerable"]["blank"]
    assert (row["base"]["declined"]["value"], row["tuned"]["declined"]["value"]) == (0.75, 0.0)
    assert (row["base"]["own_label"]["value"], row["tuned"]["own_label"]["value"]) == (0.25, 1.0)
    assert (row["difference"]["difference"], row["difference"]["b"], row["difference"]["c"]) == (-0.75, 0, 3)
    assert (found["general"], found["refusals"]["answerable"]) == ([], None)
