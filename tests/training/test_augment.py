import numpy as np
import pytest
from PIL import Image
from training import micro

from finetune.config.schema import AUGMENTS
from finetune.training.augment import AUGMENTATIONS, augment, flips, generator


def test_the_menu_at_the_door_is_the_menu():
    assert tuple(AUGMENTATIONS) == AUGMENTS


def pixels(image):
    return np.asarray(image)


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS))
def test_the_key_alone_decides(name):
    image = micro.picture(1)
    first, again = (augment(name, [image], generator(3, 2, "a"))[0] for _ in range(2))
    assert np.array_equal(pixels(first), pixels(again))
    assert first.size == image.size
    assert first.mode == "RGB"


@pytest.mark.parametrize("name", ["flips", "inspection", "upright"])
def test_seed_epoch_and_sample_each_matter(name):
    image = micro.picture(1)
    keys = [(0, 0, "a"), (1, 0, "a"), (0, 1, "a"), (0, 0, "b")]
    streams = [
        [pixels(AUGMENTATIONS[name](image, random)).tobytes() for _ in range(12)] for random in map(_generator, keys)
    ]
    assert len({tuple(stream) for stream in streams}) == 4


def _generator(key):
    return generator(*key)


def test_flips_are_the_eight_symmetries():
    image = micro.picture(2)
    original = pixels(image)
    turned = [np.rot90(original, k) for k in range(4)]
    expected = {array.tobytes() for array in (*turned, *(np.fliplr(array) for array in turned))}
    random = generator(0, 0, "x")
    assert {pixels(flips(image, random)).tobytes() for _ in range(200)} == expected
    assert len(expected) == 8


def test_inspection_stays_close_to_the_part():
    """A flat grey stays flat grey up to the stated light: no black corners come in from turning and shifting."""
    grey = Image.new("RGB", (64, 48), (128, 128, 128))
    for sample in range(30):
        changed = pixels(augment("inspection", [grey], generator(0, 0, str(sample)))[0]).astype(float)
        # 0.5 ** (1/0.8 .. 1/1.25 as exponent) = 0.42..0.57; contrast 15 % of that and brightness 15 %: 0.26..0.74
        assert 60 < changed.mean() < 195
        assert changed.std() < 4  # noise of at most 3 grey levels


def test_upright_mirrors_and_turns_nothing():
    image = Image.new("RGB", (60, 40), (40, 40, 40))
    image.paste((220, 220, 220), (0, 0, 30, 20))  # the upper left quarter alone is bright
    for sample in range(40):
        (changed,) = augment("upright", [image], generator(0, 0, str(sample)))
        grey = pixels(changed).astype(float).mean(axis=2)
        quarters = [part.mean() for half in np.split(grey, 2) for part in np.split(half, 2, axis=1)]
        assert changed.size == image.size
        assert quarters[0] > 1.5 * max(quarters[1:])


def test_none_changes_nothing():
    image = micro.picture(4)
    assert augment("none", [image], generator(0, 0, "a"))[0] is image


def test_the_global_generator_is_neither_read_nor_moved():
    np.random.seed(1)
    before = np.random.get_state()[1].tolist()
    augment("inspection", [micro.picture(1)], generator(0, 0, "a"))
    assert np.random.get_state()[1].tolist() == before
