"""Colours: every text reaches 4.5:1 on every ground it stands on, every mark 3:1 (WCAG 2.2 AA), in light and dark."""

import re

import pytest
from report import palette

from finetune.report import render as page

CSS = page.asset("style.css")
THEMES = palette.parse(CSS)
TEXT = ("ink", "soft", "good", "bad", "open", "tuned")
MARKS = ("tuned", "rival", "base", "linear", "majority", "soft")


def test_the_formula_is_the_one_of_the_standard():
    white, black = palette.rgb("#ffffff"), palette.rgb("#000000")
    assert palette.contrast(white, black) == pytest.approx(21)
    assert palette.contrast(palette.rgb("#767676"), white) == pytest.approx(4.54, abs=0.01)  # the known lightest grey


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_can_be_read(theme):
    colours = {name: palette.rgb(value) for name, value in THEMES[theme].items() if value.startswith("#")}
    weak = {
        f"{text} on {ground}": round(palette.contrast(colours[text], colours[ground]), 2)
        for text in TEXT
        for ground in ("paper", "card", "faint")
        if palette.contrast(colours[text], colours[ground]) < 4.5
    }
    assert weak == {}
    assert palette.contrast(colours["ink"], colours["paper"]) > 7


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_marks_can_be_seen(theme):
    colours = {name: palette.rgb(value) for name, value in THEMES[theme].items() if value.startswith("#")}
    weak = [m for m in MARKS for ground in ("paper", "card") if palette.contrast(colours[m], colours[ground]) < 3]
    assert weak == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_numbers_on_shaded_cells_can_be_read(theme):
    colours = THEMES[theme]
    shades = [float(alpha) for alpha in re.findall(r"\.h\d+ \{ background: rgb\(var\(--heat\) / ([.\d]+)\)", CSS)]
    assert len(shades) == 10
    for alpha in shades:
        ground = palette.over(palette.rgb(colours["heat"]), palette.rgb(colours["card"]), alpha)
        assert palette.contrast(palette.rgb(colours["ink"]), ground) >= 4.5, alpha


def test_both_themes_name_the_same_colours():
    own = palette.parse(CSS)
    assert set(own["light"]) >= set(own["dark"])
    assert len({own["light"][name] == own["dark"][name] for name in TEXT}) == 1  # all of them change
