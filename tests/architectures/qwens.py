"""Towers that take images of any size, with positions on three axes in the language model."""

from typing import Any

from architectures import sizes, words
from transformers import (
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vProcessor,
    Glm4vVideoProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.models.glm4v.image_processing_pil_glm4v import Glm4vImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

PATCH = 4
SIZE = {"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
SPECIAL = ["<|im_start|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
MROPE = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}
INPUT = {"patch_size": PATCH, "temporal_patch_size": 2, "spatial_merge_size": 2, "in_channels": 3}


def _words() -> Any:
    return words.tokenizer(SPECIAL, pad="<|endoftext|>", eos="<|im_end|>")


def _ids(known: Any) -> dict[str, Any]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {key: known.convert_tokens_to_ids(token) for key, token in names.items()} | {"tie_word_embeddings": False}


def _text(known: Any, kind: str, **more: Any) -> dict[str, Any]:
    return sizes.text(known, kind, rope_parameters=MROPE, **more)


def qwen2_vl() -> tuple[Any, Any]:
    """A small Qwen2-VL."""
    known = _words()
    vision = {**INPUT, "depth": 2, "embed_dim": 16, "num_heads": 2, "hidden_size": 32, "mlp_ratio": 2}
    config = Qwen2VLConfig(vision_config=vision, text_config=_text(known, "qwen2_vl_text"), **_ids(known))
    images, video = Qwen2VLImageProcessorPil(size=SIZE, patch_size=PATCH), Qwen2VLVideoProcessor(patch_size=PATCH)
    processor = Qwen2VLProcessor(images, known, video, chat_template=words.chatml(IMAGE))
    return Qwen2VLForConditionalGeneration(config), processor


def qwen2_5_vl() -> tuple[Any, Any]:
    """Windowed attention in the tower."""
    known = _words()
    vision = {**INPUT, "depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
    vision |= {"window_size": 16, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(vision_config=vision, text_config=_text(known, "qwen2_5_vl_text"), **_ids(known))
    images, video = Qwen2VLImageProcessorPil(size=SIZE, patch_size=PATCH), Qwen2VLVideoProcessor(patch_size=PATCH)
    processor = Qwen2_5_VLProcessor(images, known, video, chat_template=words.chatml(IMAGE))
    return Qwen2_5_VLForConditionalGeneration(config), processor


def _third(known: Any) -> Any:
    images, video = Qwen2VLImageProcessorPil(size=SIZE, patch_size=PATCH), Qwen3VLVideoProcessor(patch_size=PATCH)
    return Qwen3VLProcessor(images, known, video, chat_template=words.chatml(IMAGE))


def _third_vision(**more: Any) -> dict[str, Any]:
    vision = {**INPUT, "depth": 3, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
    return vision | {"num_position_embeddings": 64} | more


def qwen3_vl() -> tuple[Any, Any]:
    """DeepStack: rows for two deeper layers as well."""
    known = _words()
    config = Qwen3VLConfig(
        vision_config=_third_vision(deepstack_visual_indexes=[0, 1]),
        text_config=_text(known, "qwen3_vl_text"),
        **_ids(known),
    )
    return Qwen3VLForConditionalGeneration(config), _third(known)


def qwen3_5() -> tuple[Any, Any]:
    """Linear attention in three layers of four; here in one of two."""
    known = _words()
    linear = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8}
    linear |= {"linear_value_head_dim": 8, "linear_conv_kernel_dim": 4, "partial_rotary_factor": 0.5}
    linear |= {"layer_types": ["linear_attention", "full_attention"]}
    rope = {**MROPE, "mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5}
    text = sizes.text(known, "qwen3_5_text", **linear, rope_parameters=rope)
    config = Qwen3_5Config(vision_config=_third_vision(), text_config=text, **_ids(known))
    return Qwen3_5ForConditionalGeneration(config), _third(known)


def glm4v() -> tuple[Any, Any]:
    """GLM-4.1V: nothing ends an answer but the next turn's role."""
    special = ["[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|begin_of_image|>", "<|image|>", "<|end_of_image|>"]
    special += ["<|begin_of_video|>", "<|video|>", "<|end_of_video|>"]
    known = words.tokenizer(special, pad="<|endoftext|>", eos="<|endoftext|>")
    names = {"image_token_id": "<|image|>", "video_token_id": "<|video|>"}
    names |= {"image_start_token_id": "<|begin_of_image|>", "image_end_token_id": "<|end_of_image|>"}
    names |= {"video_start_token_id": "<|begin_of_video|>", "video_end_token_id": "<|end_of_video|>"}
    vision = {**INPUT, "depth": 2, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32}
    config = Glm4vConfig(
        vision_config=vision | {"image_size": 64, "rms_norm_eps": 1e-5},
        text_config=_text(known, "glm4v_text", partial_rotary_factor=1.0),
        tie_word_embeddings=False,
        **{key: known.convert_tokens_to_ids(token) for key, token in names.items()},
    )
    images, video = Glm4vImageProcessorPil(size=SIZE, patch_size=PATCH), Glm4vVideoProcessor(patch_size=PATCH)
    template = words.glm("<|begin_of_image|><|image|><|end_of_image|>")
    model = Glm4vForConditionalGeneration(config)
    model.generation_config.eos_token_id = known.convert_tokens_to_ids(["<|endoftext|>", "<|user|>"])
    return model, Glm4vProcessor(images, known, video, chat_template=template)
