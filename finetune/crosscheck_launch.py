"""What one field of `launch` cannot know about another, and about what is trained."""

import ipaddress
import re

from finetune.config import Config
from finetune.errors import ConfigError
from finetune.training import ranks

OPTION = re.compile(r"[a-z][a-z-]*")
"""Name of an option of sbatch."""

TAKEN = ("job-name", "nodes", "ntasks-per-node", "output", "open-mode", "signal", "wrap", "wait")
"""Options of sbatch that the template sets."""


def problems(config: Config) -> list[str]:
    """Every mistake, worded for the user."""
    launch, found = config.launch, []
    for name, count in (("processes", launch.processes), ("nodes", launch.nodes)):
        if count < 1:
            found.append(f"launch.{name}: got {count}, expected at least 1")
    if found:
        return found
    total = launch.processes * launch.nodes
    if launch.kind == "local" and launch.dry_run:
        found.append("launch.dry_run: there is no job to print; add launch=torchrun or launch=slurm")
    if launch.kind == "local" and total > 1:
        found.append(f"launch.processes: {total} processes need launch=torchrun or launch=slurm")
    if launch.kind != "slurm" and launch.nodes > 1:
        found.append("launch.nodes: several nodes are found through Slurm; use launch=slurm")
    if launch.nodes > 1 and launch.rendezvous is None:
        found.append("launch.rendezvous: ranks of several nodes need a network to meet in, as in 10.0.0.0/24")
    return [*found, *_rendezvous(launch.rendezvous), *_options(config), *_shared(config, total)]


def _rendezvous(cidr: str | None) -> list[str]:
    try:
        ipaddress.ip_network(cidr or "127.0.0.0/8")
    except ValueError as error:
        return [f"launch.rendezvous: got {cidr!r}, expected a network such as 10.0.0.0/24 ({error})"]
    return []


def _options(config: Config) -> list[str]:
    options = config.launch.options
    if options and config.launch.kind != "slurm":
        return ["launch.options: are options of sbatch; they need launch=slurm"]
    found = [f"launch.options.{name}: is set by the template" for name in options if name in TAKEN]
    found += [
        f"launch.options.{name}: is no name of an option of sbatch" for name in options if not OPTION.fullmatch(name)
    ]
    return found + [
        f"launch.options.{name}: got {value!r}, expected one word or a number"
        for name, value in options.items()
        if not isinstance(value, str | int | float) or re.search(r"\s", str(value))
    ]


def _shared(config: Config, total: int) -> list[str]:
    found, method = [], config.method
    try:
        ranks.share(max(1, config.train.batch_size), max(1, config.train.accumulate), total)
    except ConfigError as error:
        found.append(str(error))
    if config.hardware.deepspeed is None:
        return found
    if config.launch.kind == "local":
        found.append(
            f"hardware.deepspeed={config.hardware.deepspeed}: there is nothing to divide in one process; add "
            "launch=torchrun"
        )
    if config.train.feature_cache == "on" and config.hardware.deepspeed.startswith("zero3"):
        found.append("train.feature_cache=on: all ranks enter a divided tower together; use auto, or hardware=zero2")
    if method.quantise != "none" and config.hardware.deepspeed.startswith("zero3"):
        found.append("method.quantise: 4-bit weights cannot be divided among ranks; use hardware=zero2")
    if not str(config.train.trainer.get("optim", "adamw_torch_fused")).startswith("adamw_torch"):
        found.append("train.trainer.optim: under hardware.deepspeed it is adamw_torch, whose state can be divided")
    return found
