"""How data and model fit: what shrinking an image does to its defects is told."""

import pytest
from PIL import Image
from training import micro

from finetune.config import Config, HardwareConfig, ModelConfig
from finetune.example import Example, ImageRef, Message
from finetune.preflight.data import Measured, Prepared
from finetune.preflight.model import fit
from finetune.preflight.problems import Problems

TOKENS = (micro.SIDE // micro.PATCH // micro.SCALE) ** 2 + 3
"""Of an image of any size: the micro model shrinks each to 32 x 32 pixels, and reads 2 x 2 tokens and 3 around them."""


@pytest.mark.parametrize(
    ("defects", "told"),
    [
        (
            (24.0, 100.0),
            ["1 of 2 annotated defects are smaller than what one image token stands for: the smallest is 24"],
        ),
        ((10.0, 20.0), ["2 of 2 annotated defects are smaller"]),
        ((25.0,), []),
        ((), []),
    ],
)
def test_defects_smaller_than_an_image_token_are_told(tmp_path, defects, told):
    """64 x 64 pixels on 7 tokens: a token stands for a square of 24.2 pixels."""
    folder = micro.save(tmp_path / "model")
    Image.new("RGB", (64, 64)).save(tmp_path / "part.png")
    asked = Example("e", (ImageRef("part.png"),), "yes", "part", (Message("user", "Is there a defect?"),), "train")
    problems = Problems()
    fitted = fit(
        Config(model=ModelConfig(path=str(folder)), hardware=HardwareConfig(device="cpu")),
        Prepared(tmp_path, {}, [], [asked], honest=True),
        Measured((64,), (0.0,), defects),
        problems,
    )
    assert fitted.pixels_a_token == pytest.approx((64 * 64 / TOKENS) ** 0.5)
    assert len(problems.warnings) == len(told)
    assert all(text in warning for text, warning in zip(told, problems.warnings, strict=True))
