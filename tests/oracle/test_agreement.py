"""The second set of formulas against the first, and `verify` on numbers, answers and outcomes that were altered."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import scripted
import synthetic
from scripted import answers, asked, every, rule

from finetune.cli import verify
from finetune.errors import IntegrityError
from finetune.evaluation import breakdown, comparison, decision_units
from finetune.rundir import RunDir, read_json, read_jsonl
from oracle import details, headline, verdict
from oracle.differences import _held, _ruled
from oracle.rows import Setting


def both(test, models, generated, evaluate, validation=None, fairness=()):
    """What the stage writes, and what the rows give by the other code."""
    found = comparison.compare(
        test, models, generated, evaluate, baseline="service", validation=validation, fairness=fairness
    )
    found["subgroups"] = breakdown.subgroups(
        test, decision_units.acted(models, test.positive, evaluate, "service"), evaluate.subgroups
    )
    more = breakdown.everything(test, models, generated, evaluate, baseline="service", validation=validation)
    setting = Setting(test.labels, evaluate, "service", 0, test.folds, [e.meta for e in test.examples], test.task)
    plain = [
        {who: synthetic.rows(rows) for who, rows in side.items()} for side in (models, generated, validation or {})
    ]
    tree = headline.expected(*plain[:2], setting) | verdict.expected(*plain, setting, fairness)
    found["decision"] |= {"scope": {"dates": {"evaluated": "2026-11-28"}}, "test_sha256": "ab", "expires": "2027-05-27"}
    tree["decision"] |= _ruled(setting, found["decision"], "ab")
    found["decision"]["criteria"] = {row["name"]: row for row in found["decision"]["criteria"]}
    told = list(_held(tree, json.loads(json.dumps(found)), "comparison"))
    told += _held(details.expected(*plain, setting), more, "metrics")
    return [line for line in told if line], len(told)


def noisy(test, seed, error, failures=""):
    """Marks and confidences drawn at random, groups differing in difficulty."""
    generator = np.random.default_rng(seed)
    hard = {e.group: generator.beta(1, 3) for e in test.examples}
    marks = [
        generator.choice(list(failures))
        if failures and generator.random() < 0.08
        else "-"
        if generator.random() < error * (0.5 + 2 * hard[e.group])
        else "+"
        for e in test.examples
    ]
    return answers(test, marks, list(generator.uniform(0.5, 1, len(marks))))


RULES = {
    "plain": rule(0.05, guards={"sensitivity.bad": {"min_lower": 0.5}, "coverage": {"min_lower": 0.5}}),
    "balanced": rule(0.1, metric="balanced_accuracy", floor=0.6, guards={"precision": {"bad": {"min_lower": 0.6}}}),
    "threshold": rule(0.1, metric="sensitivity", threshold=0.4, risk_target=0.2, subgroups=("site",)),
    "any": rule(0.1, unit="group", aggregate="any"),
    "max": rule(0.1, unit="group", aggregate="max", threshold=0.7, risk_target=0.3),
    "vote": rule(None, unit="group", aggregate="vote", prevalence={"bad": 0.02, "good": 0.98}, costs={"miss": 50.0}),
    "groups": rule(0.15, subgroups=("site",), min_coverage=0.5, metric="specificity", floor=0.9),
}


@pytest.fixture
def few_draws(monkeypatch):
    """The same draws on both sides, only fewer."""
    from finetune.stats import resampling
    from oracle import formulas

    monkeypatch.setattr(resampling, "REPLICATES", 300)
    monkeypatch.setattr(formulas, "REPLICATES", 300)


@pytest.mark.usefixtures("few_draws")
@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("grouped", [True, False])
def test_two_codes_agree_on_every_number(name, grouped):
    n = 160
    generator = np.random.default_rng(len(name))
    golds = ["bad" if x < 0.4 else "good" for x in generator.random(n)]
    groups = [f"p{x:02d}" for x in generator.integers(0, 45, n)] if grouped else None
    test = asked(golds, groups, RULES[name].decision.metric, meta=[{"site": "ab"[i % 2]} for i in range(n)])
    test = replace(test, folds=tuple(f"fold_{i % 2}" for i in range(n)))
    models = {
        "majority": scripted.constant(test, "good"),
        "base": noisy(test, 1, 0.4),
        "tuned": noisy(test, 2, 0.1, "ut"),
        "service": noisy(test, 3, 0.12, "urfet"),
    }
    generated = {"base": noisy(test, 4, 0.5, "u"), "tuned": noisy(test, 5, 0.1, "u")}
    fairness = [{"check": "prompt", "status": "unknown", "detail": "not known"}]
    found, count = both(test, models, generated, RULES[name], {"tuned": noisy(test, 6, 0.1)}, fairness)
    assert found == []
    assert count > 300


def test_they_agree_where_nothing_varies():
    test = asked(["bad", "good"] * 15, [f"p{i // 3}" for i in range(30)])
    models = {"tuned": answers(test, "+" * 30), "service": answers(test, "+" * 30), "base": answers(test, "-" * 30)}
    assert both(test, models, {}, rule())[0] == []
    lone = asked(["bad", "good"] * 3)
    pair = {"tuned": answers(lone, "++++++"), "service": answers(lone, every(6, lambda i: i == 1, "e"))}
    assert both(lone, pair, {"tuned": answers(lone, "uuuuuu")}, rule(0.5))[0] == []


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        return synthetic.finished(patch, tmp_path_factory.mktemp("runs") / "whole", parts=5)


@pytest.fixture
def run(made, tmp_path):
    return RunDir(shutil.copytree(made[1].root, tmp_path / "copy"))


def spoil(run, file, change):
    value = read_json(file)
    change(value)
    run.write_json(file, value)


def nudge(where, key, by=1):
    where[key] += by


CHANGES = {
    "comparison.json models tuned accuracy value": lambda c: nudge(c["models"]["tuned"]["accuracy"], "value", 1e-5),
    "comparison.json models base balanced_accuracy low": lambda c: nudge(
        c["models"]["base"]["balanced_accuracy"], "low", -1e-5
    ),
    "comparison.json pairs tuned-base b": lambda c: nudge(c["pairs"]["tuned-base"], "b"),
    "comparison.json pairs tuned-base high": lambda c: nudge(c["pairs"]["tuned-base"], "high", 1e-5),
    "comparison.json outcomes tuned refused": lambda c: nudge(c["outcomes"]["tuned"], "refused"),
    "comparison.json flow base asked": lambda c: nudge(c["flow"]["base"], "asked"),
    "comparison.json bands tuned low": lambda c: nudge(c["bands"]["tuned"], "low", 0.001),
    "comparison.json modes base agreement value": lambda c: nudge(c["modes"]["base"]["agreement"], "value", 0.001),
    "comparison.json decision verdict": lambda c: c["decision"].update(verdict="replace"),
    "comparison.json decision needed": lambda c: c["decision"].update(needed={"items": 9}),
    "comparison.json decision rule decision margin": lambda c: c["decision"]["rule"]["decision"].update(margin=0.2),
    "comparison.json decision expires": lambda c: c["decision"].update(expires="2099-01-01"),
    "comparison.json decision criteria floor bound": lambda c: c["decision"]["criteria"][0].update(bound=0.1),
    "comparison.json n": lambda c: nudge(c, "n"),
}


@pytest.mark.parametrize("where", CHANGES)
def test_an_altered_number_is_named(check, made, run, where):
    spoil(run, run.comparison, CHANGES[where])
    _, found = check(run, made[0])
    assert len(found) == 1
    assert found[0].replace("criteria[0]", "criteria floor").startswith(f"{where}: is ")
    assert "recomputed" in found[0]


@pytest.mark.parametrize(
    ("name", "value"), [("slope", 2.5), ("intercept", 2.5), ("ece_debiased", 0.9), ("ece_null", [0.8, 0.9])]
)
def test_an_altered_figure_of_calibration_is_named(check, made, run, name, value):
    spoil(run, run.metrics, lambda m: m["models"]["base"]["calibration"].update({name: value}))
    found = check(run, made[0])[1]
    assert found
    assert all(line.startswith(f"metrics.json models base calibration {name}") for line in found)


def test_a_figure_that_no_prediction_gives_is_named(check, made, run):
    spoil(run, run.comparison, lambda c: c["models"]["tuned"].update(luck={"value": 0.9}))
    (line,) = check(run, made[0])[1]
    assert line.startswith("comparison.json models tuned luck")
    assert line.endswith(": no prediction gives this value")


def test_an_altered_confusion_table_is_named(check, made, run):
    spoil(run, run.metrics, lambda m: nudge(m["models"]["tuned"]["confusion"]["rows"][0], 1))
    assert [line.partition(":")[0] for line in check(run, made[0])[1]] == [
        "metrics.json models tuned confusion rows[0][1]"
    ]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"answer": "pit"}, "answer is 'pit', its text gives"),
        ({"outcome": "wrong"}, "outcome is 'wrong', its text gives 'correct'"),
        ({"text": "It is a pit."}, "its text gives 'pit'"),
        ({"gold": "scratch"}, "gold is 'scratch', in the test 'good'"),
    ],
)
def test_an_altered_row_is_named(check, made, run, change, told):
    rows = list(read_jsonl(run.predictions("tuned")))
    place = next(i for i, row in enumerate(rows) if row["outcome"] == "correct" and row["gold"] == "good")
    rows[place] |= change
    run.write_jsonl(run.predictions("tuned"), rows)
    found = check(run, made[0])[1]
    assert all(line.startswith(f"tuned.predictions.jsonl {rows[place]['id']}: ") for line in found)
    assert told in " ".join(found)


def test_rows_out_of_order_are_named(check, made, run):
    rows = list(read_jsonl(run.predictions("base")))
    run.write_jsonl(run.predictions("base"), [*rows[1:], rows[0]])
    assert check(run, made[0])[1] == ["base.predictions.jsonl: its ids are not those of the test split, in order"]


def test_verify_fails_on_a_number_that_was_recorded_again(run, capsys):
    verify.run([str(run.root)])
    assert "values of the evaluation" in capsys.readouterr().out
    spoil(run, run.comparison, lambda c: nudge(c["pairs"]["tuned-base"], "difference", 0.01))
    run.record([run.comparison])
    status = run.status()
    status["stages"]["evaluate"]["files"]["eval/comparison.json"] = run.audit()["eval/comparison.json"]
    run.update_status(stages=status["stages"])
    run.record([run.status_file])
    with pytest.raises(IntegrityError, match=r"comparison\.json pairs tuned-base difference: is .*, recomputed"):
        verify.run([str(run.root)])
