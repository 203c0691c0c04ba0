"""Nothing leaves: the sealed environment and the guard, each in a process of its own."""

import os
import subprocess
import sys

import pytest

from finetune import egress

GUARDED = """
import socket, sys
from finetune import egress
from finetune.errors import EgressError
egress.install_guard()
try:
    {attempt}
except EgressError as error:
    print("refused", error)
except OSError as error:
    print("passed", type(error).__name__)
else:
    print("passed")
try:
    egress.raise_if_denied()
except EgressError as error:
    print("sticky", error)
"""


def guarded(attempt: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", GUARDED.format(attempt=attempt)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# 192.0.2.0/24 and example.invalid are reserved for documentation (RFC 5737, RFC 2606): nobody is there.
@pytest.mark.parametrize(
    "attempt",
    [
        "socket.create_connection(('192.0.2.1', 80), timeout=1)",
        "socket.getaddrinfo('example.invalid', 443)",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('192.0.2.1', 53))",
        "socket.gethostbyname('example.invalid')",
        "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 80))",
        "__import__('urllib.request').request.urlopen('http://192.0.2.1/', timeout=1)",
    ],
)
def test_the_guard_bites_and_stays_bitten(attempt: str) -> None:
    told = guarded(attempt)
    assert "network=none" in told
    assert "sticky network=none, yet a library tried to reach" in told


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.create_connection(('127.0.0.1', 9), timeout=1)",
        "socket.getaddrinfo('localhost', 80)",
        "socket.socketpair()[0].send(b'x')",
        "socket.socketpair()[0].sendmsg([b'x'])",
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).connect((0, 0))",
    ],
)
def test_this_machine_may_talk_to_itself(attempt: str) -> None:
    told = guarded(attempt)
    assert told.startswith("passed")
    assert "sticky" not in told


def test_a_swallowed_refusal_still_fails_the_run() -> None:
    told = guarded("\n    try:\n        socket.getaddrinfo('example.invalid', 80)\n    except Exception:\n        pass")
    assert "sticky" in told


def test_the_sealed_environment_sets_opt_outs_and_strips_proxies_and_tokens() -> None:
    before = {"PATH": "/bin", "https_proxy": "http://p", "HF_TOKEN": "t", "HF_HUB_OFFLINE": "0"}
    sealed = egress.sealed_environment("none", before)
    assert sealed == {"PATH": "/bin", **egress.OPT_OUTS, egress.SEAL: f"none:{os.getpid()}"}
    allowed = egress.sealed_environment("allow", before)
    assert (allowed["https_proxy"], allowed["HF_TOKEN"], allowed["HF_HUB_OFFLINE"]) == ("http://p", "t", "0")
    assert (allowed["DO_NOT_TRACK"], allowed["HF_HUB_DISABLE_TELEMETRY"]) == ("1", "1")


def test_the_process_replaces_itself_once_and_keeps_its_pid() -> None:
    """A child that inherits the seal of its parent is sealed again, since the pid differs."""
    code = (
        "import os, sys\nfrom finetune import egress\nprint(os.getpid(), flush=True)\negress.seal_process('none')\n"
        "print(os.environ['HF_HUB_OFFLINE'], 'torch' in sys.modules)"
    )
    environment = {k: v for k, v in os.environ.items() if k != "HF_HUB_OFFLINE"} | {egress.SEAL: egress.seal("none")}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60, check=False
    )
    first, second, last = done.stdout.splitlines()
    assert first == second
    assert last == "1 False"


ENDPOINT = """
import socket, sys
from finetune import egress
from finetune.errors import EgressError
real = socket.getaddrinfo
answers = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 443))]
socket.getaddrinfo = lambda host, *rest, **more: answers if host == "api.example.invalid" else real(host, *rest, **more)
egress.install_guard(("api.example.invalid", 443))
for attempt in ({attempts}):
    try:
        attempt()
    except EgressError as error:
        print("refused", error)
    except OSError as error:
        print("passed", type(error).__name__)
    else:
        print("passed")
try:
    egress.raise_if_denied()
except EgressError as error:
    print("sticky", error)
"""


def permitted(*attempts: str) -> list[str]:
    code = ENDPOINT.format(attempts="".join(f"lambda: {attempt}, " for attempt in attempts))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_policy_opens_one_endpoint_and_nothing_else() -> None:
    """The name may be looked up and its addresses connected to, at its port; every other way stays shut."""
    connect = "socket.create_connection(({!r}, {}), timeout=0.2)"
    told = permitted(
        connect.format("192.0.2.7", 443),
        connect.format("api.example.invalid", 443),
        connect.format("192.0.2.7", 443),
        connect.format("192.0.2.7", 80),
        connect.format("192.0.2.8", 443),
        "socket.getaddrinfo('other.invalid', 443)",
        "socket.getaddrinfo('localhost', 80)",
    )
    assert [line.split()[0] for line in told] == [
        *("refused", "passed", "passed", "refused", "refused", "refused", "passed", "sticky")
    ]
    assert told[0] == "refused the policy file refuses the connection to 192.0.2.7:443."
    assert told[-1].startswith("sticky the policy permits one endpoint, yet a library tried to reach")
