"""The files that come with the package, and users' own recipes: where they are and what there is."""

import os
from importlib.util import find_spec
from pathlib import Path


def bundled(name: str) -> Path:
    """Folder of the shipped `conf` or `recipes`: package data when installed, the checkout's folder otherwise."""
    spec = find_spec(f"finetune.{name}")
    if spec is not None and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(__file__).resolve().parents[2] / name


def recipes() -> dict[str, Path]:
    """Recipe name -> file: the shipped ones, and those in `FINETUNE_RECIPES`, which may not replace them."""
    own = os.environ.get("FINETUNE_RECIPES")
    folders = [Path(own)] if own else []
    found = {file.stem: file for folder in folders for file in sorted(folder.glob("*.yaml"))}
    return found | {file.stem: file for file in sorted(bundled("recipes").glob("*.yaml"))}


def groups() -> dict[str, dict[str, Path]]:
    """Config group -> option -> file, `recipe` included."""
    folders = [folder for folder in sorted(bundled("conf").iterdir()) if folder.is_dir() and folder.name[0] not in "_."]
    found = {folder.name: {file.stem: file for file in sorted(folder.glob("*.yaml"))} for folder in folders}
    return {group: options for group, options in found.items() if options} | {"recipe": recipes()}


def headline(file: Path) -> str:
    """The one line that a recipe or an option says about itself: its first comment."""
    first = file.read_text(encoding="utf-8").split("\n", 1)[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
