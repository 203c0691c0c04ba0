"""Mistakes in the rule and the baseline: each is said in the user's words, all at once."""

from dataclasses import replace

import pytest

from finetune.config.checks import problems
from finetune.config.schema import BaselineConfig, Config, DecisionConfig, EvaluateConfig, TaskConfig

TASK = TaskConfig(labels=("good", "bad part"))


def told(evaluate=None, baseline=None, task=TASK):
    chosen = replace(Config(), task=task)
    if evaluate is not None:
        chosen = replace(chosen, evaluate=evaluate)
    if baseline is not None:
        chosen = replace(chosen, baseline=baseline)
    return problems(chosen)


def test_a_whole_rule_is_fine():
    rule = EvaluateConfig(
        models=("tuned", "service", "predictions:x.jsonl"),
        positive="bad part",
        decision=DecisionConfig(metric="sensitivity", margin=0.03, floor=0.9),
        guards={"sensitivity": {"bad part": {"min_lower": 0.9}}, "specificity.bad part": {"min_lower": 0.5}},
        threshold=0.3,
        prevalence={"good": 0.98, "bad part": 0.02},
        costs={"miss": 50, "false_alarm": 1},
        risk_target=0.01,
        primary_baseline="predictions:x.jsonl",
        unit="group",
        aggregate="max",
    )
    assert told(rule, BaselineConfig(kind="recorded", name="service", path="pack")) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"decision": DecisionConfig(margin=3.0)},
            "evaluate.decision.margin: got 3, expected a share above 0 and below 1; 3",
        ),
        ({"decision": DecisionConfig(margin=0.0)}, "evaluate.decision.margin: got 0, expected a share above 0"),
        ({"decision": DecisionConfig(floor=1.0)}, "evaluate.decision.floor: got 1, expected a share"),
        ({"decision": DecisionConfig(min_coverage=-0.1)}, "evaluate.decision.min_coverage: got -0.1"),
        ({"decision": DecisionConfig(valid_days=0)}, "evaluate.decision.valid_days: got 0, expected at least 1"),
        (
            {"decision": DecisionConfig(metric="specificity")},
            "evaluate.decision.metric=specificity needs evaluate.positive=LABEL",
        ),
        ({"threshold": 0.5}, "evaluate.threshold needs evaluate.positive=LABEL"),
        ({"risk_target": 2.0}, "evaluate.risk_target: got 2"),
        ({"positive": "bad"}, "evaluate.positive: unknown label 'bad'. Did you mean 'bad part'?"),
        (
            {"guards": {"sensitivity.bda part": {"min_lower": 0.9}}},
            "evaluate.guards.sensitivity.bda part: unknown label",
        ),
        ({"guards": {"recall.good": {"min_lower": 0.9}}}, "evaluate.guards.recall.good: unknown metric 'recall'"),
        ({"guards": {"sensitivity": {"min_lower": 0.9}}}, "evaluate.guards.sensitivity: whose sensitivity?"),
        ({"guards": {"sensitivity.good": 0.9}}, "evaluate.guards.sensitivity.good: got 0.9, expected METRIC"),
        (
            {"guards": {"sensitivity.good": {"min": 0.9}}},
            "evaluate.guards.sensitivity.good: got {'min': 0.9}, expected",
        ),
        ({"guards": {"coverage": {"min_lower": 90}}}, "evaluate.guards.coverage.min_lower: got 90, expected a share"),
        (
            {"guards": {"accuracy.good": {"min_lower": 0.9}}},
            "evaluate.guards.accuracy.good: accuracy is about all labels",
        ),
        (
            {"prevalence": {"good": 0.5, "bad part": 0.2}, "positive": "good"},
            "evaluate.prevalence: the shares sum to 0.7",
        ),
        ({"prevalence": {"good": 1.0}, "positive": "good"}, "evaluate.prevalence: has no share for 'bad part'"),
        ({"prevalence": {"ok": 1.0}, "positive": "good"}, "evaluate.prevalence.ok: unknown label 'ok'"),
        (
            {"prevalence": {"good": 1.2, "bad part": -0.2}, "positive": "good"},
            "evaluate.prevalence: a share is below 0",
        ),
        ({"costs": {"miss": 3}}, "evaluate.costs needs evaluate.prevalence"),
        ({"costs": {"mis": 3}}, "evaluate.costs.mis: unknown cost 'mis'. Did you mean 'miss'?"),
        ({"unit": "group"}, "evaluate.unit=group needs evaluate.aggregate=any, max or vote"),
        ({"aggregate": "vote"}, "evaluate.aggregate=vote is for evaluate.unit=group"),
        ({"unit": "group", "aggregate": "any"}, "evaluate.aggregate=any needs evaluate.positive=LABEL"),
        ({"primary_baseline": "gpt"}, "evaluate.primary_baseline: unknown model 'gpt'"),
        ({"primary_baseline": "tuned"}, "evaluate.primary_baseline: tuned is what would replace it"),
        ({"models": ("tuned", "predictions:")}, "evaluate.models: predictions: needs a file"),
        ({"batch_size": 0}, "evaluate.batch_size: got 0, expected more than 0"),
    ],
)
def test_a_rule_that_cannot_be_applied(settings, message):
    assert [line for line in told(EvaluateConfig(**settings)) if line.startswith(message)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "GPT-4"}, "baseline.name: got 'GPT-4', expected small letters, digits and _ alone"),
        ({"name": "tuned"}, "baseline.name: 'tuned' already means something else here"),
        ({"kind": "recorded"}, "baseline.path: baseline=recorded needs it"),
        ({"kind": "openai_compatible", "model": "m"}, "baseline.base_url: baseline=openai_compatible needs it"),
        (
            {"kind": "openai_compatible", "base_url": "http://h/v1"},
            "baseline.model: baseline=openai_compatible needs it",
        ),
        ({"kind": "openai_compatible", "base_url": "host:80", "model": "m"}, "baseline.base_url: got 'host:80'"),
        ({"kind": "any_llm"}, "baseline.model: baseline=any_llm needs it"),
        ({"kind": "any_llm", "model": "gpt"}, "baseline.model: got 'gpt', expected PROVIDER/MODEL"),
        ({"retries": -1}, "baseline.retries: got -1, expected at least 0"),
        ({"rate_per_min": 0}, "baseline.rate_per_min: got 0, expected at least 1"),
        ({"max_side": 0}, "baseline.max_side: got 0, expected at least 1"),
        ({"shots": ()}, "baseline.shots: got [], expected at least one number"),
    ],
)
def test_a_baseline_that_cannot_be_asked(settings, message):
    assert [line for line in told(baseline=BaselineConfig(**settings)) if line.startswith(message)]


def test_all_mistakes_are_said_at_once():
    rule = EvaluateConfig(
        threshold=2.0, unit="group", guards={"x": 1}, costs={"y": 1.0}, decision=DecisionConfig(margin=5.0)
    )
    assert len(told(rule, BaselineConfig(kind="recorded", name="No"))) >= 8


def test_labels_that_are_found_in_the_source_are_not_guessed():
    rule = EvaluateConfig(positive="crack", guards={"sensitivity.crack": {"min_lower": 0.9}})
    assert told(rule, task=TaskConfig(labels=())) == []
