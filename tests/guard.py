"""Refuses every connection off this machine, for the whole test process: an audit hook cannot be removed."""

import ipaddress
import socket
import sys

ATTEMPTS: list[str] = []
"""Connections that were refused, kept because a library may swallow the error."""


def leaves_machine(event: str, args: tuple[object, ...]) -> str | None:
    """Says where an audit event would go, or None when it stays on this machine."""
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg") and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return None
    name = host.decode() if isinstance(host, bytes) else str(host or "localhost")
    if name in ("localhost", socket.gethostname()):
        return None
    try:
        return None if ipaddress.ip_address(name.split("%")[0]).is_loopback else name
    except ValueError:
        return name


def _guard(event: str, args: tuple[object, ...]) -> None:
    if event.startswith("socket.") and (where := leaves_machine(event, args)):
        ATTEMPTS.append(where)
        raise ConnectionRefusedError(f"a test tried to reach {where}; tests talk to this machine alone")


sys.addaudithook(_guard)
