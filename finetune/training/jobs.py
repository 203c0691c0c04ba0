"""From a config to the command lines of a job; the templates are in `launch/`."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from finetune.config.compose import bundled
from finetune.config.schema import Config
from finetune.errors import ResourceError


def in_allocation(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs inside a job of Slurm, whose nodes it then uses."""
    return "SLURM_JOB_ID" in environment


def ranks_command(config: Config, run: Path) -> list[str]:
    """The command that trains the run in `launch.processes` ranks on each of `launch.nodes` nodes.

    One node meets on loopback; several on the first of the allocation, at a port that its number gives.
    """
    launch, local = config.launch, config.launch.nodes == 1
    torchrun = _words(
        "torchrun",
        python=shlex.quote(sys.executable),
        nodes=launch.nodes,
        processes=launch.processes,
        endpoint="127.0.0.1:0" if local else f"{_first_node()}:{_port()}",
        name=os.environ.get("SLURM_JOB_ID", str(os.getpid())),
        local=local,
        run=shlex.quote(str(run)),
    )
    return [*_words("srun", nodes=launch.nodes), *torchrun] if launch.kind == "slurm" else torchrun


def slurm_script(config: Config, run: Path, arguments: Sequence[str]) -> str:
    """The batch script that runs the same command inside a job."""
    return _render(
        "slurm",
        name=_plain(run.name),
        nodes=config.launch.nodes,
        log=run.absolute() / "slurm-%j.log",
        options=config.launch.options,
        folder=shlex.quote(os.getcwd()),
        command=shlex.join([sys.executable, "-m", "finetune", *arguments]),
    )


def _words(template: str, **values: Any) -> list[str]:
    return shlex.split(_render(template, **values))


def _render(template: str, **values: Any) -> str:
    text = (bundled("launch") / f"{template}.jinja").read_text(encoding="utf-8")
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True)
    return environment.from_string(text).render(**values)


def _plain(text: str) -> str:
    """A value of an option: sbatch reads its lines as a shell would not, so white space is taken out."""
    return re.sub(r"\s+", "_", text)


def _first_node() -> str:
    nodes = os.environ.get("SLURM_JOB_NODELIST")
    if nodes is None:
        raise ResourceError("launch.nodes: several nodes are found through Slurm; use launch=slurm.")
    done = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
    return done.stdout.split()[0]


def _port() -> int:
    return 20_000 + int(os.environ["SLURM_JOB_ID"]) % 20_000
