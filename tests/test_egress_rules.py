"""The rules of the guard, asked directly: what is this machine, what is a name, what a permitted endpoint opens."""

import socket

import pytest

from finetune import egress
from finetune.errors import EgressError


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("0.0.0.0", True),
        ("::", True),
        ("fe80::1%eth0", False),
        ("::1%lo", True),
        (b"127.0.0.1", True),
        (None, True),
        ("", True),
        ("localhost", True),
        (socket.gethostname(), True),
        (0, True),
        (2, False),
        ("10.0.0.1", False),
        ("192.0.2.1", False),
        ("128.0.0.1", False),
        ("::ffff:192.0.2.1", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("2130706433", False),
        ("0x7f.1", False),
        (b"example.invalid", False),
    ],
)
def test_what_is_this_machine(host, local):
    assert egress._is_local(host) is local


class Socket:
    """What an audit event carries of a socket."""

    def __init__(self, family=socket.AF_INET):
        self.family = family


@pytest.fixture
def guard(monkeypatch):
    monkeypatch.setattr(egress, "_denied", [])
    monkeypatch.setattr(egress, "_allowed", set())
    return egress


FAR = ("192.0.2.1", 443)


@pytest.mark.parametrize(
    ("event", "arguments", "told"),
    [
        ("socket.connect", (Socket(), FAR), "192.0.2.1:443"),
        ("socket.connect", (Socket(socket.AF_INET6), ("2001:db8::1", 443, 0, 0)), "2001:db8::1:443"),
        ("socket.sendto", (Socket(), FAR), "192.0.2.1:443"),
        ("socket.sendmsg", (Socket(), FAR), "192.0.2.1:443"),
        ("socket.getaddrinfo", ("example.invalid", 443, 0, 0, 0), "example.invalid:443"),
        ("socket.gethostbyname", ("example.invalid",), "example.invalid:name lookup"),
        ("socket.gethostbyaddr", ("192.0.2.1",), "192.0.2.1:name lookup"),
        ("socket.getnameinfo", (FAR,), "192.0.2.1:443"),
    ],
)
def test_each_way_out_is_refused_and_remembered(guard, event, arguments, told):
    with pytest.raises(EgressError, match=f"network=none refuses the connection to {told}"):
        guard._refuse(event, arguments)
    with pytest.raises(EgressError, match=rf"tried to reach {told}\. Nothing was sent"):
        guard.raise_if_denied()


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("socket.connect", (Socket(socket.AF_UNIX), "/run/x.sock")),
        ("socket.connect", (Socket(), ("127.0.0.1", 1))),
        ("socket.sendmsg", (Socket(), None)),
        ("socket.getaddrinfo", (None, 0, 0, 0, 0)),
        ("socket.getnameinfo", (("127.0.0.1", 80),)),
        ("socket.bind", (Socket(), FAR)),
        ("open", ("/etc/hosts", "r", 0)),
    ],
)
def test_what_stays_here_passes(guard, event, arguments):
    guard._refuse(event, arguments)
    guard.raise_if_denied()


def test_a_permitted_endpoint_opens_its_port_alone(guard):
    guard._allowed.add(FAR)
    guard._refuse("socket.connect", (Socket(), FAR))
    guard._refuse("socket.getaddrinfo", (b"192.0.2.1", "443", 0, 0, 0))
    for address in (("192.0.2.1", 80), ("192.0.2.2", 443)):
        with pytest.raises(EgressError, match="the policy file refuses the connection"):
            guard._refuse("socket.connect", (Socket(), address))
    with pytest.raises(
        EgressError, match=r"one endpoint, yet a library tried to reach 192\.0\.2\.1:80, 192\.0\.2\.2:443"
    ):
        guard.raise_if_denied()


def test_addresses_of_the_permitted_name_are_remembered_and_no_others(guard):
    guard._allowed.add(("api.example", 443))
    answers = [(socket.AF_INET, 1, 6, "", FAR), (socket.AF_INET6, 1, 6, "", ("2001:db8::1", 443, 0, 0))]
    look_up = guard._remembering(lambda *_, **__: answers)
    assert look_up("other.example", 443) is answers
    assert look_up("api.example", 80) is answers
    assert guard._allowed == {("api.example", 443)}
    assert look_up(b"api.example", "443", type=1) is answers
    assert guard._allowed == {("api.example", 443), FAR, ("2001:db8::1", 443)}


@pytest.mark.parametrize("name", egress.STRIPPED)
@pytest.mark.parametrize("spelt", [str.upper, str.lower])
def test_proxies_and_tokens_are_stripped_however_spelt(name, spelt):
    assert spelt(name) not in egress.sealed_environment("none", {spelt(name): "x"})
    assert egress.sealed_environment("allow", {spelt(name): "x"})[spelt(name)] == "x"


@pytest.mark.parametrize("name", egress.OPT_OUTS)
def test_only_downloads_are_left_to_the_user(name):
    assert egress.sealed_environment("none", {name: "mine"})[name] == egress.OPT_OUTS[name]
    kept = egress.sealed_environment("allow", {name: "mine"})[name]
    assert kept == ("mine" if name in egress.DOWNLOADS else egress.OPT_OUTS[name])


def test_ranks_of_several_machines_meet_in_the_network_that_is_named(monkeypatch):
    import ipaddress

    assert not egress._is_local("10.3.0.7")
    monkeypatch.setattr(egress, "_network", ipaddress.ip_network("10.3.0.0/16"))
    assert egress._is_local("10.3.0.7")
    assert not egress._is_local("10.4.0.7")
    assert not egress._is_local("example.org")
