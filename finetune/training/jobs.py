"""From a config to the command lines of a job; the templates are in `launch/`."""

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from finetune.config.compose import bundled
from finetune.config.schema import Config
from finetune.errors import ConfigError, ResourceError


def in_allocation(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether this process runs inside a job of Slurm, whose nodes it then uses."""
    return "SLURM_JOB_ID" in environment


def ranks_command(config: Config, run: Path) -> list[str]:
    """The command that trains the run in `launch.processes` ranks on each of `launch.nodes` nodes.

    Ranks meet in a file of the run, which all nodes see; no port is opened for it.

    Raises:
        ResourceError: several nodes, and no Slurm that says which.
    """
    launch = config.launch
    if launch.nodes > 1 and "SLURM_JOB_NODELIST" not in os.environ:
        raise ResourceError("launch.nodes: several nodes are found through Slurm; use launch=slurm.")
    ranks = _words(
        "torchrun",
        python=shlex.quote(sys.executable),
        nodes=launch.nodes,
        processes=launch.processes,
        run=shlex.quote(str(run)),
    )
    return [*_words("srun", nodes=launch.nodes), *ranks] if launch.kind == "slurm" else ranks


def slurm_script(config: Config, run: Path, arguments: Sequence[str]) -> str:
    """The batch script that runs the same command inside a job.

    Raises:
        ConfigError: the run's folder or the working folder has a control character in its name: a line break would
            start a line of its own in the script.
    """
    for what, folder in (("run.dir", str(run.absolute())), ("the working folder", os.getcwd())):
        if not folder.isprintable():
            raise ConfigError(f"{what}: {folder!r} holds a character that a batch script cannot carry; rename it.")
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
