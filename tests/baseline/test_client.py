"""The asker itself, with a wire of paper: the cache, the budget, the waiting and the stopping; no SDK, no socket."""

import datetime
import email.utils
import json

import pytest
from baseline.small_run import Waits
from hypothesis import given
from hypothesis import strategies as st

from finetune.baseline import client, ledger, sdks
from finetune.baseline.client import Asker, retry_after_s
from finetune.baseline.policy import Policy, Prices
from finetune.baseline.prompts import Request, Turn
from finetune.baseline.transport import Exchange
from finetune.config.schema import BaselineConfig
from finetune.errors import ConfigError, EgressError, InterruptedRun
from finetune.rundir import RunDir

NOW = datetime.datetime(2026, 3, 1, 12, 0, 0, tzinfo=datetime.UTC).timestamp()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("0", 0.0),
        ("11", 11.0),
        (" 120 ", 120.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sunday, 01-Mar-26 12:01:00 GMT", 60.0),
        ("Sun Mar  1 12:00:05 2026", 5.0),
        ("Sun, 01 Mar 2026 13:00:30 +0100", 30.0),
        ("Sun, 01 Mar 2026 11:59:00 GMT", 0.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
    ],
)
@pytest.mark.parametrize("name", ["retry-after", "Retry-After", "RETRY-AFTER"])
def test_retry_after(name, told, expected):
    assert retry_after_s({"content-type": "x", name: told}, NOW) == expected


def test_a_date_without_a_zone_is_utc_wherever_we_are(monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    client.time.tzset()
    assert retry_after_s({"retry-after": "Sun Mar  1 12:00:05 2026"}, NOW) == 5.0
    monkeypatch.undo()
    client.time.tzset()


@given(st.text() | st.builds(lambda s: email.utils.formatdate(s), st.integers(0, 10**10)))
def test_no_header_breaks_the_waiting(told):
    found = retry_after_s({"retry-after": told}, NOW)
    assert found is None or found >= 0
    assert retry_after_s({}, NOW) is None


class Paper:
    """Stands for wire and SDK: answers are taken from a list; None = the connection broke."""

    def __init__(self, on_send):
        self.on_send, self.script, self.bodies = on_send, [], []
        self.sent, self.exchange, self.refusal = False, None, None

    def begin(self):
        self.sent, self.exchange, self.refusal = False, None, None

    async def send(self, request):
        body = json.dumps({"model": request.model, **request.options}).encode()
        self.on_send("https://a/v1/chat", body)
        self.bodies.append(json.loads(body))
        self.sent = True
        status, content, *more = self.script.pop(0) if self.script else (200, said("ALPHA"))
        if status is None:
            raise ConnectionError(content)
        self.exchange = Exchange(body, status, more[0] if more else {}, json.dumps(content).encode())

    async def aclose(self):
        pass


def said(text, tokens=100):
    return {
        "model": "m-1",
        "choices": [{"message": {"content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0},
    }


def no(message="no"):
    return {"error": {"message": message}}


def request(number=0, **options):
    return Request("m", (Turn("user", f"question {number}"),), {"max_tokens": 9} | options)


@pytest.fixture
def asker(tmp_path, monkeypatch):
    """Opens an asker on one run; again and again if need be."""
    papers, opened = [], []

    def connect(baseline, key, endpoint, on_send):
        papers.append(Paper(on_send))
        return papers[-1], papers[-1].send

    monkeypatch.setattr(sdks, "connect", connect)

    def open_one(*script, max_cost="unmetered", retries=2, waits=None):
        baseline = BaselineConfig("openai_compatible", "gpt", model="m", retries=retries, rate_per_min=6000)
        given = Policy(
            "https://a/v1", "d", ("image", "question"), 5, max_cost, "2999-01-01", "x", Prices(10_000.0, 0.0)
        )
        opened.append(Asker(baseline, RunDir(tmp_path), given, (waits or Waits()).clock))
        papers[-1].script = list(script)
        return opened[-1], papers[-1]

    yield open_one
    for one in opened:
        one.close()


def test_a_question_is_asked_once_and_for_good(asker):
    one, wire = asker()
    row = one.ask(request())
    assert (row["text"], row["withheld"], row["model"], row["cost"]) == ("ALPHA", None, "m-1", 1.0)
    assert one.ask(request()) is row
    again, silent = asker()
    assert again.ask(request()) == row
    assert (len(wire.bodies), silent.bodies) == (1, [])
    again.ask(request(temperature=0))  # another parameter is another question
    assert len(silent.bodies) == 1


@pytest.mark.parametrize(
    ("failure", "waited"),
    [
        ((429, no(), {"retry-after": "7"}), 7.0),
        ((503, no()), 1.0),
        ((529, no()), 1.0),
        ((None, "reset by peer"), 1.0),
        ((200, []), 1.0),
        ((200, {"choices": []}), 1.0),
    ],
)
def test_what_passes_is_waited_for(asker, failure, waited):
    waits = Waits()
    one, wire = asker(failure, waits=waits)
    assert one.ask(request())["text"] == "ALPHA"
    assert [seconds for seconds in waits.waited if seconds > 0.5] == [waited]
    assert [body["max_tokens"] for body in wire.bodies] == [9, 9]


def test_waiting_doubles_up_to_a_minute(asker):
    waits = Waits()
    one, _ = asker(*[(500, no())] * 9, retries=8, waits=waits)
    assert one.ask(request())["withheld"] == "api_error"
    assert [seconds for seconds in waits.waited if seconds >= 1] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_lost_question_is_not_kept(asker):
    one, wire = asker((None, "reset by peer"), retries=0)
    lost = one.ask(request())
    assert (lost["withheld"], lost["detail"]) == ("api_error", "ConnectionError: reset by peer")
    assert one.ask(request())["text"] == "ALPHA"
    assert len(wire.bodies) == 2
    assert ledger.summary(one.files[0])["outcomes"] == {"retry": 1, "answered": 1}


@pytest.mark.parametrize(("seconds", "stops"), [("900", False), ("901", True), ("9" * 400, True)])
def test_a_server_that_asks_for_hours_stops_the_run(asker, seconds, stops):
    one, _ = asker((429, no(), {"retry-after": seconds}))
    if not stops:
        assert one.ask(request())["text"] == "ALPHA"
        return
    with pytest.raises(InterruptedRun, match="https://a/v1 asks to wait"):
        one.ask(request())


def test_one_reply_between_losses_means_that_the_server_is_up(asker, monkeypatch):
    monkeypatch.setattr(client, "LOST_IN_A_ROW", 2)
    one, _ = asker((500, no()), (200, said("ALPHA")), (500, no()), (500, no()), retries=0)
    assert [one.ask(request(n))["withheld"] for n in range(3)] == ["api_error", None, "api_error"]
    with pytest.raises(InterruptedRun, match="no reply to 2 questions in a row"):
        one.ask(request(3))


@pytest.mark.parametrize(
    ("status", "message", "told"),
    [
        (401, "bad key", r"refuses the key \(401: bad key\)"),
        (402, "pay", "no money or quota left"),
        (404, "no such model", "Check baseline.model and baseline.base_url"),
    ],
)
def test_what_no_repetition_mends_stops_at_once(asker, status, message, told):
    one, wire = asker((status, no(message)))
    with pytest.raises(ConfigError, match=told):
        one.ask(request())
    assert len(wire.bodies) == 1


def test_refused_parameters_are_left_out_one_by_one(asker):
    one, wire = asker(
        (400, no("temperature?")), (400, no("max_tokens?")), (400, no("max_completion_tokens?")), retries=0
    )
    row = one.ask(request(temperature=0))
    assert [sorted(body) for body in wire.bodies] == [
        ["max_tokens", "model", "temperature"],
        ["max_tokens", "model"],
        ["max_completion_tokens", "model"],
        ["model"],
    ]
    assert row["parameters"] == {"max_tokens": "refused", "temperature": "refused"}
    one.ask(request(1, temperature=0))
    assert sorted(wire.bodies[-1]) == ["model"]
    assert one.ask(request(temperature=0)) is row  # known under what was asked, not under what was taken


def test_the_budget_counts_what_the_next_reply_may_cost(asker):
    one, wire = asker((200, said("A", 100)), (200, said("B", 150)), max_cost=3.9)
    one.ask(request(0))
    one.ask(request(1))
    with pytest.raises(EgressError, match=r"2\.5000 of max_cost 3.9 are spent"):
        one.ask(request(2))
    assert len(wire.bodies) == 2
    assert one.ask(request(1))["text"] == "B"  # what is known costs nothing
    more, _ = asker(max_cost=5.0)
    assert more.ask(request(2))["text"] == "ALPHA"


def test_a_broken_count_of_tokens_breaks_no_run(asker):
    odd = said("ALPHA") | {"usage": {"prompt_tokens": "many", "completion_tokens": float("nan")}}
    one, _ = asker((200, odd))
    row = one.ask(request())
    assert (row["text"], row["cost"], row["input_tokens"]) == ("ALPHA", None, None)


def test_an_sdk_that_answers_by_itself_is_not_believed(asker):
    one, _ = asker()

    async def telepathy(_):
        return said("ALPHA")

    one._send = telepathy
    with pytest.raises(EgressError, match="answered without our connection"):
        one.ask(request())


@pytest.mark.parametrize(("words", "told"), [("no such thing", "the SDK sent nothing"), ("", "TypeError")])
def test_an_sdk_that_sends_nothing_is_said(asker, words, told):
    one, _ = asker()

    async def refuses(_):
        raise TypeError(words)

    one._send = refuses
    with pytest.raises(ConfigError, match=told):
        one.ask(request())


def test_secrets_are_checked_before_anything_shows_them(monkeypatch):
    named = BaselineConfig("openai_compatible", api_key_env="RIVAL")
    monkeypatch.setenv("RIVAL", "sk-canary\r\n")
    assert sdks.secret(named) == "sk-canary"
    for bad in ("sk canary", "sk-c\u00e4nary", "sk\x07canary"):
        monkeypatch.setenv("RIVAL", bad)
        with pytest.raises(ConfigError, match="RIVAL holds characters that no key has") as error:
            sdks.secret(named)
        assert "canary" not in str(error.value)
    for empty in ("", " \n"):
        monkeypatch.setenv("RIVAL", empty)
        with pytest.raises(ConfigError, match="RIVAL is not set or empty"):
            sdks.secret(named)
    assert sdks.secret(BaselineConfig("openai_compatible")) is None
    with pytest.raises(ConfigError, match="the NAME of the variable"):
        sdks.secret(BaselineConfig("any_llm"))
