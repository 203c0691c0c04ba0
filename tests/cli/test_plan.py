"""What `plan` says before anything is spent: published figures, a recipe's source, a run, and its errors."""

from dataclasses import replace
from pathlib import Path

import pytest

from finetune.cli import plan
from finetune.config import compose
from finetune.data import example_files
from finetune.data import source as dataset
from finetune.errors import ConfigError
from finetune.example import Example
from finetune.rundir import RunDir


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    plan.run(arguments)
    return capsys.readouterr().out


def table(folder: Path, parts: int = 60, views: int = 4) -> list[str]:
    """Parts with 4 views; every sixth part is bad; the first half is the test."""
    rows = ["image,label,lot,part"]
    rows += [
        f"{lot}_{view}.png,{'bad' if lot % 6 == 0 else 'good'},lot {lot},{'test' if lot < parts / 2 else 'train'}"
        for lot in range(parts)
        for view in range(views)
    ]
    (folder / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    return [f"data.path={folder}", "data.adapter=table", "data.group=lot", "data.split.column=part"]


@pytest.mark.parametrize(("n", "points"), [(200, "6.5"), (394, "4.7"), (1000, "2.9")])
def test_detectable_difference(capsys, n: int, points: str) -> None:
    text = said(capsys, f"n={n}", "disagreement=0.1")
    assert f"a true difference of {points} points or more is found" in text
    assert "No margin was given" in text


@pytest.mark.parametrize(("disagreement", "items"), [("0.1", "873"), ("0.2", "1,745")])
def test_items_for_noninferiority(capsys, disagreement: str, items: str) -> None:
    text = said(capsys, "n=100", f"disagreement={disagreement}", "margin=0.03")
    assert f"{items} independent items needed if both are alike" in text
    assert f"NOT ENOUGH EVIDENCE IS LIKELY. You would need {items} items." in text


def test_enough_is_said_too(capsys) -> None:
    text = said(capsys, "n=873", "margin=0.03")
    assert "chance of passing now 80 %" in text
    assert "enough, if both models are alike." in text
    assert "NOT ENOUGH" not in text


def test_groups_cost(capsys) -> None:
    """480 items in groups of 12: effect 1 + 11 x .1 = 2.1, worth 228.6; 873 / 228.6 = 3.82 times as many are needed.

    That is 153 groups of 12. A group holds a disagreement with 1 - prod (8.1 + i) / (9 + i) = .56.
    """
    text = said(capsys, "n=480", "groups_of=12", "icc=0.1", "margin=0.03")
    assert "in 40 groups; design effect 2.1 at icc=0.1 within groups of 12.0" in text
    assert "worth 229 independent items" in text
    assert "chance of passing now 30 %" in text
    assert "22 of 40 groups are expected to hold a disagreement; 20 must" in text
    assert "You would need 1,836 items in 153 groups." in text


def test_few_groups_are_not_enough_however_many_items(capsys) -> None:
    text = said(capsys, "n=15000", "groups_of=1000", "icc=0", "margin=0.05")
    assert "chance of passing now 100 %" in text
    assert "You would need 20,000 items in 20 groups." in text


def test_no_difference_can_be_shown(capsys) -> None:
    assert "no difference can be shown; the largest possible is 10.0 points" in said(capsys, "n=30")


def test_source_of_a_recipe_with_classes_and_guards(capsys, tmp_path: Path) -> None:
    """30 test parts of 4: 5 bad, 25 good. Balanced: 4 / (1 / 20 + 1 / 100) = 66.7 equal items, effect 1.3: 51.3."""
    rule = ["evaluate.positive=bad", "evaluate.decision.metric=balanced_accuracy", "evaluate.decision.margin=0.05"]
    text = said(capsys, *table(tmp_path), *rule, "evaluate.guards.sensitivity.min_lower=0.9")
    assert "Test set: 120 items that balanced_accuracy is about, from the source (its test split" in text
    assert "in 30 groups; design effect 1.3 at icc=0.1" in text
    assert "worth 51 independent items of equal weight" in text
    assert "margin 5.0 points" in text
    assert "the disagreements are expected to weigh as much as 7 equal ones; 20 must" in text
    assert "You would need 736 items in 184 groups." in text
    assert "sensitivity of 0.9: 36 independent items without a miss, 142 with half the misses" in text
    assert "the test has 20 in 5 groups: NOT ENOUGH even without a miss" in text


def test_folds_limit_and_units(capsys, tmp_path: Path) -> None:
    source = table(tmp_path)[:3]
    assert "Test set: 240 items, from the source (3 folds" in said(capsys, *source, "data.folds=3")
    limited = said(capsys, *source, "data.folds=3", "data.limit=40")
    assert "Test set: 40 items" in limited
    unit = ["evaluate.unit=group", "evaluate.aggregate=any", "evaluate.positive=bad"]
    whole = said(capsys, *source, *unit, "data.folds=3", "evaluate.decision.metric=sensitivity")
    assert "Test set: 10 items that sensitivity is about" in whole
    assert "groups" not in whole


def test_a_run_is_read_from_its_files(capsys, tmp_path: Path) -> None:
    """What was prepared counts, not what the source has become."""
    config = compose.compose([*table(tmp_path), "evaluate.decision.margin=0.2"])
    examples = [row for row in dataset.examples(config, tmp_path) if isinstance(row, Example)][:24]
    rows = [example_files.to_row(replace(row, messages=())) for row in examples]
    run = RunDir(tmp_path / "run")
    run.write_jsonl(run.parts(0)[0].split("test"), rows)
    (run.root / "config.yaml").write_text(compose.to_yaml(config), encoding="utf-8")
    text = said(capsys, str(run.root), "icc=0")
    assert f"Test set: 24 items, from the run {run.root}" in text
    assert "in 6 groups" in text
    assert "margin 20.0 points" in text
    assert "margin 10.0 points" in said(capsys, str(run.root), "margin=0.1")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "plan needs a recipe, a run or a number of items: python -m finetune plan recipe=NAME"),
        (["n=0"], "n: got 0, expected 1 or more"),
        (["n=ten"], r"n: got 'ten' \(text\), expected null|n: got 'ten' \(text\), expected a whole number"),
        (["n=9", "disagreement=0"], "disagreement: got 0.0, expected more than 0 and less than 1"),
        (["n=9", "margin=1"], "margin: got 1.0, expected more than 0 and less than 1"),
        (["n=9", "icc=2"], r"icc: got 2.0, expected 0\.\.1"),
        (["n=9", "recipe=defects"], "plan n=... takes no run and no other key, got recipe=defects"),
        (["recipe=defects", "groups_of=4"], "groups_of goes with n; a run or recipe has groups of its own"),
        (["runs/none", "seed=1"], "plan RUN takes the keys of plan alone, got seed=1"),
        (["runs/none"], "is not a run: it has no config.yaml"),
        (["seed=1"], "plan needs recipe=NAME or data.path=FOLDER"),
        (["recipe=defcts"], "Did you mean 'defects'"),
    ],
)
def test_what_is_not_understood(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan.run(arguments)


def test_a_metric_without_items(tmp_path: Path) -> None:
    metric = ["evaluate.positive=odd", "evaluate.decision.metric=sensitivity"]
    with pytest.raises(ConfigError, match="has no item that sensitivity is about"):
        plan.run([*table(tmp_path), *metric])
