"""`compare` and `runs`: files without a run, runs side by side, the list."""

import json

import pytest
import synthetic
from scripted import answers, asked, every

from finetune.cli import compare, runs
from finetune.errors import ConfigError, IntegrityError

N = 300
TEST = asked(["bad" if i % 2 else "good" for i in range(N)])


def side(tmp_path, name, marks):
    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in synthetic.rows(answers(TEST, marks))))
    return str(path)


def test_two_files_without_a_run(tmp_path, capsys):
    a = side(tmp_path, "New-CNN.predictions.jsonl", every(N, lambda i: i % 30 == 1))
    b = side(tmp_path, "reader.jsonl", every(N, lambda i: i % 10 == 1))
    compare.run([a, b, "--positive", "bad", "--margin", "0.05"])
    out = capsys.readouterr().out
    assert "new_cnn - reader" in out
    assert "20 better, 0 worse" in out
    assert "majority was not evaluated" in out
    compare.run([a, b, "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["pairs"]["new_cnn-reader"]["difference"] == pytest.approx(20 / 300)
    assert (found["n"], found["decision"]["verdict"]) == (300, "not_enough_evidence")


def test_rows_with_the_least_that_is_needed(tmp_path, capsys):
    for name, marks in (("one", "+-++"), ("two", "++++")):
        rows = [
            {"id": row.id, "gold": row.gold, "answer": row.answer} for row in answers(asked(["bad", "good"] * 2), marks)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    compare.run([str(tmp_path / "one.jsonl"), str(tmp_path / "two.jsonl"), "--json"])
    pair = json.loads(capsys.readouterr().out)["pairs"]["one-two"]
    assert (pair["b"], pair["c"], pair["n"]) == (0, 1, 4)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["one.jsonl"], "one file has nothing to be compared with"),
        (["one.jsonl", "."], "files of predictions, or runs, not both"),
        (["one.jsonl", "one.jsonl"], "two files would be called one"),
        (["."], r"holds no run\.json"),
    ],
)
def test_what_cannot_be_compared(tmp_path, monkeypatch, names, message):
    side(tmp_path, "one.jsonl", "+" * N)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        compare.run(names)


def test_a_margin_is_a_share(tmp_path):
    one, two = side(tmp_path, "one.jsonl", "+" * N), side(tmp_path, "two.jsonl", "+" * N)
    with pytest.raises(ConfigError, match="--margin: got 3, expected a share"):
        compare.run([one, two, "--margin", "3"])


def test_files_of_other_items(tmp_path):
    one = side(tmp_path, "one.jsonl", "+" * N)
    two = tmp_path / "two.jsonl"
    two.write_text("".join((tmp_path / "one.jsonl").read_text().splitlines(keepends=True)[1:]))
    with pytest.raises(IntegrityError, match="predictions of two: 1 ids missing: 'i0000'"):
        compare.run([one, str(two)])


def test_runs_side_by_side_and_listed(tmp_path, monkeypatch, capsys):
    root = tmp_path / "runs"
    synthetic.evaluated(monkeypatch, root / "first", parts=5)
    synthetic.prepare(root / "second", parts=2)
    (root / "broken").mkdir()
    (root / "broken" / "run.json").write_text("{")
    (root / "note").mkdir()
    capsys.readouterr()
    compare.run([str(root / "first"), str(root / "second")])
    out = capsys.readouterr().out
    assert out.splitlines()[0].split() == ["first", "second"]
    assert "not_enough_evidence" in out
    runs.run([f"run.root={root}"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["run", "recipe", "status", "date", "metric", "tuned", "verdict"]
    assert {line.split()[0] for line in lines[1:]} == {"first", "second", "broken"}
    assert any("unreadable" in line for line in lines)
    runs.run([str(root / "note")])
    assert "holds no runs yet" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="is no folder"):
        runs.run([str(root / "nothing")])
    with pytest.raises(ConfigError, match="takes one folder, got 2"):
        runs.run(["a", "b"])
