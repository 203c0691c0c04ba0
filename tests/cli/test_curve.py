"""The learning curve on real data stages and scripted training."""

from dataclasses import replace

import pytest
from PIL import Image

from finetune import stats
from finetune.cli import curve
from finetune.config import compose
from finetune.errors import ConfigError, IntegrityError
from finetune.pipeline import prepare, runner
from finetune.rundir import RunDir, read_json, read_jsonl

RIGHT = {0.1: 3, 0.25: 4, 0.5: 4, 1.0: 10}
"""How many of ten test items the scripted model of each share has right; the untuned one has 2."""


def score(right, n):
    return {"value": right / n, "low": 0.0, "high": 1.0}


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The arguments of a curve over 40 single images, with `runner.execute` scripted behind `prepare`."""
    rows = ["image,label,split"]
    for number in range(40):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number:02d}.png")
        rows.append(f"{number:02d}.png,{('good', 'bad')[number % 2]},{'test' if number < 10 else 'train'}")
    (tmp_path / "labels.csv").write_text("\n".join(rows) + "\n")
    asked = []

    def execute(config, overrides):
        asked.append((config, list(overrides)))
        run = RunDir(compose.run_folder(config))
        prepare.run(config, run)
        test = list(read_jsonl(run.data / "test.jsonl"))
        right = RIGHT[config.data.train_share]
        made = [("correct" if n < right else "wrong") for n in range(len(test))]
        lines = [
            {"id": row["id"], "gold": row["target"], "group": row["group"], "outcome": outcome}
            for row, outcome in zip(test, made, strict=True)
        ]
        run.write_jsonl(run.predictions("tuned"), lines)
        models = {"tuned": {"accuracy": score(right, 10)}}
        if "base" in config.evaluate.models:
            models["base"] = {"accuracy": score(2, 10)}
        run.write_json(run.comparison, {"models": models})
        return run.root

    monkeypatch.setattr(runner, "execute", execute)
    arguments = [
        *("data.adapter=table", f"data.path={tmp_path}", "data.split.column=split", f"run.root={tmp_path / 'runs'}"),
        *("baseline=openai_compatible", "baseline.model=m", "baseline.base_url=http://localhost:1/v1"),
    ]
    return arguments, asked


def test_four_runs_one_test_and_a_table(command, capsys):
    arguments, _ = command
    curve.run(arguments)
    whole = RunDir(compose.run_folder(compose.compose(arguments)))
    found = read_json(whole.eval / "curve.json")
    assert found["metric"] == "accuracy"
    assert [point["share"] for point in found["points"]] == [0.1, 0.25, 0.5, 1.0]
    assert [point["score"]["value"] for point in found["points"]] == [0.3, 0.4, 0.4, 1.0]
    groups = [point["groups"] for point in found["points"]]
    assert groups == sorted(groups)
    assert groups[0] >= 2
    assert (groups[-1], found["points"][-1]["images"], found["points"][-1]["run"]) == (30, 30, whole.root.name)
    assert found["base"]["value"] == 0.2
    low, high = stats.tango(6, 0, 10)
    gain = found["gain"]
    assert (gain["difference"], gain["b"], gain["c"], gain["n"]) == (pytest.approx(0.6), 6, 0, 10)
    assert (gain["low"], gain["high"], gain["reading"]) == (pytest.approx(low), pytest.approx(high), "more helped")
    assert "eval/curve.json" in whole.audit()
    told = capsys.readouterr()
    assert told.out.splitlines()[0].split() == ["share", "groups", "images", "accuracy", "(95", "%", "interval)"]
    assert "100 %       30       30   100.0 % [0.0, 100.0]" in told.out
    assert "50 % to 100 %: +60.0 points [" in told.out
    assert "more photographs will probably help" in told.out
    assert "curve: 10% of the training groups in" in told.err


def test_small_shares_ask_the_tuned_model_alone(command):
    arguments, asked = command
    curve.run(arguments)
    small, whole = asked[0], asked[-1]
    assert small[0].evaluate.models == ("tuned",)
    assert small[0].baseline.kind == "none"
    assert small[1][-1] == "data.train_share=0.1"
    assert whole[0] == replace(compose.compose(arguments), stages=curve.NEEDED)
    assert len({compose.run_folder(config) for config, _ in asked}) == 4


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("run.dir=x", "run.dir: every share is a run of its own"),
        ("stages=[train]", "stages: a curve runs prepare, train, evaluate"),
        ("data.train_share=0.5", "data.train_share: a curve sets it to 0.1, 0.25, 0.5, 1.0"),
        ("baseline.dry_run=true", "baseline.dry_run: a curve trains"),
        ("evaluate.sealed=true", "evaluate.sealed: a curve looks at the test 4 times"),
    ],
)
def test_what_a_curve_sets_itself(more, message):
    with pytest.raises(ConfigError, match=message):
        curve.run(["recipe=defects", more])
    with pytest.raises(ConfigError, match=r"no recipe given\. There are: .*Try recipe=defects"):
        curve.run([])


def rows(right, n=8):
    gold = ["a", "b"] * (n // 2)
    return [
        {"id": str(k), "gold": gold[k], "group": str(k), "outcome": "correct" if k < right else "wrong"}
        for k in range(n)
    ]


def test_the_last_doubling_counts_what_the_metric_counts():
    config = compose.compose(["recipe=solar_cells"])
    config = replace(config, evaluate=replace(config.evaluate, positive="a"))
    half, full = rows(4), rows(8)
    assert curve._gain(config, "accuracy", half, full)["n"] == 8
    found = curve._gain(config, "sensitivity", half, full)
    assert (found["n"], found["b"], found["c"]) == (4, 2, 0)
    found = curve._gain(config, "balanced_accuracy", half, full[:6] + rows(0)[6:])
    assert found["difference"] == pytest.approx(0.25)
    assert curve._gain(config, "accuracy", full, rows(0))["reading"] == "more hurt"
    assert curve._gain(config, "accuracy", half, half)["reading"] == "open"


def test_shares_on_different_tests_are_refused():
    config = compose.compose(["recipe=solar_cells"])
    with pytest.raises(IntegrityError, match="the shares were evaluated on different tests"):
        curve._gain(config, "accuracy", rows(4), rows(4)[::-1])
