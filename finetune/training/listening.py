"""Which sockets of this process accept connections, as the kernel lists them."""

import ipaddress
import os
import re
import socket
import struct
from contextlib import suppress
from pathlib import Path

_LISTEN = "0A"


def own() -> list[str]:
    """`ADDRESS:PORT` of every TCP socket on which this process listens, sorted."""
    inodes = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the descriptor that lists the folder is closed by now
            if match := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry)):
                inodes.add(match[1])
    return sorted(address for inode, address in _table() if inode in inodes)


def beyond_loopback(addresses: list[str]) -> list[str]:
    """Those that another machine can reach."""
    return [
        address for address in addresses if not ipaddress.ip_address(address.rpartition(":")[0].strip("[]")).is_loopback
    ]


def _table() -> list[tuple[str, str]]:
    found = []
    for name in ("tcp", "tcp6"):
        file = Path("/proc/self/net") / name
        if not file.is_file():
            continue
        for line in file.read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[3] == _LISTEN:
                found.append((words[9], _address(words[1])))
    return found


def _address(text: str) -> str:
    """The kernel writes addresses as hexadecimal words in the byte order of the machine."""
    host, _, port = text.partition(":")
    size = len(host) // 8
    raw = struct.pack(f"={size}I", *(int(host[8 * i : 8 * i + 8], 16) for i in range(size)))
    if size == 1:
        return f"{socket.inet_ntop(socket.AF_INET, raw)}:{int(port, 16)}"
    address = ipaddress.IPv6Address(raw)
    return f"{f'[{address}]' if address.ipv4_mapped is None else address.ipv4_mapped}:{int(port, 16)}"
