from collections import Counter

import numpy as np
import pytest
from PIL import Image

from data_adapters import synthetic
from data_adapters._leather import STATES, make_part
from data_adapters.synthetic import Options, read
from finetune.errors import ConfigError


def pictures(folder, examples):
    return [(folder / example.images[0].path).read_bytes() for example in examples]


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line")
    (folder / "images").mkdir()
    return folder, list(read(None, Options(parts=12, views=2), folder / "images"))


def test_parts_views_groups_and_one_state_a_part(line):
    folder, examples = line
    assert len(examples) == 24
    assert Counter(example.group for example in examples) == {f"part{n:04d}": 2 for n in range(12)}
    assert all(a.target == b.target for a in examples for b in examples if a.group == b.group)
    with Image.open(folder / examples[0].images[0].path) as first:
        assert (first.format, first.mode, first.size) == ("PNG", "RGB", (128, 128))


def test_the_same_seed_draws_the_same_line_and_more_parts_change_nothing(line, tmp_path):
    folder, examples = line
    (tmp_path / "images").mkdir()
    again = list(read(None, Options(parts=3, views=2), tmp_path / "images"))
    assert again == examples[:6]
    assert pictures(tmp_path, again) == pictures(folder, examples[:6])


def test_another_seed_draws_another_line_and_views_differ(line, tmp_path):
    folder, examples = line
    (tmp_path / "images").mkdir()
    other = list(read(None, Options(parts=1, views=2, seed=1), tmp_path / "images"))
    assert len(set(pictures(tmp_path, other) + pictures(folder, examples[:2]))) == 4


def test_a_defect_shows_in_every_state_but_good():
    sound = make_part("good", np.random.default_rng(5))
    for state in set(STATES) - {"good"}:
        broken = make_part(state, np.random.default_rng(5))
        changed = np.abs(broken.surface - sound.surface).max(axis=-1) > 0.05
        relief = np.hypot(broken.slope_x - sound.slope_x, broken.slope_y - sound.slope_y) > 0.1
        middle = (changed | relief)[30:-30, 30:-30]
        assert middle.sum() >= 15, state


def test_the_line_of_the_recipe_has_enough_parts_of_every_state(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic, "make_part", lambda state, rng: None)
    monkeypatch.setattr(synthetic, "photograph", lambda part, rng, side_px: Image.new("RGB", (1, 1)))
    states = Counter(example.target for example in read(None, Options(views=1), tmp_path))
    assert 0.35 <= states["good"] / 380 <= 0.40
    assert min(states.values()) >= 40
    assert len(states) == 5


@pytest.mark.parametrize("options", [Options(parts=0), Options(views=0), Options(seed=-1), Options(side_px=8)])
def test_options_out_of_range(options, tmp_path):
    with pytest.raises(ConfigError, match=r"data.options.\w+: got -?\d+, expected \d+ to \d+"):
        next(read(None, options, tmp_path))


def test_a_path_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"data.adapter=synthetic makes its images; leave it out"):
        next(read(tmp_path, Options(), tmp_path))
