from dataclasses import replace
from pathlib import Path

import pytest

from finetune.config import checks, compared_models
from finetune.config.schema import BaselineConfig, Config, EvaluateConfig, ModelConfig, TaskConfig
from finetune.errors import ConfigError
from finetune.rundir import RunDir


def chosen(*models, kind="none", **settings):
    evaluate = EvaluateConfig(models=models or Config().evaluate.models, **settings)
    return replace(Config(), evaluate=evaluate, baseline=BaselineConfig(kind=kind, name="gpt"))


def test_everyone_by_default_and_how_each_is_asked():
    assert compared_models.names(chosen()) == ["majority", "linear", "base", "tuned"]
    found = compared_models.rivals(chosen(kind="recorded"))
    assert [(r.who, r.predictor) for r in found] == [
        *(("majority", "majority"), ("linear", "linear"), ("base", "local"), ("tuned", "local")),
        ("gpt", "recorded"),
    ]


@pytest.mark.parametrize("kind", ["tags", "answer", "extract", "detect", "describe"])
def test_linear_is_left_out_by_default_where_it_cannot_answer(kind):
    config = replace(chosen(kind="recorded"), task=TaskConfig(kind=kind))
    assert compared_models.names(config) == ["majority", "base", "tuned", "gpt"]


def test_a_list_without_linear_stays_without():
    assert compared_models.names(chosen("majority", "base", "tuned")) == ["majority", "base", "tuned"]


def test_a_list_of_ones_own_has_to_name_the_baseline():
    assert compared_models.names(chosen("tuned", "linear", kind="any_llm")) == ["tuned", "linear"]


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/ResNet-50 v2.jsonl", "resnet_50_v2"), ("cnn.predictions.jsonl", "cnn"), ("Human (2nd)", "human_2nd")],
)
def test_answers_from_a_file_are_called_by_its_name(path, name):
    [found] = compared_models.rivals(chosen(f"predictions:{path}"))
    assert (found.who, found.predictor, found.path) == (name, "predictions", Path(path))


def test_a_file_without_a_name():
    with pytest.raises(ConfigError, match=r"predictions:-\.jsonl: the name of the file has no letter or digit"):
        compared_models.names(chosen("predictions:-.jsonl"))


@pytest.mark.parametrize(
    "models", [("predictions:a/x.jsonl", "predictions:b/x.jsonl"), ("tuned", "predictions:Tuned.jsonl")]
)
def test_one_name_for_two_models(models):
    with pytest.raises(ConfigError, match="would name two models"):
        compared_models.names(chosen(*models))


def test_a_file_named_as_the_baseline():
    with pytest.raises(ConfigError, match="'gpt' would name two models"):
        compared_models.names(chosen("predictions:gpt.jsonl", kind="recorded"))


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (chosen(), None),
        (chosen(kind="recorded"), "gpt"),
        (chosen(kind="recorded", primary_baseline="linear"), "linear"),
        (chosen("predictions:x/CNN.jsonl", primary_baseline="predictions:x/CNN.jsonl"), "cnn"),
    ],
)
def test_who_would_be_replaced(config, name):
    assert compared_models.replaced(config) == name


def test_the_adapter_of_a_part_or_from_elsewhere(tmp_path):
    part = RunDir(tmp_path).parts(0)[0]
    assert compared_models.adapter_of(Config(), part) == part.adapter
    elsewhere = replace(Config(), model=ModelConfig(adapter="~/swift"))
    assert compared_models.adapter_of(elsewhere, part) == Path("~/swift").expanduser()


def test_an_adapter_from_elsewhere_is_not_trained_nor_exported():
    config = replace(Config(), model=ModelConfig(adapter="swift"))
    found = [problem for problem in checks.problems(config) if problem.startswith("model.adapter")]
    assert [("train has no" in p, "export has no" in p) for p in found] == [(True, False), (False, True)]
    assert "use stages=[prepare,evaluate,report]" in found[0]
    config = replace(config, stages=("prepare", "evaluate", "report"))
    assert not [problem for problem in checks.problems(config) if problem.startswith("model.adapter")]
