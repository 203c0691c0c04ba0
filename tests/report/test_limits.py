"""What the report does not show: each limit stands where it applies, and only there; and the facts behind it."""

from dataclasses import replace

import pytest
from report import bare

from finetune.config.schema import ModelConfig
from finetune.report import limits
from finetune.report import run_facts as gathered


def told(config=None, **changes):
    return " ".join(limits.limits(bare.facts(comparison=bare.comparison(**changes), config=config or bare.config())))


@pytest.mark.parametrize(
    ("changes", "text", "said"),
    [
        ({}, "Every image counts as independent", True),
        ({"groups": 44}, "Every image counts as independent", False),
        ({"estimand": {"images": 300}}, "Every image counts as independent", False),  # parts of several images
        ({"groups": 39}, "The test holds 39 groups", True),
        ({"groups": 40}, "The test holds", False),
        ({"groups": 39, "pairs": {}}, "The test holds", False),
        ({"subgroups": [{"small": False}, {"small": True}]}, "Some subgroups are small", True),
        ({"subgroups": [{"small": False}]}, "Some subgroups are small", False),
    ],
)
def test_limits_of_the_test(changes, text, said):
    assert (text in told(**changes)) == said


@pytest.mark.parametrize(
    ("looks", "rules", "text"),
    [
        (1, 1, ""),
        (2, 1, "This test split was evaluated 2 times; each look"),
        (5, 3, "This test split was evaluated 5 times under 3 different rules; each look"),
    ],
)
def test_looks_are_a_limit_from_the_second_on(looks, rules, text):
    decision = bare.comparison()["decision"] | {"looks": looks, "rules": rules}
    found = told(decision=decision)
    assert text in found
    assert ("was evaluated" in found) == bool(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"leaks": [1, 2]}, "2 findings of equal or nearly equal pictures in more than one split"),
        ({"leaks": [1]}, "1 finding of equal or nearly equal pictures in more than one split"),
        ({"conflicts": [1, 2, 3]}, "3 images with equal pixels but different labels"),
    ],
)
def test_limits_of_the_data(data, text):
    found = bare.facts(summary=bare.summary(**data))
    assert any(line.startswith(text) for line in limits.limits(found))
    assert not any("equal pixels" in line for line in limits.limits(bare.facts()))


def test_calibration_is_a_limit_until_a_temperature_was_fitted():
    fitted = bare.models(tuned={"calibration": {"temperature": 1.3}})
    assert "Probabilities shown beside answers are not calibrated." in limits.limits(bare.facts())
    assert not any("not calibrated" in line for line in limits.limits(bare.facts(metrics=fitted)))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (ModelConfig(), True),
        (ModelConfig(path="weights"), False),
        (ModelConfig(id="HuggingFaceTB/SmolVLM-256M-Instruct"), False),
    ],
)
def test_the_embedded_model_is_no_base_for_work(model, said):
    assert ("for first runs and tests" in told(replace(bare.config(), model=model))) == said


def test_without_a_rival_the_reason_comes_first():
    decision = bare.comparison()["decision"] | {"rule": None, "reason": "No proprietary baseline was given."}
    found = bare.facts(comparison=bare.comparison(decision=decision))
    assert limits.limits(found)[0] == "No proprietary baseline was given."
    assert "Too few." not in limits.limits(bare.facts())


def test_figures_hold_for_images_like_these_always():
    assert "calls for a new test" in told()


def ordered(models, baseline="rival"):
    scores = {who: {"accuracy": bare.score(0.5)} for who in models}
    decision = bare.comparison()["decision"] | {"rule": {"baseline": baseline}}
    return bare.facts(comparison=bare.comparison(models=scores, decision=decision))


@pytest.mark.parametrize(
    ("models", "baseline", "order", "rival"),
    [
        (("majority", "base", "rival", "tuned"), "rival", ("tuned", "rival", "base", "majority"), "rival"),
        (("base", "rival", "tuned"), None, ("tuned", "base", "rival"), None),
        (("zoo", "linear", "majority", "tuned"), "absent", ("tuned", "linear", "majority", "zoo"), None),
        (("rival", "base"), "rival", ("base", "rival"), None),  # nothing of ours to replace it with
        (("base", "tuned"), "base", ("tuned", "base"), "base"),
    ],
)
def test_candidate_rival_then_yardsticks(models, baseline, order, rival):
    found = ordered(models, baseline)
    assert (found.order, found.rival) == (order, rival)


def test_a_rule_that_is_null_names_no_rival():
    decision = bare.comparison()["decision"] | {"rule": None}
    assert bare.facts(comparison=bare.comparison(decision=decision)).rival is None


def test_files_that_are_not_there_are_empty(tmp_path):
    found = bare.facts(tmp_path)
    assert (found.rows("tuned"), found.rows("tuned", True), found.detail("nobody")) == ([], [], {})
    assert gathered.document(tmp_path / "absent.json") == {}


def test_both_modes_have_their_own_file(tmp_path):
    found = bare.facts(tmp_path)
    found.run.write_jsonl(found.run.predictions("tuned"), [{"id": "scored"}])
    found.run.write_jsonl(found.run.predictions("tuned", True), [{"id": "written"}])
    assert (found.rows("tuned"), found.rows("tuned", True)) == ([{"id": "scored"}], [{"id": "written"}])


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ({}, []),
        ({"a": None, "b": "", "c": [], "d": {}}, []),
        ({"a": 0, "b": False, "c": 0.0}, [("a", "0"), ("b", "False"), ("c", "0")]),
        ({"a": {"b": {"c": 0.05}}}, [("a.b.c", "0.05")]),
        ({"a": [1, "x"]}, [("a", "1, x")]),
        ({1: "x"}, [("1", "x")]),
        ({"a": 1e-05}, [("a", "1e-05")]),
    ],
)
def test_nested_objects_as_lines(value, lines):
    assert gathered.flat(value) == lines
