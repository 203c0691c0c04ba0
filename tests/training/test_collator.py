import numpy as np
import pytest
from training import micro

from finetune.errors import DataError
from finetune.models.encoding import Encoder
from finetune.training.collator import Collator, Examples, Item, Pictures


@pytest.fixture
def encoder(loaded):
    return Encoder(loaded.processor, loaded.family)


@pytest.fixture
def root(tmp_path):
    for number in range(3):
        micro.picture(number, (50, 70)).save(tmp_path / f"{number:03d}_0.png")
    return tmp_path


def test_pixels_are_those_of_a_fresh_decode(encoder, root):
    """Shrinking while decoding changes nothing that the model sees."""
    example = micro.example(1)
    ours = Collator(encoder, Pictures(encoder, root), "none", seed=0)([Item(example, 0)])
    plain = encoder.supervised([example], [[micro.picture(1, (50, 70))]])
    assert all(np.array_equal(ours[name], plain[name]) for name in plain)
    assert ours["ids"] == ["e1"]


def test_an_image_is_decoded_once_while_memory_allows(encoder, root):
    pictures = Pictures(encoder, root)
    first = pictures(micro.example(0))
    assert first[0].size == (22, 32)  # 50 x 70, longest edge 32, even width
    assert pictures(micro.example(0)) is first
    none_left = Pictures(encoder, root, cache_bytes=3 * 22 * 32 - 1)
    assert none_left(micro.example(0)) is not none_left(micro.example(0))


def test_augmentation_depends_on_the_epoch(encoder, root):
    collator = Collator(encoder, Pictures(encoder, root), "inspection", seed=0)
    first, again, later = (collator([Item(micro.example(1), epoch)])["pixel_values"].numpy() for epoch in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, later)


def test_examples_carry_their_epoch():
    examples = Examples([micro.example(0), micro.example(1)])
    examples.epoch = 4
    assert examples[1] == (micro.example(1), 4, True)
    assert len(examples) == 2


def test_a_missing_image_names_the_example(encoder, root):
    with pytest.raises(DataError, match=r"example 'e9' \(no row\): image '009_0.png' does not exist"):
        Pictures(encoder, root)(micro.example(9))


def test_what_is_encoded_without_pixels_is_met_once_with_them(encoder, root):
    met = []
    collator = Collator(
        encoder, Pictures(encoder, root), "none", seed=0, pixels=False, meet=lambda *told: met.append(told)
    )
    for _ in range(2):
        batch = collator([Item(micro.example(1), 0)])
        assert "pixel_values" not in batch
    [(example, images, inputs)] = met
    assert (example, images) == (micro.example(1), collator.pictures(micro.example(1)))
    assert np.array_equal(inputs["pixel_values"], encoder.vision(images[0])["pixel_values"])
