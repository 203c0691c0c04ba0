"""What a gate must not let pass: a margin in points, nothing to compare, silence; and what it writes for CI."""

import json
from xml.etree import ElementTree

import pytest
from scripted import answers, asked, every
from synthetic import rows

from finetune.cli import compare, gate, runs
from finetune.errors import ConfigError, GateError

N = 100
TEST = asked(["bad" if i % 2 else "good" for i in range(N)])


def side(tmp_path, name, marks, test=TEST):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(answers(test, marks))), encoding="utf-8")
    return str(path)


def call(tmp_path, old, new, *more, test=TEST):
    files = side(tmp_path, "old.jsonl", old, test), side(tmp_path, "new.jsonl", new, test)
    gate.run([*files, f"junit={tmp_path / 'junit.xml'}", *more])


@pytest.mark.parametrize("margin", ["3", "1", "-0.01", "nan", "inf"])
def test_a_margin_that_would_let_everything_pass_is_refused(tmp_path, margin):
    """`margin=3` (points, not a share) let a model pass that had lost every answer."""
    with pytest.raises(ConfigError, match=r"gate: --margin: got .*, expected a share from 0 to below 1; 3 points are"):
        call(tmp_path, "+" * N, "-" * N, f"margin={margin}")


@pytest.mark.parametrize("margin", ["three", ""])
def test_a_margin_that_is_no_number(tmp_path, margin):
    with pytest.raises(ConfigError, match="gate: argument --margin: invalid float value"):
        call(tmp_path, "+" * N, "-" * N, f"margin={margin}")


def test_nothing_to_compare_is_no_pass(tmp_path):
    bad = asked(["bad"] * N)
    with pytest.raises(ConfigError, match="no item that both answered is one that specificity is about"):
        call(tmp_path, "+" * N, "+" * N, "metric=specificity", "positive=bad", test=bad)
    with pytest.raises(ConfigError, match="no item that both answered is one that accuracy is about"):
        call(tmp_path, "e" * N, "e" * N)


@pytest.mark.parametrize("mark", list("urfet"))
def test_a_model_that_answers_nothing_has_regressed(tmp_path, mark):
    with pytest.raises(GateError, match=r"coverage -100\.0 points"):
        call(tmp_path, "+" * N, mark * N)


@pytest.mark.parametrize(
    ("lost", "gained", "fails"),
    [(5, 0, False), (6, 0, True), (12, 4, False), (20, 8, True), (0, 50, False), (8, 20, False)],
)
def test_exact_mcnemar_decides(tmp_path, lost, gained, fails):
    """5-0 = .0625, 6-0 = .031, 12-4 = .077, 20-8 = .036; only losses fail."""
    old = every(N, lambda i: i < gained)
    new = every(N, lambda i: gained <= i < gained + lost)
    if not fails:
        call(tmp_path, old, new)
        return
    with pytest.raises(GateError, match=rf"\({gained} gained, {lost} lost, 100 items\)"):
        call(tmp_path, old, new)


def test_lost_items_are_listed_but_not_without_end(tmp_path):
    with pytest.raises(GateError, match="40 items were right and are not any more: i0000, i0001, i0002, i0003, i0004"):
        call(tmp_path, "+" * N, every(N, lambda i: i < 40))
    failure = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testcase/failure")
    assert failure is not None
    assert len(failure.text.split()) == gate.NAMED == 20
    assert failure.get("message").endswith("the upper bound lies below -0")


def test_balanced_accuracy_sees_a_rare_class(tmp_path):
    """6 of 25 bad parts lost among 500 items: 1.2 points of accuracy, 12 of balanced accuracy."""
    test = asked(["bad"] * 25 + ["good"] * 475)
    with pytest.raises(GateError, match=r"balanced accuracy -12\.0 points"):
        call(tmp_path, "+" * 500, every(500, lambda i: i < 6), "metric=balanced_accuracy", test=test)


def test_answers_outside_the_golds_are_shown_and_not_a_traceback(tmp_path, capsys):
    one, two = side(tmp_path, "one.jsonl", "+" * N), tmp_path / "two.jsonl"
    own = [row | {"answer": "dent", "outcome": "wrong"} for row in rows(answers(TEST, "+" * N))]
    two.write_text("".join(json.dumps(row) + "\n" for row in own), encoding="utf-8")
    compare.run([one, str(two), "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["labels"] == ["bad", "dent", "good"]
    assert found["models"]["two"]["balanced_accuracy"]["value"] == 0


def test_open_answers_carry_no_verdict(tmp_path):
    test = asked([f"finding {i}" for i in range(60)])
    one, two = side(tmp_path, "one.jsonl", "+" * 60, test), side(tmp_path, "two.jsonl", "-" * 60, test)
    compare.run([one, two])
    with pytest.raises(ConfigError, match=r"compare: --margin: .* carry no verdict\. Leave --margin out"):
        compare.run([one, two, "--margin", "0.05"])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", "{"),
        ("run.json", "[]"),
        ("eval/comparison.json", "[]"),
        ("eval/comparison.json", '{"decision": {}}'),
    ],
)
def test_one_damaged_run_does_not_hide_the_others(tmp_path, capsys, name, content):
    for folder in ("broken", "fine"):
        (tmp_path / folder / "eval").mkdir(parents=True)
        (tmp_path / folder / "run.json").write_text(
            '{"status": "done", "recipe": "r", "started": "2026-01-02T03:04:05"}'
        )
    (tmp_path / "broken" / name).write_text(content)
    runs.run([str(tmp_path)])
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == {"run", "broken", "fine"}
    assert "unreadable" in lines["broken"]
    assert "2026-01-02" in lines["fine"]


def test_names_that_xml_cannot_hold_stay_readable(tmp_path):
    odd = [row | {"id": f"\x00\x1b{row['id']}"} for row in rows(answers(TEST, "+" * N))]
    new = [row | {"id": f"\x00\x1b{row['id']}"} for row in rows(answers(TEST, "-" * N))]
    for name, found in (("old.jsonl", odd), ("new.jsonl", new)):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in found))
    with pytest.raises(GateError, match="100 items were right"):
        gate.run([str(tmp_path / "old.jsonl"), str(tmp_path / "new.jsonl"), f"junit={tmp_path / 'junit.xml'}"])
    failure = ElementTree.parse(tmp_path / "junit.xml").getroot().find("testcase/failure")
    assert failure.text.split()[0] == "\ufffd\ufffdi0000"


def test_a_folder_is_no_report(tmp_path):
    files = side(tmp_path, "old.jsonl", "+" * N), side(tmp_path, "new.jsonl", "+" * N)
    with pytest.raises(ConfigError, match=r"gate: --junit: .* is a folder, expected the file to write"):
        gate.run([*files, f"junit={tmp_path}"])
