"""`show recipes|models|adapters|tasks|baselines [NAME]`: what there is and where it comes from."""

import dataclasses
import importlib.util
from collections.abc import Callable
from pathlib import Path

from finetune import plugins
from finetune.config.compose import groups, headline, recipes
from finetune.errors import ConfigError


def run(arguments: list[str]) -> None:
    """Prints the menu of one kind, or one entry in detail.

    Raises:
        ConfigError: the kind or the name does not exist.
    """
    kind, *rest = arguments or [""]
    if kind not in KINDS:
        raise ConfigError(plugins.unknown("kind", kind, KINDS) + " Write: python -m finetune show recipes")
    entries = KINDS[kind]()
    if len(rest) > 1:
        raise ConfigError(f"show {kind} takes one NAME, got {len(rest)}: {' '.join(rest)}")
    if rest and rest[0] not in entries:
        raise ConfigError(plugins.unknown(kind.removesuffix("s"), rest[0], entries))
    print(_detail(kind, rest[0], entries[rest[0]]) if rest else _menu(entries))


def _menu(entries: dict[str, Path]) -> str:
    width = max((len(name) for name in entries), default=0)
    return "\n".join(f"{name:<{width}}  {_line(file)}  [{_origin(file)}]" for name, file in entries.items())


def _detail(kind: str, name: str, file: Path) -> str:
    page = file.with_suffix(".md")
    parts = [f"{name}: {_line(file)}", f"from {file}", ""]
    if page.exists():
        parts.append(page.read_text(encoding="utf-8"))
    if file.suffix == ".yaml":
        parts.append(file.read_text(encoding="utf-8"))
    if kind == "adapters":
        parts += ["data.options of this adapter:", *_options(name)]
    return "\n".join(parts).rstrip()


def _options(adapter: str) -> list[str]:
    options = plugins.load("adapter", adapter).Options
    lines = []
    for entry in dataclasses.fields(options):
        required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
        default = "required" if required else f"default {entry.default!r}"
        lines.append(
            f"  {entry.name}: {default if entry.default is not dataclasses.MISSING or required else 'default empty'}"
        )
    return lines


def _line(file: Path) -> str:
    """First comment of a YAML file, first docstring line of a Python file."""
    if file.suffix == ".yaml":
        return headline(file)
    return file.read_text(encoding="utf-8").removeprefix('"""').split("\n", 1)[0].rstrip('"')


def _origin(file: Path) -> str:
    here = Path(__file__).resolve().parents[2]
    return file.relative_to(here).as_posix() if file.is_relative_to(here) else str(file)


def _seam(seam: str) -> Callable[[], dict[str, Path]]:
    def entries() -> dict[str, Path]:
        found = {}
        for name in plugins.names(seam):
            spec = importlib.util.find_spec(f"{plugins.SEAMS[seam]}.{name}")
            found[name] = Path(spec.origin) if spec and spec.origin else Path(name)
        return found

    return entries


KINDS: dict[str, Callable[[], dict[str, Path]]] = {
    "recipes": recipes,
    "models": lambda: groups()["model"],
    "adapters": _seam("adapter"),
    "tasks": _seam("task"),
    "baselines": lambda: groups()["baseline"],
}
