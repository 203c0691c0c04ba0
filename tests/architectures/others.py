"""InternVL, Llama, Gemma and DeepSeek: each with a tower of its own."""

from typing import Any

from architectures import sizes, words
from architectures.sizes import PATCH, SIDE
from transformers import (
    DeepseekVLConfig,
    DeepseekVLForConditionalGeneration,
    DeepseekVLProcessor,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Gemma4AudioFeatureExtractor,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4Processor,
    Gemma4VideoProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    Llama4Config,
    Llama4ForConditionalGeneration,
    Llama4ImageProcessor,
    Llama4Processor,
    MllamaConfig,
    MllamaForConditionalGeneration,
    MllamaProcessor,
)
from transformers.models.deepseek_vl.image_processing_pil_deepseek_vl import DeepseekVLImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.mllama.image_processing_pil_mllama import MllamaImageProcessorPil

SQUARE = {"size": {"height": SIDE, "width": SIDE}}


def internvl() -> tuple[Any, Any]:
    """Tiles and a thumbnail, pixel shuffle, Qwen2."""
    attributes = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    attributes |= {"video_token": "<video>"}
    known = words.tokenizer(["<|im_start|>"], pad="<|endoftext|>", eos="<|im_end|>", attributes=attributes)
    length = (SIDE // PATCH // 2) ** 2
    square = {"image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]}
    config = InternVLConfig(
        vision_config=sizes.vision("internvl_vision", **square),
        text_config=sizes.text(known, "qwen2"),
        image_token_id=known.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=length,
        tie_word_embeddings=False,
    )
    images = GotOcr2ImageProcessorPil(**SQUARE, crop_to_patches=True, max_patches=4)
    video = InternVLVideoProcessor(**SQUARE)
    template = words.chatml("<IMG_CONTEXT>\n")
    processor = InternVLProcessor(images, known, video, image_seq_length=length, chat_template=template)
    return InternVLForConditionalGeneration(config), processor


def mllama() -> tuple[Any, Any]:
    """Llama 3.2 Vision: the second of three layers attends to the image."""
    special = ["<|start_header_id|>", "<|end_header_id|>", "<|image|>", "<|python_tag|>"]
    known = words.tokenizer(special, pad="<|finetune_right_pad_id|>", bos="<|begin_of_text|>", eos="<|eot_id|>")
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_global_layers": 1}
    vision |= {"attention_heads": 2, "image_size": SIDE, "patch_size": PATCH, "intermediate_layers_indices": [0]}
    config = MllamaConfig(
        vision_config=vision | {"vision_output_dim": 32, "max_num_tiles": 4},
        text_config=sizes.text(known, "mllama_text_model", num_hidden_layers=3, cross_attention_layers=[1])
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        image_token_index=known.convert_tokens_to_ids("<|image|>"),
    )
    images = MllamaImageProcessorPil(**SQUARE, max_image_tiles=4)
    return MllamaForConditionalGeneration(config), MllamaProcessor(images, known, words.llama("<|image|>"))


def llama4() -> tuple[Any, Any]:
    """Tiles with separators, experts in every second layer."""
    special = ["<|header_start|>", "<|header_end|>", "<|image|>", "<|image_start|>", "<|image_end|>", "<|patch|>"]
    special += ["<|tile_x_separator|>", "<|tile_y_separator|>"]
    known = words.tokenizer(special, pad="<|finetune_right_pad|>", bos="<|begin_of_text|>", eos="<|eot|>")
    vision = sizes.vision("llama4_vision_model", intermediate_size=64, vision_output_dim=64, projector_input_dim=64)
    vision |= {"projector_output_dim": 64, "pixel_shuffle_ratio": 0.5, "rope_parameters": {"rope_type": "default"}}
    experts = {"num_local_experts": 2, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2}
    experts |= {"intermediate_size_mlp": 48, "attention_chunk_size": 512, "for_llm_compressor": False}
    config = Llama4Config(
        vision_config=vision,
        text_config=sizes.text(known, "llama4_text", **experts),
        image_token_index=known.convert_tokens_to_ids("<|patch|>"),
        boi_token_index=known.convert_tokens_to_ids("<|image_start|>"),
        eoi_token_index=known.convert_tokens_to_ids("<|image_end|>"),
    )
    template = words.llama("<|image|>", "<|header_start|>", "<|header_end|>", "<|eot|>")
    images = Llama4ImageProcessor(**SQUARE, max_patches=4)
    processor = Llama4Processor(images, known, patch_size=PATCH, chat_template=template)
    return Llama4ForConditionalGeneration(config), processor


def gemma3() -> tuple[Any, Any]:
    """SigLIP, pooled; a sliding and a full layer; the image block sees itself in both directions."""
    attributes = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    special = ["<start_of_turn>", "<end_of_turn>"]
    known = words.tokenizer(
        special, pad="<pad>", bos="<bos>", eos="<end_of_turn>", adds_bos=True, attributes=attributes
    )
    layers = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
    config = Gemma3Config(
        vision_config=sizes.vision("siglip_vision_model"),
        text_config=sizes.text(known, "gemma3_text", **layers, query_pre_attn_scalar=16),
        mm_tokens_per_image=4,
        boi_token_index=known.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=known.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=known.convert_tokens_to_ids("<image_soft_token>"),
        tie_word_embeddings=False,
    )
    images = Gemma3ImageProcessorPil(**SQUARE, image_seq_length=4)
    template = words.gemma("<start_of_image>")
    processor = Gemma3Processor(images, known, chat_template=template, image_seq_length=4)
    return Gemma3ForConditionalGeneration(config), processor


def gemma4(**more: Any) -> tuple[Any, Any]:
    """All that the published sizes do in one: embeddings for every layer, shared keys, an image block that sees itself.

    Args:
        more: settings of the language model that replace these.
    """
    attributes = {"boi_token": "<|image>", "eoi_token": "<image|>", "image_token": "<|image|>"}
    attributes |= {"boa_token": "<|audio>", "eoa_token": "<audio|>", "audio_token": "<|audio|>"}
    special = ["<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|video|>"]
    known = words.tokenizer(special, pad="<pad>", bos="<bos>", eos="<eos>", adds_bos=True, attributes=attributes)
    layers = ["sliding_attention", "full_attention", "sliding_attention", "full_attention"]
    text = {"layer_types": layers, "num_hidden_layers": 4, "num_kv_shared_layers": 2, "use_double_wide_mlp": True}
    text |= {"sliding_window": 8, "global_head_dim": 32, "num_global_key_value_heads": 1, "attention_k_eq_v": True}
    text |= {"hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": len(known)}
    text |= {"use_bidirectional_attention": "vision", "final_logit_softcapping": 30.0}
    patches = {"patch_size": 4, "pooling_kernel_size": 2}
    vision = {**patches, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"num_key_value_heads": 2, "head_dim": 8, "position_embedding_size": 256, "use_clipped_linears": True}
    audio = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "output_proj_dims": 16}
    ids = {f"{name}_id": token for name, token in attributes.items() if name != "eoa_token"}
    ids |= {"eoa_token_index": "<audio|>", "video_token_id": "<|video|>"}
    config = Gemma4Config(
        vision_config={**vision, "standardize": True},
        text_config=sizes.text(known, "gemma4_text", **text | more),
        audio_config={**audio, "subsampling_conv_channels": [8, 4]},
        tie_word_embeddings=False,
        **{name: known.convert_tokens_to_ids(token) for name, token in ids.items()},
    )
    processor = Gemma4Processor(
        Gemma4AudioFeatureExtractor(),
        Gemma4ImageProcessorPil(**patches, max_soft_tokens=70),
        known,
        Gemma4VideoProcessor(**patches, max_soft_tokens=70),
        chat_template=words.gemma_thinking("<|image|>"),
    )
    model = Gemma4ForConditionalGeneration(config)
    model.generation_config.eos_token_id = [known.convert_tokens_to_ids(token) for token in ("<eos>", "<turn|>")]
    return model, processor


def deepseek_vl() -> tuple[Any, Any]:
    """SigLIP and Llama, plain words around the turns."""
    known = words.tokenizer(
        [], pad="<pad>", bos="<bos>", eos="<eos>", adds_bos=True, attributes={"image_token": "<image_placeholder>"}
    )
    config = DeepseekVLConfig(
        vision_config=sizes.vision("siglip_vision_model"),
        text_config=sizes.text(known),
        image_token_id=known.convert_tokens_to_ids("<image_placeholder>"),
        tie_word_embeddings=False,
    )
    images = DeepseekVLImageProcessorPil(**SQUARE)
    template = words.deepseek("<image_placeholder>")
    tokens = (SIDE // PATCH) ** 2
    processor = DeepseekVLProcessor(images, known, chat_template=template, num_image_tokens=tokens)
    return DeepseekVLForConditionalGeneration(config), processor
