"""No verdict whose needed criteria do not all pass, over generated tables of statuses."""

from hypothesis import given
from hypothesis import strategies as st

from finetune.evaluation import criteria, decision
from finetune.evaluation.criteria import NEEDED_FOR, Criterion

NAMES = [name for name in NEEDED_FOR if name != "guard"] + ["guard recall.bad"]
STATUSES = st.sampled_from(["pass", "fail", "inconclusive", "not_asked"])


@given(st.fixed_dictionaries(dict.fromkeys(NAMES, STATUSES)))
def test_a_verdict_stands_on_criteria_that_pass(statuses):
    rows = [Criterion(name, "", status) for name, status in statuses.items()]
    verdict = decision._taken(rows, {row.name: row for row in rows})
    if verdict == "replace":
        others = {name: status for name, status in statuses.items() if name != "selective_risk"}
        assert set(others.values()) <= {"pass", "not_asked"}
        assert {others[name] for name in ("noninferior", "assay_sensitivity", "coverage")} == {"pass"}
    if verdict == "replace_with_review":
        assert statuses["selective_risk"] == "pass"
        assert statuses["fair_baseline"] in ("pass", "not_asked")
        assert statuses["guard recall.bad"] != "fail"
    if verdict == "keep":
        assert "fail" in (statuses["noninferior"], statuses["guard recall.bad"])
    if verdict != "not_enough_evidence":
        assert (statuses["assay_sensitivity"], statuses["coverage"]) == ("pass", "pass")


def test_an_unknown_prompt_does_not_count_as_a_fair_one():
    rows = [Criterion(name, "", "pass") for name in NAMES if name not in ("selective_risk", "fair_baseline")]
    assert criteria.allows("replace", [*rows, Criterion("fair_baseline", "", "pass")])
    assert not criteria.allows("replace", [*rows, Criterion("fair_baseline", "", "inconclusive")])
    assert not criteria.allows("replace", [row for row in rows if row.name != "noninferior"])


def test_every_criterion_says_what_it_is_needed_for():
    assert Criterion("guard recall.bad", "Is it?", "pass").to_json()["needed_for"] == ["replace"]
    assert Criterion("selective_risk", "Is it?", "fail").to_json()["needed_for"] == ["replace_with_review"]
