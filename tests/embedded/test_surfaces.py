"""Surfaces: deterministic, masks agree with attributes, places worked out by hand, reserved things absent."""

import numpy as np
import pytest

from finetune.embedded.surfaces import KINDS, POSITIONS, SURFACES, Instance, Surface, make_surface, position_word

RESERVED = ("fold", "poke", "glue", "cut", "color", "colour", "leather", "hide")


@pytest.fixture(scope="module")
def surfaces() -> list[Surface]:
    return [make_surface(seed) for seed in range(160)]


def test_same_seed_same_surface_and_other_seed_another() -> None:
    first, again, other = make_surface(11), make_surface(11), make_surface(12)
    assert np.array_equal(first.pixels, again.pixels)
    assert np.array_equal(first.mask, again.mask)
    assert first.instances == again.instances
    assert not np.array_equal(first.pixels, other.pixels)


def test_shapes_and_types(surfaces: list[Surface]) -> None:
    for surface in surfaces:
        assert surface.pixels.shape == (128, 128, 3)
        assert surface.pixels.dtype == np.uint8
        assert surface.image().size == (128, 128)
        assert surface.image().mode == "RGB"


def test_mask_holds_exactly_the_named_kind_and_its_pixels_add_up(surfaces: list[Surface]) -> None:
    for surface in surfaces:
        covered = set(np.unique(surface.mask).tolist()) - {0}
        assert covered == ({KINDS.index(surface.kind)} if surface.kind != "none" else set())
        assert int((surface.mask > 0).sum()) == sum(instance.area for instance in surface.instances)
        assert (surface.kind == "none") == (not surface.instances)


def test_centre_of_a_single_defect_is_the_centre_of_its_mask(surfaces: list[Surface]) -> None:
    single = [surface for surface in surfaces if len(surface.instances) == 1]
    assert len(single) > 30
    for surface in single:
        rows, columns = np.nonzero(surface.mask)
        assert surface.instances[0].x == pytest.approx(columns.mean() + 0.5)
        assert surface.instances[0].y == pytest.approx(rows.mean() + 0.5)


@pytest.mark.parametrize(
    ("x", "y", "word"),
    [
        (0.0, 0.0, "top left"),
        (64.0, 10.0, "top"),
        (127.9, 0.0, "top right"),
        (42.0, 64.0, "left"),  # 128 / 3 = 42.67 is where the middle column starts
        (43.0, 64.0, "center"),
        (86.0, 64.0, "right"),  # and 85.33 where it ends
        (10.0, 120.0, "bottom left"),
        (64.0, 127.9, "bottom"),
        (128.0, 128.0, "bottom right"),
    ],
)
def test_position_words(x: float, y: float, word: str) -> None:
    assert position_word(x, y) == word


def _pair(first: Instance, second: Instance) -> Surface:
    empty = np.zeros((128, 128), np.uint8)
    return Surface(0, np.zeros((128, 128, 3), np.uint8), empty, "wood", "hole", (first, second))


@pytest.mark.parametrize(
    ("first", "second", "larger"),
    [
        (Instance(20, 60, 100), Instance(100, 64, 30), "left"),
        (Instance(20, 60, 30), Instance(100, 64, 100), "right"),
        (Instance(60, 20, 100), Instance(64, 90, 30), "upper"),
        (Instance(60, 20, 30), Instance(64, 90, 100), "lower"),
        (Instance(20, 60, 100), Instance(100, 64, 90), None),  # too alike
        (Instance(20, 20, 100), Instance(90, 90, 30), None),  # neither beside nor above
    ],
)
def test_larger_of_two(first: Instance, second: Instance, larger: str | None) -> None:
    assert _pair(first, second).larger == larger


def test_position_and_larger_need_the_right_number_of_defects(surfaces: list[Surface]) -> None:
    for surface in surfaces:
        assert (surface.position is not None) == (len(surface.instances) == 1)
        assert surface.larger is None or len(surface.instances) == 2


def test_every_kind_material_count_and_place_occurs() -> None:
    drawn = [make_surface(seed) for seed in range(1_000, 1_500)]
    assert {surface.kind for surface in drawn} == set(KINDS)
    assert {surface.surface for surface in drawn} == set(SURFACES)
    assert {len(surface.instances) for surface in drawn} == {0, 1, 2, 3, 4}
    assert {surface.position for surface in drawn} == {*POSITIONS, None}
    grey = [bool((surface.pixels == surface.pixels[..., :1]).all()) for surface in drawn]
    assert 0.45 < sum(grey) / len(grey) < 0.75


def test_subtle_defects_differ_in_strength_alone() -> None:
    for seed in range(40):
        plain, subtle = make_surface(seed), make_surface(seed, subtle=1.0)
        assert plain.surface == subtle.surface
        assert plain.kind == subtle.kind


def test_what_the_default_recipe_reserves_is_absent() -> None:
    for name in (*KINDS, *SURFACES):
        assert not any(word in name.split() for word in RESERVED)
