"""Published figures stand beside what they declare, carry their source, and nowhere else."""

from dataclasses import replace

import pytest

from finetune.config import compose
from finetune.config.schema import Config
from finetune.regressions import published_figures


def test_rows_stand_beside_their_recipe_alone():
    solar = published_figures.rows(replace(Config(), recipe="solar_cells"))
    assert {row["task"] for row in solar} == {"ELPV functional/defective"}
    assert {row["beside"] for row in solar} == {"task"}
    assert (solar[1]["model"], solar[1]["value"], solar[1]["source"]) == (
        *("CNN", 88.42),
        "Deitsch et al. 2019, arXiv 1807.02894",
    )
    for recipe in ("defects", "", "my_solar_cells"):
        assert published_figures.rows(replace(Config(), recipe=recipe)) == []


def test_rows_of_a_general_set_stand_beside_it():
    found = published_figures.rows(Config(), ["mmmu", "mmstar"])
    assert {(row["beside"], row["task"]) for row in found} == {("mmmu", "MMMU val")}
    assert max(row["value"] for row in found) == 69.1


def test_every_row_says_where_it_is_from():
    for row in published_figures._published():
        assert row["source"]
        assert row["verified"] in ("source", "second source")
        assert isinstance(row["value"], float)
        assert bool(row.get("recipes")) != bool(row.get("sets"))


@pytest.mark.parametrize("recipe", ["solar_cells", "radiology_qa"])
def test_the_recipes_exist(recipe):
    assert {name for row in published_figures._published() for name in row.get("recipes", ())} >= {recipe}
    assert recipe in compose.recipes()
