"""The ledger: one count for all runs on one test, and a sealed test that opens once."""

import subprocess
import sys
from dataclasses import replace

import pytest
import synthetic

from finetune.config.schema import DecisionConfig, EvaluateConfig
from finetune.errors import IntegrityError
from finetune.evaluation import comparison, test_ledger, verdict
from finetune.evaluation.pairing import Test
from finetune.rundir import read_json, read_jsonl


def settled(root, name, evaluate=None, question=None, who=("base", "tuned")):
    """A run of two parts, its scripted answers judged."""
    chosen, run = synthetic.prepare(root / name, parts=2)
    chosen = replace(chosen, run=replace(chosen.run, root=str(root)), evaluate=evaluate or EvaluateConfig())
    rows = synthetic.examples(chosen, run, "test", range(2))
    if question:
        message = replace(rows[0].messages[0], text=question)
        rows = [replace(row, messages=(message,)) for row in rows]
    test = Test(synthetic.LABELS, tuple(rows), ("",) * len(rows), "accuracy", None, 0)
    said = {name: [synthetic.answer(row, synthetic.LABELS, name, "score", run.data) for row in rows] for name in who}
    verdict.refuse_second_look(chosen, run, test)
    verdict.settle(chosen, run, test, said, {})
    return read_json(run.comparison)["decision"]


def test_looks_are_counted_across_runs_and_rules(tmp_path):
    other = EvaluateConfig(decision=DecisionConfig(margin=0.05))
    first, second = settled(tmp_path, "one"), settled(tmp_path, "two", other)
    third = settled(tmp_path, "three", other, question="Is it damaged?")
    assert [found["looks"] for found in (first, second, third)] == [1, 2, 3]
    assert (first["looks_history"], [row["run"] for row in third["looks_history"]]) == ([], ["one", "two"])
    assert third["looks_history"][0]["rule_sha256"] == first["rule_sha256"] != second["rule_sha256"]
    assert third["looks_history"][1]["verdict"] == "not_enough_evidence"
    assert [found["rules"] for found in (first, second, third)] == [1, 2, 2]
    assert len({found["test_sha256"] for found in (first, second, third)}) == 1
    assert first["expires"] > first["scope"]["dates"]["evaluated"]


def test_another_test_has_its_own_count(tmp_path):
    settled(tmp_path, "one")
    rows = list(read_jsonl(tmp_path / test_ledger.NAME))
    assert test_ledger.former(tmp_path, rows[0]["test_sha256"]) == rows
    assert test_ledger.former(tmp_path, "0" * 64) == []
    assert test_ledger.digest_of([("a", "1", "x"), ("b", "2", "y")]) == test_ledger.digest_of(
        [("b", "2", "y"), ("a", "1", "x")]
    )
    assert test_ledger.digest_of([("a", "1", "x")]) != test_ledger.digest_of([("a", "2", "x")])


SEALED = EvaluateConfig(sealed=True)


def test_a_sealed_test_opens_once(tmp_path):
    assert settled(tmp_path, "one", SEALED)["looks"] == 1
    looser = replace(SEALED, decision=DecisionConfig(margin=0.2))
    message = (
        r"this test is sealed and was opened 1 time\(s\) before, first on .* by run one \(verdict not_enough_evidence\)"
    )
    with pytest.raises(IntegrityError, match=message):
        settled(tmp_path, "two", looser)
    with pytest.raises(IntegrityError, match="this test is sealed"):  # the seal cannot be taken off afterwards
        settled(tmp_path, "three", replace(looser, sealed=False))
    assert not (tmp_path / "two" / "eval" / "comparison.json").exists()
    assert len(list(read_jsonl(tmp_path / test_ledger.NAME))) == 1


def test_other_answers_are_another_look_and_the_same_are_not(tmp_path):
    settled(tmp_path, "one", SEALED)
    assert settled(tmp_path, "one", SEALED)["looks"] == 2  # the report of the first was lost
    with pytest.raises(IntegrityError, match="this test is sealed"):
        settled(tmp_path, "one", SEALED, who=("tuned",))


def test_a_test_that_was_looked_at_cannot_be_sealed(tmp_path):
    settled(tmp_path, "one")
    with pytest.raises(IntegrityError, match="was opened 1 time"):
        settled(tmp_path, "two", replace(SEALED, threshold=None, decision=DecisionConfig(margin=0.1)))


def test_a_damaged_ledger_is_no_clean_sheet(tmp_path):
    settled(tmp_path, "one")
    ledger = tmp_path / test_ledger.NAME
    ledger.write_text(ledger.read_text()[:-20])
    with pytest.raises(IntegrityError, match=r"looks\.jsonl line 1 is not JSON"):
        settled(tmp_path, "two")


ENTER = """
import sys
from pathlib import Path
from finetune.evaluation import test_ledger
root = Path(sys.argv[1])
for _ in range(20):
    with test_ledger.opened(root):
        count = len(test_ledger.former(root, "t"))
        test_ledger.append(root, 0o640, run="r", test_sha256="t", seen=str(count))
"""


def test_two_processes_never_count_the_same_look(tmp_path):
    workers = [subprocess.Popen([sys.executable, "-c", ENTER, str(tmp_path)]) for _ in range(2)]
    assert [worker.wait(timeout=200) for worker in workers] == [0, 0]
    assert [int(row["seen"]) for row in test_ledger.former(tmp_path, "t")] == list(range(40))
    assert (tmp_path / test_ledger.NAME).stat().st_mode & 0o777 == 0o640


def test_the_rule_holds_all_that_decides():
    rule = comparison.rule(EvaluateConfig(), "gpt")
    assert {"decision", "guards", "positive", "threshold", "risk_target", "unit", "aggregate", "models"} < set(rule)
    assert rule["baseline"] == "gpt"
