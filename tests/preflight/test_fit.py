"""How data and model fit: what shrinking an image does to its defects is told."""

import pytest
from architectures import catalogue
from PIL import Image
from training import micro

from finetune.config.schema import Config, HardwareConfig, ModelConfig
from finetune.example import Example, ImageRef, Message
from finetune.preflight import page
from finetune.preflight.data_check import Measured, Prepared
from finetune.preflight.memory_check import fit
from finetune.preflight.problems import Problems


def fitted(tmp_path, defects=(), sizes=((64, 64),), family="idefics3", splitting=False):
    """What a check finds out with the micro model about pictures of these sizes, and what it warns of."""
    folder = tmp_path / "model"
    if family in catalogue.BUILDERS:
        catalogue.save(folder, family)
    else:
        micro.save(folder, family, splitting=splitting)
    examples = []
    for number, size in enumerate(sizes):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
        asked = (Message("user", "Is there a defect?"),)
        examples.append(Example(f"e{number}", (ImageRef(f"{number}.png"),), "yes", "part", asked, "train"))
    problems = Problems()
    found = fit(
        Config(model=ModelConfig(family=family, path=str(folder)), hardware=HardwareConfig(device="cpu")),
        Prepared(tmp_path, {}, [], examples, honest=True),
        Measured((64,), (0.0,), defects),
        problems,
    )
    return found, problems.warnings


@pytest.mark.parametrize(
    ("defects", "told"),
    [
        (
            (24.0, 100.0),
            ["1 of 2 annotated defects are smaller than what one image token stands for: the smallest is 24"],
        ),
        ((10.0, 20.0), ["2 of 2 annotated defects are smaller"]),
        ((31.0,), ["the smallest is 31 px, a token 32 px of the source"]),
        ((32.0,), []),
        ((), []),
    ],
)
def test_defects_smaller_than_an_image_token_are_told(tmp_path, defects, told):
    """64 x 64 pixels become 32 x 32, 4 x 4 patches of 8, 2 x 2 features: each stands for 32 x 32 of the source."""
    found, warnings = fitted(tmp_path, defects)
    assert found.pixels_a_token == 32
    assert len(warnings) == len(told)
    assert all(text in warning for text, warning in zip(told, warnings, strict=True))


@pytest.mark.parametrize("family", ["idefics3", "smolvlm"])
def test_marks_around_an_image_count_for_the_length_and_not_for_the_scale(tmp_path, family):
    """2 x 2 tiles and the whole picture have 4 features each, 20 in all, of 64 x 64 pixels.

    In front of each of the five stand two marks, after each row of tiles a line's end, at the end another mark: 13.
    Without tiles there are 4 features and 3 marks.
    """
    tiled, _ = fitted(tmp_path, family=family, splitting=True)
    assert tiled.pixels_a_token == pytest.approx((64 * 64 / 20) ** 0.5)
    whole, _ = fitted(tmp_path, family=family)
    assert tiled.tokens[0] - whole.tokens[0] == (20 + 13) - (4 + 3)


def test_the_coarsest_picture_counts(tmp_path):
    """96 x 48 pixels on 4 features, more of the source in each than 64 x 64: sqrt(1,152) = 33.9."""
    found, _ = fitted(tmp_path, sizes=((64, 64), (96, 48), (32, 32)))
    assert found.pixels_a_token == pytest.approx(1152**0.5)


@pytest.mark.parametrize("family", ["mllama", "idefics"])
def test_one_token_for_a_whole_image_has_no_scale(tmp_path, family):
    """Its rows come in through cross-attention: a defect of one pixel is no smaller than "what a token stands for"."""
    found, warnings = fitted(tmp_path, (1.0,), family=family)
    assert found.pixels_a_token is None
    assert warnings == []
    assert not any("scale" in line for line in page._scale(found))
