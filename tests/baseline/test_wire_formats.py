"""Every way a provider can answer or fail, through the real SDKs and in all wire formats: outcomes, and they add up."""

import email.utils
import json

import pytest
from baseline import server, small_run
from baseline.small_run import Waits, ask, configured, outcomes

from finetune.baseline import ledger
from finetune.errors import ConfigError, EgressError, InterruptedRun
from finetune.rundir import read_json

WAYS = small_run.WAYS
USUAL = ["correct", "wrong", "correct", "wrong", "correct", "wrong"]


def reconcile(run, provider):
    """What arrived is what the ledger says; what left without a known reply is said too."""
    told = ledger.summary(run.eval / ledger.EGRESS)
    assert told["requests"] == len(provider.arrived) == sum(told["outcomes"].values()) + told["lost"]
    assert told["bytes"] == sum(len(one.body) for one in provider.arrived)
    return told


@pytest.mark.parametrize("way", WAYS)
def test_answers_arrive_and_a_second_run_asks_nothing(way, run, provider, capfd, caplog):
    config = configured(run, provider.url, way)
    rows = ask(config, run)
    assert outcomes(rows) == USUAL
    assert [row.text for row in rows] == ["ALPHA"] * 6
    assert rows[0].usage["input_tokens"] == 100
    assert reconcile(run, provider)["outcomes"] == {"answered": 6}
    assert ask(config, run) == rows
    assert len(provider.arrived) == 6
    printed = capfd.readouterr()
    kept = [
        file.read_text(encoding="utf-8") for file in run.root.rglob("*") if file.suffix in (".json", ".jsonl", ".yaml")
    ]
    assert len(kept) > 6
    assert small_run.KEY not in "".join([printed.out, printed.err, caplog.text, *kept])


@pytest.mark.parametrize("way", WAYS)
def test_every_failure_has_its_outcome(way, run, provider):
    form = way if way in server.ENDS else "openai"
    blocked = server.says("I cannot help.", "refusal") if form != "gemini" else server.says("", "blocked")
    filtered = server.says("I cannot help.", "refusal") if form == "anthropic" else server.says("", "filter")
    provider.script = [blocked, filtered, server.says("It is AL", "length"), server.says("")]
    rows = ask(configured(run, provider.url, way), run)
    expected = {
        "openai": ["refused", "filtered"],
        "anthropic": ["refused", "refused"],
        "gemini": ["filtered", "filtered"],
    }[form]
    assert outcomes(rows) == [*expected, "truncated", "unparsed", "correct", "wrong"]
    assert [row.answer for row in rows] == [None] * 4 + ["ALPHA"] * 2
    ask(configured(run, provider.url, way), run)
    assert len(provider.arrived) == 6  # final, whatever they said
    reconcile(run, provider)


@pytest.mark.parametrize("way", WAYS)
def test_what_passes_is_asked_again(way, run, provider):
    waits = Waits()
    date = email.utils.formatdate(waits.at + 18, usegmt=True)
    provider.script = [
        *(server.fails(429, headers={"Retry-After": "11"}), server.says("BETA")),
        *(server.fails(429, headers={"Retry-After": date}), server.fails(529, "overloaded"), server.says("BETA")),
        *(server.raw(b'{"choices": [}'), server.raw(b""), server.says("BETA")),
        *(server.resets, server.raw(b"[]"), server.says("BETA")),
        *(server.fails(500), server.fails(503, headers={"retry-after": "soon"}), server.fails(502)),
    ]
    config = configured(run, provider.url, way)
    rows = ask(config, run, waits)
    assert [row.text for row in rows] == ["BETA"] * 4 + ["", "ALPHA"]
    assert outcomes(rows)[4] == "api_error"
    waited = [seconds for seconds in waits.waited if seconds > 0.1]  # the rest is the rate
    assert waited[0] == 11
    assert 6.9 < waited[1] <= 7
    assert waited[2:] == [2, 1, 2, 1, 2, 1, 2]
    assert reconcile(run, provider)["outcomes"] == {"retry": 10, "answered": 5}
    before = len(provider.arrived)
    assert ask(config, run)[4].text == "ALPHA"  # missing data is asked again, and nothing else
    assert len(provider.arrived) == before + 1


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_never_answers_times_out(way, run, provider):
    provider.script = [server.hangs]
    config = configured(run, provider.url, way, timeout_s=1.0, retries=1)
    assert outcomes(ask(config, run)) == USUAL
    assert reconcile(run, provider)["outcomes"] == {"retry": 1, "answered": 6}


@pytest.mark.parametrize(
    ("way", "status"), [*(pytest.param(*way.values, 401, marks=way.marks) for way in WAYS), ("compatible", 403)]
)
def test_a_revoked_key_stops_and_loses_nothing(way, status, run, provider):
    provider.script = [*[server.says("ALPHA")] * 2, server.fails(status, f"key {small_run.KEY} was revoked")]
    config = configured(run, provider.url, way)
    with pytest.raises(ConfigError, match=rf"refuses the key \({status}: key \[key\] was revoked\).*RIVAL_API_KEY"):
        ask(config, run)
    assert reconcile(run, provider)["outcomes"] == {"answered": 2, "key": 1}
    assert outcomes(ask(config, run)) == USUAL
    assert len(provider.arrived) == 3 + 4


def test_other_ways_to_be_out(run, provider):
    config = configured(run, provider.url, "gemini")
    provider.script = [server.fails(400, "API key not valid. Please pass a valid API key.")]
    with pytest.raises(ConfigError, match="refuses the key"):
        ask(config, run)
    provider.script = [server.fails(429, "You exceeded your quota", type="insufficient_quota")]
    with pytest.raises(ConfigError, match="no money or quota left"):
        ask(config, run)
    provider.script = [server.fails(404, "no such model")]
    with pytest.raises(ConfigError, match=r"404: no such model\). Check baseline.model"):
        ask(config, run)
    provider.script = [server.fails(429, headers={"Retry-After": "86400"})]
    with pytest.raises(InterruptedRun, match="asks to wait 86400 s"):
        ask(config, run)


@pytest.mark.parametrize("way", WAYS)
def test_another_model_is_named(way, run, provider, capsys):
    provider.script = [server.says("ALPHA", model="cheaper-1")]
    rows = ask(configured(run, provider.url, way), run)
    wanted = small_run.MODELS[way][1].rpartition("/")[2]
    assert [row.model for row in rows] == ["cheaper-1"] + [wanted] * 5
    assert read_json(run.eval / "rival.baseline.json")["model_returned"] == sorted(["cheaper-1", wanted])
    assert f"rival: asked {wanted}, but cheaper-1 answered" in capsys.readouterr().err


@pytest.mark.parametrize("way", WAYS)
def test_a_refused_parameter_is_left_out_once_and_recorded(way, run, provider):
    provider.script = [server.fails(400, "`temperature` is deprecated for this model.")]
    rows = ask(configured(run, provider.url, way, parameters={"temperature": 0}), run)
    assert outcomes(rows) == USUAL
    assert [b"temperature" in one.body for one in provider.arrived] == [True] + [False] * 6
    told = read_json(run.eval / "rival.baseline.json")["parameters"]
    assert told == {
        "max_tokens": {"value": 256, "status": "accepted"},
        "temperature": {"value": 0, "status": "refused"},
    }
    assert reconcile(run, provider)["outcomes"] == {"parameter": 1, "answered": 6}


@pytest.mark.parametrize("way", WAYS)
def test_closed_answers_are_asked_for_as_a_schema_where_permitted(way, run, provider):
    config = configured(run, provider.url, way)
    small_run.permit(run, endpoint=provider.url, fields=["image", "question", "labels"])
    provider.usual = server.says('{"answer": "ALPHA"}')
    provider.script = [server.says("BETA, I think: not json")]
    rows = ask(config, run)
    assert [row.text for row in rows] == ["BETA, I think: not json"] + ["ALPHA"] * 5
    assert all(json.dumps(["ALPHA", "BETA"]) in json.dumps(one.json) for one in provider.arrived)
    assert read_json(run.eval / "rival.baseline.json")["parameters"]["response_format"]["status"] == "accepted"


def test_a_schema_that_is_not_offered_is_left_out(run, provider):
    config = configured(run, provider.url)
    small_run.permit(run, endpoint=provider.url, fields=["image", "question", "labels"])
    provider.script = [server.fails(400, "response_format json_schema is not supported")]
    assert outcomes(ask(config, run)) == USUAL
    assert [b"json_schema" in one.body for one in provider.arrived] == [True] + [False] * 6
    assert read_json(run.eval / "rival.baseline.json")["parameters"]["response_format"]["status"] == "refused"


def test_newer_models_take_the_length_limit_by_another_name(run, provider):
    provider.script = [server.fails(400, "'max_tokens' is not supported. Use 'max_completion_tokens' instead.")]
    assert outcomes(ask(configured(run, provider.url), run)) == USUAL
    assert provider.arrived[-1].json["max_completion_tokens"] == 256


def test_a_bad_request_is_one_items_own_and_a_filter_is_final(run, provider):
    provider.script = [
        server.fails(400, "image too small"),
        server.fails(400, "The response was filtered", code="content_filter"),
    ]
    config = configured(run, provider.url)
    rows = ask(config, run)
    assert outcomes(rows)[:3] == ["api_error", "filtered", "correct"]
    assert len(provider.arrived) == 6
    ask(config, run)
    assert len(provider.arrived) == 7


def test_redirects_are_not_followed(run, provider):
    provider.script = [server.redirects("http://127.0.0.1:9/elsewhere")]
    with pytest.raises(ConfigError, match="the endpoint does not take such requests"):
        ask(configured(run, provider.url), run)
    assert len(provider.arrived) == 1


def test_an_endpoint_that_is_down_stops_the_run(run, provider, monkeypatch):
    monkeypatch.setattr("finetune.baseline.client.LOST_IN_A_ROW", 3)
    provider.usual = server.fails(503)
    with pytest.raises(InterruptedRun, match="gave no reply to 3 questions in a row"):
        ask(configured(run, provider.url, retries=0), run)
    assert len(provider.arrived) == 3


def test_the_budget_stops_politely_and_goes_on(run, provider):
    config = configured(run, provider.url)
    prices = {"input_per_million": 10_000, "output_per_million": 0}  # 1.00 a reply of 100 tokens
    small_run.permit(run, endpoint=provider.url, max_cost=2.5, prices=prices)
    with pytest.raises(
        EgressError, match=r"budget reached: 2.0000 of max_cost 2.5 are spent. Everything answered so far"
    ):
        ask(config, run)
    assert len(provider.arrived) == 2
    small_run.permit(run, endpoint=provider.url, max_cost=6, prices=prices)
    rows = ask(config, run)
    assert outcomes(rows) == USUAL
    assert len(provider.arrived) == 6
    assert rows[5].usage == {"input_tokens": 100, "output_tokens": 5, "cost": 1.0}
    assert reconcile(run, provider)["cost"] == 6


def test_the_rate_is_kept(run, provider):
    waits = Waits()
    ask(configured(run, provider.url, rate_per_min=30), run, waits)
    assert waits.waited == [2.0] * 5
