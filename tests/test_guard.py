"""The guards of the suite itself bite."""

import socket

import guard
import pytest


def test_connection_off_this_machine_is_refused_and_remembered():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe,
        pytest.raises(ConnectionRefusedError, match=r"192\.0\.2\.1"),
    ):
        probe.connect(("192.0.2.1", 9))
    with pytest.raises(ConnectionRefusedError, match=r"registry\.invalid"):
        socket.getaddrinfo("registry.invalid", 443)
    assert guard.ATTEMPTS == ["192.0.2.1", "registry.invalid"]
    guard.ATTEMPTS.clear()


def test_loopback_and_unix_sockets_are_allowed():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()
    left, right = socket.socketpair()
    left.close()
    right.close()


@pytest.mark.parametrize(
    ("event", "args", "expected"),
    [
        ("socket.connect", (None, "/run/some.sock"), None),
        ("socket.connect", (None, ("::1", 80, 0, 0)), None),
        ("socket.connect", (None, ("10.0.0.1", 80)), "10.0.0.1"),
        ("socket.sendto", (None, ("8.8.8.8", 53)), "8.8.8.8"),
        ("socket.getaddrinfo", (None, 80), None),
        ("socket.getaddrinfo", (b"localhost", 80), None),
        ("socket.getaddrinfo", ("example.org", 80), "example.org"),
        ("socket.bind", (None, ("0.0.0.0", 0)), None),
    ],
)
def test_leaves_machine(event, args, expected):
    assert guard.leaves_machine(event, args) == expected
