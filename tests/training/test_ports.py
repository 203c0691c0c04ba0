"""A scanner beside a job of two ranks: no rank accepts a connection from another machine."""

import os
import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from training import micro, rank_jobs

from finetune.config.compose import to_yaml
from finetune.config.schema import LaunchConfig
from finetune.pipeline import train as stage

pytestmark = [pytest.mark.ranks, pytest.mark.timeout(600)]
LOOPBACK = {"0100007F", "00000000000000000000000001000000"}


def descendants(pid: int) -> set[int]:
    found = {pid}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(entry.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == pid:
            found |= descendants(int(entry.parent.name))
    return found


def open_ports(pids: set[int]) -> set[tuple[str, str]]:
    """Address and port, as the kernel writes them, on which one of these processes listens."""
    inodes = set()
    for pid in pids:
        try:
            links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue
        inodes |= {link[8:-1] for link in links if link.startswith("socket:[")}
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {tuple(row[1].split(":")) for row in rows if row[3] == "0A" and row[9] in inodes}


def test_two_ranks_listen_on_loopback_alone(tmp_path):
    made = rank_jobs.config(micro.save(tmp_path / "micro"), "none")
    made = replace(made, hardware=replace(made.hardware, deepspeed=None))
    config = replace(made, launch=LaunchConfig(kind="torchrun", processes=2))
    run = rank_jobs.prepare(tmp_path / "run")
    run.write_text(run.config_file, to_yaml(config))
    seen, over, me = set(), threading.Event(), os.getpid()

    def scan():
        while not over.wait(0.1):
            seen.update(open_ports(descendants(me) - {me}))

    scanner = threading.Thread(target=scan)
    scanner.start()
    try:
        stage.run(config, run)
    finally:
        over.set()
        scanner.join()
    assert seen, "ranks talk over sockets: a scanner that sees none looked at nothing"
    assert {host for host, _ in seen} <= LOOPBACK
    named = run.status()["listening"]
    assert named
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", address) for address in named)
    assert {int(address.rpartition(":")[2]) for address in named} <= {int(port, 16) for _, port in seen}
