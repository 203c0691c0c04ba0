"""The ranks of one node: their numbers, their end, and the ports that they open."""

import socket
import sys

import pytest

from finetune.training import listening, node


def test_numbers_of_ranks_on_the_second_of_two_nodes():
    found = node.environments(2, 3, {"SLURM_NODEID": "1", "HOME": "/h"})
    assert [(e["RANK"], e["LOCAL_RANK"], e["WORLD_SIZE"]) for e in found] == [
        ("3", "0", "6"),
        ("4", "1", "6"),
        ("5", "2", "6"),
    ]
    assert {e["HOME"] for e in found} == {"/h"}


def test_one_node_does_not_read_the_number_that_an_outer_job_set():
    assert node.environments(1, 1, {"SLURM_NODEID": "5"})[0]["RANK"] == "0"


def test_a_rank_that_fails_ends_the_others():
    code = "import os, sys, time; sys.exit(3) if os.environ['RANK'] == '1' else time.sleep(600)"
    given = node.environments(1, 2, {})
    assert node.run([sys.executable, "-c", code], given) == 1


def test_ranks_that_end_well_give_zero():
    assert node.run([sys.executable, "-c", "pass"], node.environments(1, 2, {})) == 0


@pytest.mark.parametrize(
    ("family", "host", "shown", "beyond"),
    [
        (socket.AF_INET, "127.0.0.1", "127.0.0.1", False),
        (socket.AF_INET, "0.0.0.0", "0.0.0.0", True),
        (socket.AF_INET6, "::", "[::]", True),
        (socket.AF_INET6, "::1", "[::1]", False),
    ],
)
def test_a_listening_socket_is_named(family, host, shown, beyond):
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen()
        address = f"{shown}:{server.getsockname()[1]}"
        assert address in listening.own()
        assert listening.beyond_loopback([address]) == ([address] if beyond else [])
    assert address not in listening.own()
