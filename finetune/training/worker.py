"""One rank of a job: trains the run that is named, and leaves a note of how that ended. Started by `node`."""

import fcntl
import ipaddress
import json
import os
import socket
import struct
import sys
import traceback
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

from finetune import egress
from finetune.config import compose
from finetune.config.schema import Config
from finetune.errors import EgressError, InterruptedRun, ResourceError
from finetune.rundir import RunDir
from finetune.training import listening, ranks

_SIOCGIFADDR = 0x8915


def main(arguments: list[str]) -> int:
    """Trains; returns 0, or 1 where the other ranks have to be ended too."""
    folder = Path(arguments[0])
    config = compose.from_yaml(folder / "config.yaml")
    run = RunDir(folder, int(config.run.file_mode, 8))
    try:
        _meet(config, run)
        with run.lock(ranks.LOCK) if ranks.is_main() else nullcontext():
            files = _train(config, run)
        egress.raise_if_denied()
    except BaseException as error:
        _note(run, [], error)
        if isinstance(error, InterruptedRun):  # which all ranks raise at the same step
            return 0
        traceback.print_exc()
        return 1
    _note(run, files, None)
    return 0


def _train(config: Config, run: RunDir) -> list[Path]:
    from torch import distributed

    from finetune.training.fit import train_parts

    files = train_parts(config, run)
    if distributed.is_initialized():
        distributed.destroy_process_group()
    return files


def _meet(config: Config, run: RunDir) -> None:
    """Sets guard, device and network interface, then meets the other ranks in a file of the run.

    Raises:
        EgressError: ranks of one node opened a port that other machines reach.
    """
    if config.network == "none":
        egress.install_guard(network=config.launch.rendezvous)
    name = "lo" if config.launch.nodes == 1 else interface(config.launch.rendezvous or "0.0.0.0/0")
    os.environ.update(GLOO_SOCKET_IFNAME=name, NCCL_SOCKET_IFNAME=name)
    import torch

    cuda = config.hardware.device != "cpu" and torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if cuda else "cpu")
    if ranks.world() > 1:
        _join(config, run, "nccl" if cuda else "gloo")


def _join(config: Config, run: RunDir, backend: str) -> None:
    from torch import distributed

    store = distributed.FileStore(str(run.notes / "store"), ranks.world())  # type: ignore[attr-defined]
    distributed.init_process_group(backend, store=store, rank=ranks.rank(), world_size=ranks.world())
    distributed.barrier()  # opens the sockets that ranks talk over
    found = listening.own()
    note = run.notes / f"listening-{ranks.rank():05d}.json"
    note.write_text(json.dumps({"addresses": found}), encoding="utf-8")
    print(f"rank {ranks.rank()}: listens on {', '.join(found) or 'no port'}", file=sys.stderr)
    open_to_all = listening.beyond_loopback(found)
    if config.launch.nodes == 1 and open_to_all:
        raise EgressError(f"ranks of one node listen beyond loopback: {', '.join(open_to_all)}.")


def interface(cidr: str) -> str:
    """Name of the network interface of this machine whose address lies in a network.

    Raises:
        ResourceError: there is none.
    """
    network = ipaddress.ip_network(cidr)
    found = [name for name, address in _addresses() if address in network and not address.is_loopback]
    if not found:
        raise ResourceError(f"launch.rendezvous: no interface of {socket.gethostname()} has an address in {cidr}.")
    return found[0]


def _addresses() -> Iterator[tuple[str, ipaddress.IPv4Address]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            try:
                told = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            except OSError:  # it has no address
                continue
            yield name, ipaddress.IPv4Address(told[20:24])


def _note(run: RunDir, files: list[Path], error: BaseException | None) -> None:
    """Written by every rank: the one that failed is not always the main one."""
    note = {
        "rank": ranks.rank(),
        "files": [path.relative_to(run.root).as_posix() for path in files],
        "error": type(error).__name__ if error else None,
        "message": str(error) if error else None,
    }
    folder = run.notes
    if folder.is_dir():  # gone where the process that looks after the job was killed
        (folder / f"rank-{ranks.rank():05d}.json").write_text(json.dumps(note), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
