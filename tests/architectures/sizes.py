"""Sizes that the small models share, and how they are written to a folder."""

import zlib
from pathlib import Path
from typing import Any

import torch

SIDE, PATCH = 32, 8


def text(words: Any, kind: str = "llama", **more: Any) -> dict[str, Any]:
    """Settings of a language model with two layers and a head of its own."""
    found = {"model_type": kind, "vocab_size": len(words), "hidden_size": 32, "intermediate_size": 48}
    found |= {"num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16}
    found |= {"max_position_embeddings": 1024, "tie_word_embeddings": False}
    return found | ends(words) | more


def ends(words: Any) -> dict[str, Any]:
    """Ids of the tokens that every config names."""
    return {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}


def vision(kind: str = "clip_vision_model", **more: Any) -> dict[str, Any]:
    """Settings of a tower with three layers, so that the last but one is not the first."""
    found = {"model_type": kind, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3}
    return found | {"num_attention_heads": 2, "image_size": SIDE, "patch_size": PATCH} | more


def redraw(model: Any, deviation: float = 0.15) -> Any:
    """Draws matrices wider than the usual 0.02 and opens closed gates, so that images change the logits visibly.

    The values depend on the parameter's name alone.
    """
    with torch.no_grad():
        for name, weight in model.named_parameters():
            generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
            if "gate" in name and weight.ndim == 1:
                weight.fill_(0.8)
            elif weight.ndim > 1:
                weight.normal_(0, deviation, generator=generator)
    return model.eval()


def save(folder: Path, model: Any, processor: Any) -> Path:
    """Writes a loadable model folder and returns it."""
    words = processor.tokenizer
    if not isinstance(model.generation_config.eos_token_id, list):
        model.generation_config.eos_token_id = words.eos_token_id
    model.generation_config.pad_token_id = words.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
