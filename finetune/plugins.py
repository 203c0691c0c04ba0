"""A name is a file: adapters, families, tasks, predictors and trackers are found by listing a folder."""

import difflib
import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from types import ModuleType

from finetune.errors import ConfigError

SEAMS = {
    "adapter": "data_adapters",
    "family": "finetune.families",
    "task": "finetune.tasks",
    "predictor": "finetune.predictors",
    "tracker": "finetune.tracking",
}
"""What a user calls it -> the package whose files are the menu."""

PLURALS = {"adapter": "adapters", "family": "families", "task": "tasks", "predictor": "predictors"}
"""Seams that other distributions may extend, and the suffix of their entry-point group `finetune.PLURAL`."""


def names(seam: str) -> list[str]:
    """Lists every name of a seam, sorted; the modules are not imported."""
    return sorted({*_shipped(seam), *_foreign(seam)})


def load(seam: str, name: str) -> ModuleType:
    """Imports the module that a name stands for. Shipped names win over entry points.

    Raises:
        ConfigError: the name is not on the menu; the message holds the menu and the nearest match.
    """
    if name in _shipped(seam):
        return importlib.import_module(f"{SEAMS[seam]}.{name}")
    if name in (foreign := _foreign(seam)):
        return importlib.import_module(foreign[name])
    raise ConfigError(unknown(seam, name, names(seam)))


def unknown(what: str, got: str, menu: Iterable[str]) -> str:
    """Words the error for a name that does not exist: the nearest match, then the menu."""
    choices = sorted(menu)
    near = difflib.get_close_matches(got, choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"unknown {what} {got!r}.{hint} There are: {', '.join(choices) or 'none'}."


@cache
def _shipped(seam: str) -> set[str]:
    package = importlib.import_module(SEAMS[seam])
    return {module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")}


@cache
def _foreign(seam: str) -> dict[str, str]:
    """Reads the metadata of every installed distribution, which takes a tenth of a second: once a process."""
    if seam not in PLURALS:
        return {}
    return {point.name: point.value for point in entry_points(group=f"finetune.{PLURALS[seam]}")}
