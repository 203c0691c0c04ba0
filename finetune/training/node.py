"""Starts the ranks of one node and ends them together; started by the supervisor, or by srun once a node.

torchrun would do this too, but its rendezvous store listens on every address of the machine and
unpickles what a client sends: whoever reaches the port runs code as the training user. Here ranks
meet in a file of the run, which needs no port.
"""

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from types import FrameType

GRACE_S = 300.0
"""Seconds that ranks may take to end after SIGTERM: saving a state takes as long as writing it."""

_LOOK_S = 0.2
_PDEATHSIG = 1


def main(arguments: Sequence[str]) -> int:
    """Runs the ranks of this node to their end; returns 0 where all ended with 0, else 1."""
    parser = argparse.ArgumentParser(prog="finetune.training.node")
    parser.add_argument("--nnodes", type=int, required=True)
    parser.add_argument("--nproc-per-node", type=int, required=True)
    parser.add_argument("command", nargs="+", help="arguments of finetune.training.worker")
    given = parser.parse_args(arguments)
    command = [sys.executable, "-m", "finetune.training.worker", *given.command]
    return run(command, environments(given.nnodes, given.nproc_per_node, os.environ))


def environments(nodes: int, processes: int, outer: Mapping[str, str]) -> list[dict[str, str]]:
    """The environment of each rank of this node: its numbers, in the names that torch and accelerate read."""
    node = int(outer.get("SLURM_NODEID", "0")) if nodes > 1 else 0
    return [
        {
            **outer,
            "RANK": str(node * processes + local),
            "LOCAL_RANK": str(local),
            "WORLD_SIZE": str(nodes * processes),
            "LOCAL_WORLD_SIZE": str(processes),
            "GROUP_RANK": str(node),
        }
        for local in range(processes)
    ]


def run(command: Sequence[str], each: Sequence[Mapping[str, str]]) -> int:
    """Starts one process an environment; where one fails, or SIGTERM arrives, the others are ended too."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    started = [subprocess.Popen(command, env=environment, preexec_fn=_die_with_me) for environment in each]
    deadline: float | None = None
    while None in (codes := [process.poll() for process in started]):
        if deadline is None and (asked or any(codes)):
            deadline = time.monotonic() + GRACE_S
            _send(started, signal.SIGTERM)
        elif deadline is not None and time.monotonic() > deadline:
            _send(started, signal.SIGKILL)
        time.sleep(_LOOK_S)
    return int(any(process.returncode for process in started))


def _send(started: Sequence["subprocess.Popen[bytes]"], number: signal.Signals) -> None:
    for process in started:
        if process.poll() is None:
            process.send_signal(number)


def _die_with_me() -> None:
    """Asks the kernel to end a rank when this process is killed."""
    ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
