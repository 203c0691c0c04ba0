"""Page one, sentence by sentence: what is signed must say what was found and under which rule."""

from dataclasses import replace

import pytest
from report import bare

from finetune.report import verdict_page


def decided(**changes):
    decision = bare.comparison()["decision"] | changes
    return bare.facts(comparison=bare.comparison(decision=decision))


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        ("Too few groups.", "Too few groups."),
        ("Too few groups", "Too few groups."),
        ("Not met. Open: guard a: 1; floor: 2.", "Not met."),
        ("Met. By itself it is not enough: x.", "Met."),
        ("It is worse; noninferior: -4 points", "It is worse."),
        ("Openness is fine.", "Openness is fine."),
    ],
)
def test_the_reason_ends_before_the_list(reason, shown):
    found = verdict_page.front(decided(reason=reason))
    assert (found.reason, found.whole_reason) == (shown, reason)


@pytest.mark.parametrize("verdict", list(verdict_page.BADGES))
def test_every_verdict_has_a_badge_a_tone_and_a_title(verdict):
    found = verdict_page.front(decided(verdict=verdict))
    assert (found.badge, found.tone) == verdict_page.BADGES[verdict]
    assert "rival" in found.title
    assert "{" not in found.title


def test_a_qualifier_speaks_only_with_replace():
    """`measurably_worse` beside `keep` must not read as permission."""
    found = verdict_page.front(decided(verdict="keep", qualifier="measurably_worse"))
    assert found.title == "Keep rival."


def test_without_a_rival_nothing_is_green():
    found = verdict_page.front(decided(verdict="replace", rule={"baseline": None}))
    assert (found.badge, found.tone) == ("No proprietary model compared", "open")
    assert found.title == "The tuned model is better than its base."
    assert [figure.name for figure in found.figures][1] == "Base model, accuracy"


def test_the_three_figures_by_hand():
    tuned, rival, gap = verdict_page.front(decided()).figures
    assert (tuned.name, tuned.value) == ("Tuned model, accuracy", f"80.0{bare.NARROW}%")
    assert tuned.note == "95 % interval 70.0 to 90.0"
    assert (rival.name, rival.value) == ("rival, accuracy", f"70.0{bare.NARROW}%")
    assert (gap.value, gap.note) == ("+10.0", f"points, {bare.MINUS}2.0 to +22.0")
    assert gap.tone == "open"


def test_without_a_pair_there_are_no_figures():
    found = bare.facts(comparison=bare.comparison(pairs={}, decision=decided().comparison["decision"]))
    assert verdict_page.against(found) is None
    assert verdict_page.figures(found) == []
    assert verdict_page.sentences(found) == ["100 test images."]


def test_sentences_of_the_rival_end_with_the_tuning():
    told = verdict_page.sentences(decided())
    assert told[0].startswith("On 100 test images kept out of training, the tuned model reached 80.0")
    assert told[-1] == "The tuned model is better than its base."


RULES = [
    ({"decision": {"metric": "macro_f1"}}, ("Primary metric", "macro-F1")),
    ({"decision": {"margin": 0.03}}, ("Largest loss accepted", "3 points")),
    ({"decision": {"margin": 0.025}}, ("Largest loss accepted", "2.5 points")),
    ({"decision": {"floor": 0.85}}, ("Absolute floor", f"85.0{bare.NARROW}%")),
    ({"decision": {"min_coverage": 0.9}}, ("Share that must be answered", f"90.0{bare.NARROW}%")),
    ({"risk_target": 0.01}, ("Largest error without review", f"1.0{bare.NARROW}%")),
    ({"decision": {"valid_days": 180}}, ("Valid for", "180 days")),
    ({"models": ["tuned", "rival"]}, ("Compared", "tuned, rival")),
    ({"unit": "group"}, ("One decision is about one", "group")),
    ({"threshold": 0.2}, ("Positive from probability", "0.2")),
    ({"some_new.key_x": 3}, ("Some new, key x", "3")),
    (
        {"guards": {"sensitivity.pit": {"min_lower": 0.9}}},
        ("Guard", f"sensitivity of pit at least 90.0{bare.NARROW}%, one-sided 97.5 %"),
    ),
    (
        {"guards": {"sensitivity.0.5 mm pit": {"min_lower": 0.9}}},
        ("Guard", f"sensitivity of 0.5 mm pit at least 90.0{bare.NARROW}%, one-sided 97.5 %"),
    ),
    (
        {"guards": {"accuracy": {"min_lower": 0.955}}},
        ("Guard", f"accuracy at least 95.5{bare.NARROW}%, one-sided 97.5 %"),
    ),
]


@pytest.mark.parametrize(("rule", "line"), RULES)
def test_a_line_of_the_rule(rule, line):
    found = decided(rule=rule)
    margin = replace(found.config.evaluate.decision, margin=0.03)
    chosen = replace(found.config, evaluate=replace(found.config.evaluate, decision=margin))
    assert verdict_page.rule(replace(found, config=chosen)) == [line]


def test_what_is_not_set_is_no_line_but_a_missing_margin_is():
    told = verdict_page.rule(decided(rule={"baseline": None, "guards": {}, "threshold": None, "subgroups": []}))
    assert told == [("Largest loss accepted", "none was declared, so there can be no verdict to replace")]


@pytest.mark.parametrize(
    ("needed", "told"),
    [
        (None, ""),
        ({}, ""),
        ({"items": None, "groups": None}, ""),
        ({"items": 1}, "A test of about 1 image (100 here) would be enough."),
        ({"groups": 44}, "A test of about 44 groups (100 here) would be enough."),
        ({"items": 1745, "groups": 150}, "A test of about 1,745 images (100 here) in 150 groups (100 here) would be"),
    ],
)
def test_what_would_be_enough(needed, told):
    found = verdict_page.needed(decided(needed=needed))
    assert found.startswith(told)
    assert bool(found) == bool(told)


def test_digests_in_the_scope_are_cut_and_other_text_is_not():
    digest = "0123456789ab" + "c" * 52
    scope = {"site": "hall 2", "artefact": [digest], "versions": {"torch": "2.14.1"}, "wide": "d" * 65, "none": None}
    told = dict(verdict_page.front(decided(scope=scope)).scope)
    assert told == {
        "Site": "hall 2",
        "Artefact": "0123456789ab\u2026",
        "Versions": "torch 2.14.1",
        "Wide": "d" * 65,
    }


def test_looks_rules_and_expiry_are_on_page_one():
    history = [{"time": "2026-11-03T09:12:44Z", "verdict": "keep"}]
    found = verdict_page.front(decided(looks=3, rules=2, looks_history=history, expires="2027-05-21T10:00:00Z"))
    assert (found.looks, found.rules, found.history, found.expires) == (3, 2, tuple(history), "2027-05-21")
    plain = verdict_page.front(decided())
    assert (plain.looks, plain.rules, plain.history, plain.expires) == (1, 1, (), "")


def test_only_what_did_not_pass_is_open():
    rows = [
        {"name": name, "status": status, "needed_for": ["replace"]}
        for name, status in (("noninferior", "pass"), ("floor", "fail"), ("coverage", "inconclusive"))
    ]
    rows += [{"name": "beats_linear", "status": "not_asked", "needed_for": []}]
    rows += [{"name": "certainly_worse", "status": "fail", "needed_for": ["keep"]}]
    found = decided()
    told = verdict_page.front(
        replace(found, comparison=found.comparison | {"decision": found.comparison["decision"] | {"criteria": rows}})
    )
    assert told.open == (("Good enough in itself", "fail"), ("Enough items answered", "inconclusive"))
