"""A name is a file: menus come from folders and entry points, and nothing else."""

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

import finetune
from finetune import plugins
from finetune.errors import ConfigError


@pytest.mark.parametrize("seam", sorted(plugins.SEAMS))
def test_the_menu_is_the_folder(seam: str) -> None:
    folder = Path(finetune.__file__).parents[1] / plugins.SEAMS[seam].replace(".", "/")
    files = sorted(file.stem for file in folder.glob("*.py") if not file.name.startswith("_"))
    assert plugins.names(seam) == files
    assert files


def test_an_unknown_name_prints_the_menu_and_the_nearest_match() -> None:
    with pytest.raises(
        ConfigError, match=r"unknown adapter 'image_foldr'\. Did you mean 'image_folder'\? There are: .*table"
    ):
        plugins.load("adapter", "image_foldr")


def test_without_a_near_match_only_the_menu_is_printed() -> None:
    assert plugins.unknown("thing", "zzz", ["b", "a"]) == "unknown thing 'zzz'. There are: a, b."


def test_other_distributions_add_names_and_shipped_names_win(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint(name, "json.decoder", "finetune.adapters") for name in ("theirs", "table")]
    monkeypatch.setattr(plugins, "_foreign", plugins._foreign.__wrapped__)  # not what an earlier test left in its cache
    monkeypatch.setattr(plugins, "entry_points", lambda group: points if group == "finetune.adapters" else [])
    assert "theirs" in plugins.names("adapter")
    assert plugins.load("adapter", "theirs").__name__ == "json.decoder"
    assert plugins.load("adapter", "table").__name__ == "data_adapters.table"
