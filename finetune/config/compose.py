"""From a command line to a `Config`: bundled files, recipe discovery, overrides, strict conversion.

Hydra composes group choices only. Value overrides are read with Hydra's own parser, applied to a plain tree and
converted strictly, so that every mistake is reported at once and keys inside dicts need no `+`.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from finetune import plugins, site
from finetune.config.bundled import bundled as bundled
from finetune.config.bundled import groups as groups
from finetune.config.bundled import headline as headline
from finetune.config.bundled import recipes as recipes
from finetune.config.checks import problems
from finetune.config.convert import convert, dotted_keys, unknown_key
from finetune.config.schema import Config
from finetune.errors import ConfigError
from finetune.rundir import canonical_digest

Tree = dict[str, Any]

# Sections that may change between calls on one run, so the default run directory does not depend on them.
VOLATILE = ("run", "stages", "network", "hardware", "launch", "evaluate", "baseline", "report", "tracking")

# Groups that a model's file chooses (`defaults: [/train@_global_: 7b]`), whose options say keys of several sections.
WHOLE = ("train",)

# Shapes of well-known credentials: Hydra would write them to disk with the overrides.
SECRET = re.compile(
    r"\b(sk-[\w-]{16,}|hf_\w{16,}|AKIA[A-Z0-9]{12,}|AIza[\w-]{20,}|gh[pousr]_\w{16,}|xox[bp]-[\w-]{10,})"
)


_PATHS = ("baseline.policy", "data.images_root")


def compose(overrides: Sequence[str]) -> Config:
    """Builds the configuration of a run.

    Args:
        overrides: `GROUP=OPTION` and `KEY=VALUE`, as typed.

    Raises:
        ConfigError: every mistake on a line of its own, with the nearest match where there is one.
    """
    found: list[str] = []
    choices, values = _sort_overrides(overrides, found)
    tree = _compose_groups(choices, found)
    for override in values:
        _apply(tree, override.key_or_group, override.value(), found)
    found += _refused_values(tree)
    tree["recipe"] = choices.get("recipe", "")
    config = convert(tree, Config, "", found)
    if isinstance(config, Config):
        found += problems(config)
    if found:
        count = f"{len(found)} mistakes:\n  " if len(found) > 1 else ""
        raise ConfigError(count + "\n  ".join(_nearest_everywhere(line) for line in found))
    result: Config = config
    return result


def combinations(overrides: Sequence[str]) -> list[list[str]]:
    """The command lines of a sweep: every combination of the values that `KEY=A,B` lists, the last key turning fastest.

    Raises:
        ConfigError: an argument cannot be read.
    """
    found: list[str] = []
    lists: list[list[str]] = []
    for text in overrides:
        override = _parse(text, found, sweep=True)
        if override is not None and override.is_sweep_override():
            lists.append([f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()])
        else:
            lists.append([text])
    if found:
        raise ConfigError("\n  ".join(found))
    return [list(given) for given in itertools.product(*lists)]


def require_task(config: Config) -> None:
    """Refuses a command that names neither a recipe nor data.

    Raises:
        ConfigError: says what there is.
    """
    if config.recipe or config.data.path:
        return
    menu = ", ".join(recipes())
    if config.data.adapter == "synthetic":
        raise ConfigError(
            "data.adapter=synthetic draws a made-up leather line, but it is a recipe that says what is asked "
            f"about them. Try recipe=defects, which is built on it. There are: {menu}."
        )
    raise ConfigError(f"no recipe given. There are: {menu}. Try recipe=defects.")


def run_folder(config: Config) -> Path:
    """`run.dir`, or `run.root/RECIPE-HASH` with a hash over what the artefacts depend on."""
    if config.run.dir:
        return Path(config.run.dir).expanduser()
    tree = {name: value for name, value in dataclasses.asdict(config).items() if name not in VOLATILE}
    tree["data"] = dataclasses.asdict(config.data)
    return Path(config.run.root).expanduser() / f"{config.recipe or 'run'}-{canonical_digest(tree)[:8]}"


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML, for `config.yaml`."""
    text: str = yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False, allow_unicode=True, width=120)
    return text


def from_yaml(file: Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a run's `config.yaml` back, with `KEY=VALUE` on top.

    Raises:
        ConfigError: there is none, or it does not fit the schema.
    """
    if not file.is_file():
        raise ConfigError(f"{file.parent} is not a run: it has no {file.name}. Give the folder that a run printed.")
    found: list[str] = []
    tree = _read_yaml(file, found)
    for override in (_parse(text, found) for text in overrides):
        if override is not None:
            _apply(tree, override.key_or_group, override.value(), found)
    config = convert(tree, Config, "", found)
    if overrides and isinstance(config, Config):
        found += problems(config)
    if found or not isinstance(config, Config):
        told = f"{file} with {' '.join(overrides)} is refused" if overrides else f"{file} does not fit this version"
        raise ConfigError(f"{told}:\n  " + "\n  ".join(found))
    return config


def _sort_overrides(overrides: Sequence[str], found: list[str]) -> tuple[dict[str, str], list[Override]]:
    """Splits the command line into group choices and value overrides."""
    menu, choices, values = groups(), {}, []
    for text in overrides:
        override = _parse(text, found)
        if override is None:
            continue
        name, value = override.key_or_group, override.value()
        if name not in menu:
            values.append(override)
        elif isinstance(value, str) and value in menu[name]:
            choices[name] = value
        else:
            found.append(f"{name}: {plugins.unknown(name, str(value), menu[name])}")
    return choices, values


def _parse(text: str, found: list[str], *, sweep: bool = False) -> Override | None:
    key, _, value = text.partition("=")
    if text.startswith(("+", "~")):
        plain = text.lstrip("+~")
        near = (
            ""
            if plain.partition("=")[0] in dotted_keys(Config)
            else unknown_key(plain.partition("=")[0], dotted_keys(Config), plain.partition("=")[2])
        )
        found.append(
            f"{text}: keys are neither added nor removed, so {text[0]!r} is not used. {near or f'Write {plain}'}"
        )
        return None
    if not _:
        found.append(f"{text!r}: expected KEY=VALUE, GROUP=OPTION or one of the verbs; see `python -m finetune --help`")
        return None
    try:
        override: Override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        found.append(f"{key}: cannot read {value!r} ({reason}); quote it: '{key}=\"{value}\"'")
        return None
    if override.is_sweep_override() and not sweep:
        found.append(f"{key}: an unquoted comma means several values; write '{key}=[{value}]' or '{key}=\"{value}\"'")
        return None
    if override.package is not None:
        found.append(f"{text}: '@' is not used here: {key.partition('@')[0]}={value}")
        return None
    return override


def _compose_groups(choices: dict[str, str], found: list[str]) -> Tree:
    """Lets Hydra compose the chosen options; the recipe stands last and wins."""
    store = ConfigStore.instance()
    # An in-memory YAML node for each recipe: `recipe=NAME` then needs no folder recipes/recipe/.
    for name, file in (recipes() | {"none": None}).items():
        node = _recipe_node(file, found if name == choices.get("recipe") else []) if file else {}
        store.store(group="recipe", name=name, node=OmegaConf.create(node), package="_global_", provider="finetune")
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(bundled("conf")), version_base="1.3"):
        try:
            chosen = [f"{_slot(group)}={option}" for group, option in choices.items()]
            composed = hydra_compose("config", overrides=chosen)
        except HydraException as error:
            found.append(f"recipe {choices.get('recipe')}: {error}")
            return {}
    tree: Tree = OmegaConf.to_container(composed, resolve=False)  # type: ignore[assignment]
    _refuse_reserved(tree, choices, found)
    for dotted, value in site.load().values.items():
        _apply(tree, dotted, value, found)
    _overlay(tree, _typed(choices, found))  # what was typed wins over what the recipe says
    return tree


def _slot(group: str) -> str:
    """How Hydra calls a group whose default a model chooses, and whose options say keys of several sections."""
    return f"{group}@_global_" if group in WHOLE else group


def _typed(choices: dict[str, str], found: list[str]) -> Tree:
    """What the typed options say, without the recipe; options of several sections first, which the others refine."""
    tree: Tree = {}
    for group in sorted(choices, key=lambda name: name not in WHOLE):
        if group != "recipe":
            said = _read_yaml(groups()[group][choices[group]], found)
            said.pop("defaults", None)
            _overlay(tree if group in WHOLE else tree.setdefault(group, {}), said)
    return tree


def _refuse_reserved(tree: Tree, choices: dict[str, str], found: list[str]) -> None:
    """Names what a recipe set though a recipe may not.

    The composed tree is judged, not the recipe's text: `defaults: [other@baseline]` says it by another way.
    """
    usual = dict(_leaves(_plain(dataclasses.asdict(Config()))))
    usual |= dict(_leaves(_typed(choices, [])))
    for dotted, value in _leaves(tree):
        if site.is_reserved(dotted) and not (dotted in usual and usual[dotted] == value):
            found.append(
                f"{dotted}: the recipe {choices.get('recipe')} sets it to {value!r}, which a recipe may not; give it "
                "on the command line or in the site file (docs/security.md)"
            )


def _overlay(tree: Tree, values: Tree) -> None:
    for name, value in values.items():
        if isinstance(value, dict) and isinstance(tree.get(name), dict):
            _overlay(tree[name], value)
        else:
            tree[name] = value


def _recipe_node(file: Path, found: list[str]) -> Tree:
    node = _read_yaml(file, found)
    if "recipe" in node:
        found.append(f"{file.name}: recipe: the name of a recipe is its file name; remove the key")
        del node["recipe"]
    others = node.get("defaults", [])
    if not isinstance(others, list):
        found.append(
            f"{file.name}: defaults: got {others!r}, expected a list of recipes that it builds on, as in [defects]"
        )
        del node["defaults"]
    elif others and "_self_" not in others:
        node["defaults"] = [*others, "_self_"]  # its own values win over those it builds on
    return node


def _read_yaml(file: Path, found: list[str]) -> Tree:
    try:
        node = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found.append(f"{file} is not YAML: {' '.join(str(error).split())}")
        return {}
    if node is None:
        return {}
    if not isinstance(node, dict):
        found.append(f"{file}: expected keys and values at the top")
        return {}
    return node


def _apply(tree: Tree, dotted: str, value: Any, found: list[str]) -> None:
    *parents, leaf = dotted.split(".")
    for depth, name in enumerate(parents):
        child = tree.setdefault(name, {})
        if not isinstance(child, dict):
            found.append(f"{dotted}: {'.'.join(parents[: depth + 1])} is a single value, it has no keys below")
            return
        tree = child
    tree[leaf] = value


def _leaves(tree: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for name, value in items:
        here = f"{where}.{name}" if where else str(name)
        if isinstance(value, dict | list):
            yield from _leaves(value, here)
        else:
            yield here, value


def _refused_values(tree: Tree) -> list[str]:
    found = []
    for where, value in _leaves(tree):
        if isinstance(value, str) and "${" in value:
            found.append(f"{where}: '${{...}}' is not expanded here; write the value itself")
        if isinstance(value, str) and _is_path(where) and not value.isprintable():
            found.append(f"{where}: got {value!r}; a path holds no control characters")
        if isinstance(value, str) and SECRET.search(value):
            found.append(f"{where}: looks like a credential; give the name of an environment variable instead")
        if isinstance(value, float) and not math.isfinite(value):
            found.append(f"{where}: got {value}, expected a finite number")
    return found


def _is_path(where: str) -> bool:
    """Whether a key names a file or a folder, which scripts and logs repeat."""
    leaf = where.rpartition(".")[2]
    return where in _PATHS or leaf in ("path", "dir", "root", "adapter") or leaf.endswith("_path")


def _nearest_everywhere(line: str) -> str:
    """Adds the nearest key of the whole schema where the section itself held none."""
    where, sep, rest = line.partition(": ")
    if rest != "there is no such key.":
        return line
    return unknown_key(where, dotted_keys(Config)) if sep else line


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
