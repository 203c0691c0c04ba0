"""Nothing leaves the building: opt-outs before any library is imported, then a guard that refuses connections.

`network=none` sets every opt-out and replaces the process (`os.execve`: same pid, never a child, which would outlive a
killed launcher). Libraries read those variables at import, so setting them later would be too late. The guard is a
Python audit hook; it cannot see a native `connect()`, and the run's record says so (`egress.level = python`).
"""

import ipaddress
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from finetune.errors import EgressError

OPT_OUTS = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "DO_NOT_TRACK": "1",
    "USE_HUB_KERNELS": "NO",
    "WANDB_MODE": "disabled",
    "WANDB_ERROR_REPORTING": "false",
    "VLLM_NO_USAGE_STATS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "AWS_EC2_METADATA_DISABLED": "true",
    "PIP_NO_INDEX": "1",
}
"""Telemetry and download switches of the libraries that a run may import."""

DOWNLOADS = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "PIP_NO_INDEX")
"""Switches that `network=allow` leaves to the user."""

STRIPPED = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY")
SEAL = "FINETUNE_SEALED"

_denied: list[str] = []
_level = "none"
_network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
"""Where the ranks of a training on several machines meet, as `launch.rendezvous` names it."""

_allowed: set[tuple[str, int]] = set()
"""The one endpoint that a policy file permits, and the addresses that its name was resolved to."""


def sealed_environment(network: str, environment: dict[str, str]) -> dict[str, str]:
    """Returns the environment in which a run under the policy `network` may import libraries."""
    if network == "allow":
        quiet = {name: value for name, value in OPT_OUTS.items() if name not in DOWNLOADS}
        return environment | quiet | {SEAL: seal(network)}
    kept = {name: value for name, value in environment.items() if name.upper() not in STRIPPED}
    return kept | OPT_OUTS | {SEAL: seal(network)}


def seal(network: str) -> str:
    """What marks this very process as sealed; a child that inherits the variable has another pid."""
    return f"{network}:{os.getpid()}"


def seal_process(network: str) -> None:
    """Replaces this process by itself under the sealed environment, once; returns when that has happened."""
    if os.environ.get(SEAL) != seal(network):
        sys.stdout.flush()
        sys.stderr.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], sealed_environment(network, dict(os.environ)))


def install_guard(endpoint: tuple[str, int] | None = None, network: str | None = None) -> None:
    """Refuses, from now on and for good, every connection that leaves this machine; loopback and AF_UNIX pass.

    Args:
        endpoint: host and port that a policy file permits: its name may be looked up, and what that gave connected to.
        network: CIDR over which ranks meet; without one they meet on loopback.
    """
    global _level, _network
    _network = ipaddress.ip_network(network) if network else None
    if endpoint is not None:
        _allowed.add(endpoint)
        socket.getaddrinfo = _remembering(socket.getaddrinfo)
    sys.addaudithook(_refuse)
    _level = "python"


def _remembering(look_up: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Notes the addresses of the permitted endpoint: an audit hook sees a name going in, and no address coming out."""

    def getaddrinfo(host: Any, port: Any, *arguments: Any, **options: Any) -> list[Any]:
        found = look_up(host, port, *arguments, **options)
        if (_text(host), _number(port)) in _allowed:
            _allowed.update((entry[4][0], entry[4][1]) for entry in found)
        return found

    return getaddrinfo


def _text(host: Any) -> Any:
    return host.decode() if isinstance(host, bytes) else host


def _number(port: Any) -> Any:
    return int(port) if isinstance(port, str | bytes) and port.isdigit() else port


def level() -> str:
    """What holds connections back in this very process: `python` (the guard) or `none`."""
    return _level


def raise_if_denied() -> None:
    """Fails the run when a connection was refused, even if a library swallowed the error.

    Raises:
        EgressError: names every address that was tried.
    """
    if _denied:
        tried = ", ".join(sorted(set(_denied)))
        if _allowed:
            raise EgressError(
                f"the policy permits one endpoint, yet a library tried to reach {tried}. Nothing was sent there. Find "
                "out why; what has to be downloaded is fetched before, without a baseline."
            )
        raise EgressError(
            f"network=none, yet a library tried to reach {tried}. Nothing was sent. "
            "Find out why, or allow it with network=allow."
        )


_SENDS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_LOOKUPS = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"})


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _SENDS and arguments[0].family != socket.AF_UNIX:
        address = arguments[1]
    elif event in _LOOKUPS:
        named = arguments[0] if event == "socket.getnameinfo" else arguments
        address = (*named, "name lookup")[:2]
    else:
        return
    if address is not None and not _is_local(address[0]):  # without an address it goes where `connect` was allowed to
        if (_text(address[0]), _number(address[1])) in _allowed:
            return
        _denied.append(f"{address[0]}:{address[1]}")
        rule = "the policy file" if _allowed else "network=none"
        raise EgressError(f"{rule} refuses the connection to {address[0]}:{address[1]}.")


def _is_local(host: Any) -> bool:
    text = _text(host)
    if isinstance(
        text, int
    ):  # AF_NETLINK: 0 is this machine's kernel; AF_VSOCK: the host of a virtual machine is not 0
        return text == 0
    if text in (None, "", "localhost"):
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return bool(text == socket.gethostname())
    return address.is_loopback or address.is_unspecified or (_network is not None and address in _network)
