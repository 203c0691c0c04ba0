"""How a field of the configuration is declared: its default and the line that `--help` prints."""

from dataclasses import field
from typing import Any


def key(default: Any, help: str, *, late: bool = False) -> Any:
    """Declares a config key: its default and the line that `--help` prints; `late`: see `identity`."""
    return field(default=default, metadata={"help": help, "late": late})


def section(cls: type, *, late: bool = False) -> Any:
    """Declares a nested section; `late`: see `identity`."""
    return field(default_factory=cls, metadata={"late": late})
