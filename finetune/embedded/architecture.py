"""The shape of the embedded model: a real Idefics3, small enough to train on two cores.

Idefics3 rather than SmolVLM because its processor needs no video part, so `AutoProcessor` loads it without torchvision.
"""

import math
from typing import Any, Final

import torch
from transformers import Idefics3Config, Idefics3ForConditionalGeneration

from finetune.embedded.materials import SIDE

PATCH: Final = 8
GRID: Final = SIDE // PATCH
SCALE: Final = 4
IMAGE_TOKENS: Final = (GRID // SCALE) ** 2
VISION_WIDTH: Final = 192
TEXT_WIDTH: Final = 256


def build_config(
    vocab_size: int, image_token_id: int, pad_id: int, bos_id: int, eos_id: int, vision_layers: int = 5
) -> Idefics3Config:
    """Configuration of the whole model; `vision_layers` is lowered by tests only."""
    special: dict[str, Any] = {"pad_token_id": pad_id, "bos_token_id": bos_id, "eos_token_id": eos_id}
    return Idefics3Config(
        vision_config={
            "hidden_size": VISION_WIDTH,
            "intermediate_size": 4 * VISION_WIDTH,
            "num_hidden_layers": vision_layers,
            "num_attention_heads": 3,
            "image_size": SIDE,
            "patch_size": PATCH,
            "hidden_act": "relu",  # a seventh faster than GELU on a CPU, forward and backward together
        },
        text_config={
            "model_type": "llama",
            "vocab_size": vocab_size,
            "hidden_size": TEXT_WIDTH,
            "intermediate_size": 3 * TEXT_WIDTH,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 2048,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": True,
            **special,
        },
        scale_factor=SCALE,
        image_token_id=image_token_id,
        tie_word_embeddings=True,
        **special,
    )


def sine_cosine_positions(grid: int, width: int) -> torch.Tensor:
    """Fixed two-dimensional position code `[grid * grid, width]`: half the channels for rows, half for columns."""
    frequency = torch.exp(torch.arange(width // 4) * (-math.log(1000.0) / (width // 4)))
    angle = torch.arange(grid)[:, None] * frequency[None, :]
    axis = torch.cat([angle.sin(), angle.cos()], dim=1)
    rows = axis[:, None, :].expand(grid, grid, -1)
    columns = axis[None, :, :].expand(grid, grid, -1)
    return torch.cat([rows, columns], dim=-1).reshape(grid * grid, width)


def build_model(config: Idefics3Config, seed: int = 0) -> Idefics3ForConditionalGeneration:
    """The model with random weights drawn from `seed`, in fp32, its tower starting from sine-cosine positions."""
    torch.manual_seed(seed)
    model = Idefics3ForConditionalGeneration(config)
    table = model.model.vision_model.embeddings.position_embedding.weight
    with torch.no_grad():
        table.copy_(sine_cosine_positions(GRID, VISION_WIDTH) * 0.3)
    return model


UNSEEN_NORM: Final = 0.8
"""Length of the individual part of an unseen token's embedding: about that of a trained one."""


def spread_unseen(model: Idefics3ForConditionalGeneration, seen: torch.Tensor) -> None:
    """Sets the embeddings of tokens that pretraining never used apart from each other, in place.

    All it ever taught about them was "not this one": one common push, which leaves hundreds of nearly equal rows. In a
    tied embedding they are the output layer too, and fine-tuning could hardly tell a new label from a thousand unused
    words (the loss of a two-label task stalls at 3.6 nats, that is 1 in 37). The common part stays, so they are no
    likelier than before; the individual part, left from the initial values, gets a length of `UNSEEN_NORM`.

    Args:
        model: after pretraining; embedding and output layer share their weight `[vocabulary, width]`.
        seen: ids of the tokens that occurred in questions and answers.
    """
    weight = model.get_input_embeddings().weight
    unseen = torch.ones(len(weight), dtype=torch.bool)
    unseen[seen] = False
    with torch.no_grad():
        common = weight[unseen].mean(0)
        own = weight[unseen] - common
        weight[unseen] = common + own * (UNSEEN_NORM / own.norm(dim=1, keepdim=True).clamp(min=1e-6))
