"""The ledger's rules on rows alone: what opens a sealed test again, and what is no ledger."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.errors import IntegrityError
from finetune.evaluation import test_ledger


def look(rule="r1", answers="a1", sealed=True):
    return {
        "time": "2026-01-01T00:00:00Z",
        "run": "one",
        "rule_sha256": rule,
        "answers_sha256": answers,
        "verdict": "keep",
        "sealed": sealed,
    }


@pytest.mark.parametrize(
    ("history", "sealed", "rule", "answers", "refused"),
    [
        ([], True, "r1", "a1", False),
        ([look()], True, "r1", "a1", False),  # the same look again: its report was lost
        ([look()], True, "r1", None, False),  # before anything was asked, the rule is all that is known
        ([look()], True, "r2", None, True),
        ([look()], True, "r1", "a2", True),
        ([look()], False, "r2", "a1", True),  # a seal cannot be taken off
        ([look(sealed=False)], True, "r2", "a1", True),  # nor put on afterwards
        ([look(sealed=False)], False, "r2", "a2", False),
        ([look(), look(rule="r2")], True, "r1", "a1", True),
    ],
)
def test_a_sealed_test_opens_for_one_rule_and_one_set_of_answers(history, sealed, rule, answers, refused):
    if not refused:
        test_ledger.refuse_second(history, sealed, rule, answers)
        return
    with pytest.raises(IntegrityError, match=r"sealed and was opened \d time.* by run one \(verdict keep\)"):
        test_ledger.refuse_second(history, sealed, rule, answers)


@pytest.mark.parametrize("line", ["[]", "1", "null", "{}", '{"test_sha256": 3}', '"test_sha256"'])
def test_a_line_that_is_no_look_is_named(tmp_path, line):
    """Skipping it would lower the count of looks."""
    (tmp_path / test_ledger.NAME).write_text('{"test_sha256": "t"}\n' + line + "\n")
    with pytest.raises(IntegrityError, match=r"looks\.jsonl line 2 is no look: it names no test_sha256"):
        test_ledger.former(tmp_path, "t")


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=5), st.randoms())
def test_the_digest_of_a_test_knows_its_items_and_not_their_order(items, random):
    shuffled = random.sample(items, len(items))
    assert test_ledger.digest_of(items) == test_ledger.digest_of(shuffled)
    assert test_ledger.digest_of([*items, ("id", "pixels", "gold")]) != test_ledger.digest_of(items)


@pytest.mark.parametrize("other", [("b", "1", "x"), ("a", "2", "x"), ("a", "1", "y"), ("a", "1x", "")])
def test_one_other_id_pixel_or_gold_is_another_test(other):
    assert test_ledger.digest_of([("a", "1", "x")]) != test_ledger.digest_of([other])


def test_looks_are_appended_and_none_is_lost(tmp_path):
    with test_ledger.opened(tmp_path / "new"):
        for number in range(3):
            test_ledger.append(tmp_path / "new", 0o600, test_sha256="t" if number else "u", run=f"r{number}")
    assert [row["run"] for row in test_ledger.former(tmp_path / "new", "t")] == ["r1", "r2"]
    assert (tmp_path / "new" / test_ledger.NAME).stat().st_mode & 0o777 == 0o600
    assert test_ledger.former(tmp_path, "t") == []
