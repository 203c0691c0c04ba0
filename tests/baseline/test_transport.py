"""The last metre: what may pass, what is struck out of it, and what of this machine stays here. No socket."""

import asyncio

import httpx
import pytest

from finetune.baseline.transport import Exchange, Wire
from finetune.errors import EgressError

ENDPOINT = "https://a.example/v1"


class Echo(httpx.AsyncBaseTransport):
    """Stands for the network."""

    def __init__(self, answer):
        self.answer, self.arrived = answer, []

    async def handle_async_request(self, request):
        self.arrived.append(request)
        return self.answer


def through(url, answer=None, secret="sk-canary", note=None, headers=None):
    """Sends one request; returns the wire, what arrived behind it, and what was noted before."""
    noted = []
    wire = Wire(ENDPOINT, note or (lambda *told: noted.append(told)), secret)
    echo = wire._inner = Echo(answer or httpx.Response(200, content=b'{"a": 1}'))

    async def go():
        async with wire.client(1.0) as client:
            return await client.post(url, content=b"body", headers=headers)

    try:
        reply = asyncio.run(go())
    except Exception as error:
        reply = error
    return wire, echo, noted, reply


def test_what_is_permitted_passes_and_is_noted_before():
    wire, echo, noted, reply = through(f"{ENDPOINT}/chat?key=sk-canary")
    assert noted == [(f"{ENDPOINT}/chat", b"body")]  # a key in the query is not for the ledger
    assert (len(echo.arrived), reply.json(), wire.sent) == (1, {"a": 1}, True)
    assert (wire.exchange.sent, wire.exchange.status, wire.exchange.json()) == (b"body", 200, {"a": 1})
    wire.begin()
    assert (wire.sent, wire.exchange, wire.refusal) == (False, None, None)


@pytest.mark.parametrize(
    "url",
    [
        "https://b.example/v1/chat",
        "http://a.example/v1/chat",
        "https://a.example:444/v1/chat",
        "https://a.example/v2",
        "https://a.example/v1/../admin",
        "https://a.example/v1/%2e%2e/admin",
        "https://a.example@b.example/v1/chat",
    ],
)
def test_what_is_not_permitted_reaches_no_network(url):
    wire, echo, noted, reply = through(url)
    assert isinstance(reply, EgressError)
    assert str(reply).startswith(f"the policy permits {ENDPOINT}; a request to ")
    assert wire.refusal is reply  # an SDK may hide it
    assert (echo.arrived, noted, wire.sent, wire.exchange) == ([], [], False, None)


def test_what_cannot_be_noted_does_not_leave():
    def full(url, body):
        raise OSError("disk full")

    wire, echo, _, reply = through(f"{ENDPOINT}/chat", note=full)
    assert (str(reply), echo.arrived, wire.sent) == ("disk full", [], False)


def test_what_tells_of_this_machine_stays_here():
    told = {"X-Stainless-OS": "Linux", "x-stainless-arch": "x64", "X-Goog-Api-Client": "py/3", "User-Agent": "sdk/1"}
    _, echo, _, _ = through(f"{ENDPOINT}/chat", headers=told | {"Authorization": "Bearer k", "anthropic-version": "1"})
    names = set(echo.arrived[0].headers)
    assert {"authorization", "anthropic-version"} <= names
    assert not names & {name.lower() for name in told}


def test_a_key_that_the_server_echoes_is_struck():
    answer = httpx.Response(401, content=b'{"error": "sk-canary is bad, sk-canary!"}')
    wire, _, _, reply = through(f"{ENDPOINT}/chat", answer)
    assert wire.exchange.content == reply.content == b'{"error": "[key] is bad, [key]!"}'
    assert through(f"{ENDPOINT}/chat", httpx.Response(200, content=b"abc"), secret=None)[3].content == b"abc"


def test_a_redirect_is_an_answer_not_an_order():
    answer = httpx.Response(307, headers={"Location": "https://b.example/"})
    wire, echo, _, reply = through(f"{ENDPOINT}/chat", answer)
    assert (reply.status_code, wire.exchange.status, len(echo.arrived)) == (307, 307, 1)


def test_a_compressed_answer_is_kept_as_it_reads():
    import gzip

    answer = httpx.Response(200, content=gzip.compress(b'{"a": 2}'), headers={"Content-Encoding": "gzip", "X-Id": "7"})
    wire, _, _, reply = through(f"{ENDPOINT}/chat", answer)
    assert (wire.exchange.json(), reply.json(), wire.exchange.headers["x-id"]) == ({"a": 2}, {"a": 2}, "7")
    assert "content-encoding" not in wire.exchange.headers


def test_no_proxy_of_the_environment_is_taken(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    _, echo, _, reply = through(f"{ENDPOINT}/chat")
    assert (len(echo.arrived), reply.status_code) == (1, 200)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"a": 1}', {"a": 1}),
        (b" {} ", {}),
        (b"", None),
        (b"[]", None),
        (b"null", None),
        (b'{"a": 1', None),
        (b"\xff", None),
        (b"<html>", None),
    ],
)
def test_bodies(content, expected):
    assert Exchange(b"", 200, {}, content).json() == expected
