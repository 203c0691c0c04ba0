"""The deployment block and what stands beside the verdict: measured where it was, declared where it was, else a pen."""

from dataclasses import replace

import pytest
from report import bare

from finetune.config.schema import BaselineConfig, ModelConfig
from finetune.report import deployment, regressions
from finetune.report.deployment import Fact


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_250_000, "1.2 MB"),
        (3_000_000_000, "3.0 GB"),
    ],
)
def test_sizes(count, text):
    assert deployment.size(count) == text


def rows(comparison=None, **config):
    found = bare.facts(comparison=comparison or bare.comparison(), config=replace(bare.config(), **config))
    return {row.name: row for row in deployment.aspects(found)}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (
            "recorded",
            "Replayed from a recording; nothing left in this run. In use, every picture goes to the provider.",
        ),
        ("none", "Answers came from a file; who saw the pictures is not recorded."),
        ("any_llm", "Every picture goes to openai/gpt-4o."),
    ],
)
def test_where_the_pictures_of_the_rival_go(kind, text):
    found = rows(baseline=BaselineConfig(kind=kind, model="openai/gpt-4o"))["Privacy"].rival
    assert found[0] == Fact(text, "config")
    assert found[-1] == Fact("Contract, place of processing, retention:", "human")


def test_an_endpoint_of_ones_own_is_named():
    baseline = BaselineConfig(kind="openai_compatible", base_url="https://gateway.example/v1", model="m")
    assert rows(baseline=baseline)["Privacy"].rival[0].text == "Every picture goes to https://gateway.example/v1."


@pytest.mark.parametrize(
    ("network", "said"),
    [("none", "every connection off this machine was refused"), ("allow", "connections were allowed")],
)
def test_privacy_says_what_the_run_allowed(network, said):
    (fact,) = rows(network=network)["Privacy"].tuned
    assert fact == Fact(f"Runs on your own machine; in this run {said} (network={network}).", "config")


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"correct": 90, "wrong": 10, "refused": 0}, "100 of 100 items got an answer."),
        ({"correct": 900, "wrong": 190, "api_error": 110}, "1,090 of 1,200 items got an answer (api error 110)."),
        ({"unparsed": 3, "refused": 2}, "0 of 5 items got an answer (unparsed 3, refused 2)."),
    ],
)
def test_reliability_counts_answers_and_not_right_ones(counts, text):
    outcomes = bare.comparison()["outcomes"] | {"rival": counts}
    assert rows(bare.comparison(outcomes=outcomes))["Reliability"].rival == (Fact(text, "measured"),)


def test_what_is_not_known_is_left_for_a_pen():
    found = rows()
    assert found["Cost"].tuned == found["Cost"].rival == (Fact("Price of an item:", "human"),)
    assert found["Speed"].tuned == (Fact("Seconds an item:", "human"),)
    assert found["Currency"].rival == (Fact("Announced end of this model:", "human"),)


def test_a_declared_price_is_no_measurement():
    found = rows(evaluate=replace(bare.config().evaluate, costs={"item": 0.002}))
    assert found["Cost"].tuned == (Fact("2.00 per 1,000 items.", "config"),)


@pytest.mark.parametrize(
    ("prompts", "shots", "ways"), [((), (0,), "1 way"), (("a",), (0,), "2 ways"), (("a", "b"), (0, 4), "6 ways")]
)
def test_ways_of_asking_are_counted(prompts, shots, ways):
    baseline = BaselineConfig(kind="any_llm", prompts=prompts, shots=shots)
    assert rows(baseline=baseline)["Customisation"].rival[0].text.endswith(f"; {ways} of asking declared.")


@pytest.mark.parametrize(("revision", "text"), [("abc123", "pinned to abc123"), (None, "the weights are on your disk")])
def test_currency_names_the_revision(revision, text):
    model = ModelConfig(id="org/model", revision=revision)
    assert rows(model=model)["Currency"].tuned[0].text.startswith(f"Base org/model, {text};")


def test_the_snapshot_of_the_fairness_check_is_its_currency():
    told = [{"check": "pixels", "detail": "x"}, {"check": "snapshot", "detail": "gpt-4o answers until 2027-01-14."}]
    found = rows(bare.comparison(fairness=told))["Currency"].rival
    assert found[0] == Fact("gpt-4o answers until 2027-01-14.", "measured")


def test_without_a_rival_its_column_is_empty():
    decision = bare.comparison()["decision"] | {"rule": {"baseline": None}}
    assert all(row.rival == () for row in rows(bare.comparison(decision=decision)).values())


def beside(**panel):
    return bare.facts(panels=panel)


GAP = {"difference": -0.09, "low": -0.14, "high": -0.04}


def test_forgetting_by_hand():
    row = {"set": "mmmu", "n": 900, "base": bare.score(0.5), "tuned": bare.score(0.4), "difference": GAP}
    (found,) = regressions.general(beside(general=[row | {"reading": "lower", "left_out": {"no image": 1200}}]))
    assert (found["set"], found["n"], found["left_out"]) == ("mmmu", 900, "no image 1,200")
    assert found["cells"]["tuned"].value == f"40.0{bare.NARROW}%"
    assert found["difference"] == f"{bare.MINUS}9.0 ({bare.MINUS}14.0 to {bare.MINUS}4.0)"
    assert found["reading"] == "lower than before: something was forgotten"


def test_refusals_compare_only_what_was_declined():
    both = {who: {"declined": bare.score(0.7), "own_label": bare.score(0.2)} for who in ("base", "tuned")}
    silent = {who: {"unanswered": bare.score(0.1)} for who in ("base", "tuned")}
    told = {"unanswerable": {"blank": {"n": 20, "difference": GAP} | both}, "answerable": {"n": 200} | silent}
    declined, labelled, general = regressions.refusals(beside(refusals=told))
    assert declined["kind"] == "Without an answer: our question on an empty picture"
    assert (bool(declined["difference"]), labelled["difference"], general["difference"]) == (True, "", "")
    assert (general["n"], general["what"]) == (200, "left unanswered, wrongly")


@pytest.mark.parametrize(
    ("value", "unit", "text"), [(88.42, "% accuracy", "88.42 % accuracy"), (69.0, None, "69"), (0.5, "", "0.5")]
)
def test_published_figures_as_they_were_published(value, unit, text):
    row = {"value": value} | ({"unit": unit} if unit is not None else {})
    assert regressions.references(beside(references=[row]))[0]["value"] == text


def test_the_learning_curve():
    points = [{"share": 0.1, "groups": 1100, "score": bare.score(0.7)}, {"share": 1.0, "score": None}]
    first, last = regressions.curve(beside(curve=points))
    assert (first["share"], first["groups"], first["cell"].value) == (
        f"10{bare.NARROW}%",
        "1,100",
        f"70.0{bare.NARROW}%",
    )
    assert (last["share"], last["groups"], last["cell"].value) == (f"100{bare.NARROW}%", "", "\u2013")
