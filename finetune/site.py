"""The site file: what the people who run this machine permit, and a recipe cannot.

`/etc/finetune/site.yaml` counts where root owns it and nobody else may write to it; without one,
`FINETUNE_SITE` names a file. Its keys are `values` (settings that a recipe may not make) and
`plugins` (entry points, as in `adapter.NAME`).
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from finetune.errors import ConfigError

SYSTEM = Path("/etc/finetune/site.yaml")
VARIABLE = "FINETUNE_SITE"

RESERVED = (
    "network",
    "run",
    "tracking",
    "baseline.policy",
    "baseline.base_url",
    "baseline.api_key_env",
    "baseline.headers",
    "launch.options",
)
"""Keys, with all below them, that come from the command line or the site file alone."""


@dataclass(frozen=True)
class Site:
    """What a site file says.

    Attributes:
        file: where it was read; None where there is none.
        values: dotted key -> value, of `RESERVED`.
        plugins: `SEAM.NAME` of the entry points that may be imported.
    """

    file: Path | None = None
    values: dict[str, Any] = field(default_factory=dict)
    plugins: frozenset[str] = frozenset()


def is_reserved(dotted: str) -> bool:
    """Whether a recipe may not set this key."""
    return any(dotted == name or dotted.startswith(f"{name}.") for name in RESERVED)


def load() -> Site:
    """Reads the site file; an empty `Site` where there is none.

    Raises:
        ConfigError: it cannot be read, holds other keys, or others than root may change the system's.
    """
    file = _place()
    if file is None:
        return Site()
    try:
        tree = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: the site file cannot be read ({error}).") from error
    if not isinstance(tree, dict) or set(tree) - {"values", "plugins"}:
        raise ConfigError(f"{file}: a site file holds the keys values and plugins, and no others.")
    values, plugins = tree.get("values") or {}, tree.get("plugins") or []
    if not isinstance(values, dict) or not all(is_reserved(str(name)) for name in values):
        raise ConfigError(f"{file}: values: expected dotted keys of {', '.join(RESERVED)}.")
    if not isinstance(plugins, list) or not all(isinstance(name, str) for name in plugins):
        raise ConfigError(f"{file}: plugins: expected a list such as [adapter.NAME].")
    return Site(file, values, frozenset(plugins))


def _place() -> Path | None:
    if SYSTEM.is_file():
        status = SYSTEM.stat()
        if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigError(f"{SYSTEM}: root must own it, and nobody else may write to it.")
        return SYSTEM
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else None
