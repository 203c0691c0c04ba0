"""Idefics2, Cohere, Molmo, MiniCPM-V, PaliGemma: processors with rules of their own."""

from typing import Any

from architectures import sizes, words
from architectures.qwens import MROPE
from architectures.sizes import PATCH, SIDE
from transformers import (
    AyaVisionConfig,
    AyaVisionForConditionalGeneration,
    AyaVisionProcessor,
    Cohere2VisionConfig,
    Cohere2VisionForConditionalGeneration,
    Cohere2VisionImageProcessor,
    Cohere2VisionProcessor,
    Idefics2Config,
    Idefics2ForConditionalGeneration,
    Idefics2Processor,
    IdeficsConfig,
    IdeficsForVisionText2Text,
    IdeficsProcessor,
    MiniCPMV4_6Config,
    MiniCPMV4_6ForConditionalGeneration,
    MiniCPMV4_6Processor,
    Molmo2Config,
    Molmo2ForConditionalGeneration,
    Molmo2ImageProcessor,
    Molmo2Processor,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    Phi4MultimodalConfig,
    Phi4MultimodalFeatureExtractor,
    Phi4MultimodalForCausalLM,
    Phi4MultimodalImageProcessor,
    Phi4MultimodalProcessor,
)
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics.image_processing_pil_idefics import IdeficsImageProcessorPil
from transformers.models.idefics2.image_processing_pil_idefics2 import Idefics2ImageProcessorPil
from transformers.models.minicpmv4_6.image_processing_pil_minicpmv4_6 import MiniCPMV4_6ImageProcessorPil
from transformers.models.minicpmv4_6.video_processing_minicpmv4_6 import MiniCPMV4_6VideoProcessor
from transformers.models.molmo2.video_processing_molmo2 import Molmo2VideoProcessor
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

SQUARE = {"size": {"height": SIDE, "width": SIDE}}
TURNS = ["<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>", "<|CHATBOT_TOKEN|>"]


def idefics2() -> tuple[Any, Any]:
    """A perceiver makes four rows of any image."""
    special = ["<fake_token_around_image>", "<image>"]
    known = words.tokenizer(special, pad="<pad>", bos="<s>", eos="<end_of_utterance>", adds_bos=True)
    perceiver = {"hidden_size": 32, "resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2}
    config = Idefics2Config(
        vision_config=sizes.vision("idefics2_vision"),
        perceiver_config=perceiver | {"resampler_head_dim": 8, "num_key_value_heads": 1},
        text_config=sizes.text(known, "mistral"),
        image_token_id=known.convert_tokens_to_ids("<image>"),
    )
    images = Idefics2ImageProcessorPil(size={"shortest_edge": 16, "longest_edge": SIDE}, do_image_splitting=False)
    processor = Idefics2Processor(images, known, image_seq_len=4, chat_template=words.utterances("<image>"))
    return Idefics2ForConditionalGeneration(config), processor


def cohere2_vision() -> tuple[Any, Any]:
    """Command A Vision."""
    attributes = {"boi_token": "<|START_OF_IMG|>", "eoi_token": "<|END_OF_IMG|>", "image_token": "<|IMG_PATCH|>"}
    attributes |= {"img_line_break_token": "<|IMG_LINE_BREAK|>"}
    known = words.tokenizer(
        TURNS, pad="<PAD>", bos="<BOS_TOKEN>", eos="<|END_OF_TURN_TOKEN|>", adds_bos=True, attributes=attributes
    )
    config = Cohere2VisionConfig(
        vision_config=sizes.vision("siglip_vision_model"),
        text_config=sizes.text(known, "cohere2", layer_types=["sliding_attention", "full_attention"]),
        downsample_factor=2,
        image_token_id=known.convert_tokens_to_ids("<|IMG_PATCH|>"),
        alignment_intermediate_size=64,
        tie_word_embeddings=False,
    )
    images = Cohere2VisionImageProcessor(**SQUARE, max_patches=4, patch_size=2)
    processor = Cohere2VisionProcessor(images, known, chat_template=words.cohere("<|IMG_PATCH|>"))
    return Cohere2VisionForConditionalGeneration(config), processor


def aya_vision() -> tuple[Any, Any]:
    """Aya Vision: tiles that are numbered by tokens."""
    special = ["<image>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>", "TILE_GLOBAL"]
    special += [f"TILE_{number}" for number in range(1, 5)]
    known = words.tokenizer(
        [*TURNS, *special], pad="<PAD>", bos="<BOS_TOKEN>", eos="<|END_OF_TURN_TOKEN|>", adds_bos=True
    )
    config = AyaVisionConfig(
        vision_config=sizes.vision("siglip_vision_model"),
        text_config=sizes.text(known, "cohere2", layer_types=["sliding_attention", "full_attention"]),
        downsample_factor=2,
        image_token_index=known.convert_tokens_to_ids("<|IMG_PATCH|>"),
        tie_word_embeddings=False,
    )
    images = GotOcr2ImageProcessorPil(**SQUARE, crop_to_patches=True, max_patches=4)
    processor = AyaVisionProcessor(
        images, known, patch_size=PATCH, img_size=SIDE, downsample_factor=2, chat_template=words.cohere("<image>")
    )
    return AyaVisionForConditionalGeneration(config), processor


def paligemma() -> tuple[Any, Any]:
    """The prompt sees itself in both directions, the answer does not."""
    known = words.tokenizer(["<image>"], pad="<pad>", bos="<bos>", eos="<eos>")
    images = SiglipImageProcessorPil(**SQUARE)
    images.image_seq_length = (SIDE // PATCH) ** 2
    processor = PaliGemmaProcessor(images, known)
    config = PaliGemmaConfig(
        vision_config=sizes.vision("siglip_vision_model", projection_dim=32),
        text_config=sizes.text(known, "gemma"),
        image_token_index=known.convert_tokens_to_ids("<image>"),
        projection_dim=32,
        hidden_size=32,
        tie_word_embeddings=False,
    )
    return PaliGemmaForConditionalGeneration(config), processor


def molmo2() -> tuple[Any, Any]:
    """Features are added to the embedding of the image tokens."""
    special = ["<|im_start|>", "<|image|>", "<|video|>", "<im_patch>", "<im_col>", "<im_start>", "<low_res_im_start>"]
    special += ["<frame_start>", "<im_end>", "<frame_end>", "<im_low>"]
    known = words.tokenizer(special, pad="<|endoftext|>", eos="<|im_end|>")
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2}
    vision |= {"num_key_value_heads": 2, "head_dim": 8, "image_size": [SIDE, SIDE], "patch_size": PATCH}
    adapter = {"vision_feature_layer": [-1, -2], "hidden_size": 16, "num_attention_heads": 2, "head_dim": 8}
    adapter |= {"num_key_value_heads": 2, "intermediate_size": 32, "text_hidden_size": 32}
    names = {"image_start_token_id": "<im_start>", "image_end_token_id": "<im_end>", "image_patch_id": "<im_patch>"}
    names |= {"low_res_image_start_token_id": "<low_res_im_start>", "image_col_id": "<im_col>"}
    names |= {"frame_start_token_id": "<frame_start>", "frame_end_token_id": "<frame_end>"}
    config = Molmo2Config(
        vision_config=vision | {"num_position_embeddings": (SIDE // PATCH) ** 2},
        adapter_config=adapter,
        text_config=sizes.text(known, "molmo2_text", additional_vocab_size=8),
        **{key: known.convert_tokens_to_ids(token) for key, token in names.items()},
    )
    images = Molmo2ImageProcessor(**SQUARE, patch_size=PATCH, max_crops=4, overlap_margins=[1, 1], pooling_size=[2, 2])
    video = Molmo2VideoProcessor(**SQUARE, patch_size=PATCH)
    processor = Molmo2Processor(images, video, known, chat_template=words.chatml("<|image|>"))
    return Molmo2ForConditionalGeneration(config), processor


def minicpmv4_6() -> tuple[Any, Any]:
    """A source picture and slices of it; linear attention in the language model."""
    attributes = {"image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "image_start_token": "<image>"}
    attributes |= {"image_end_token": "</image>", "slice_start_token": "<slice>", "slice_end_token": "</slice>"}
    attributes |= {"image_id_start_token": "<image_id>", "image_id_end_token": "</image_id>"}
    known = words.tokenizer(["<|im_start|>"], pad="<|endoftext|>", eos="<|im_end|>", attributes=attributes)
    linear = {"linear_num_key_heads": 2, "linear_num_value_heads": 2, "linear_key_head_dim": 8}
    linear |= {"linear_value_head_dim": 8, "linear_conv_kernel_dim": 4, "partial_rotary_factor": 0.5}
    linear |= {"layer_types": ["linear_attention", "full_attention"]}
    rope = {**MROPE, "mrope_section": [1, 1, 2], "partial_rotary_factor": 0.5}
    config = MiniCPMV4_6Config(
        vision_config=sizes.vision("minicpmv4_6_vision", insert_layer_id=1, image_size=8 * PATCH),
        text_config=sizes.text(known, "qwen3_5_text", **linear, rope_parameters=rope),
        insert_layer_id=1,
        image_size=8 * PATCH,
        image_token_id=known.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=known.convert_tokens_to_ids("<|video_pad|>"),
    )
    images = MiniCPMV4_6ImageProcessorPil(scale_resolution=8 * PATCH, patch_size=PATCH, max_slice_nums=4)
    video = MiniCPMV4_6VideoProcessor()
    processor = MiniCPMV4_6Processor(images, video, known, chat_template=words.chatml("<|image_pad|>\n"))
    return MiniCPMV4_6ForConditionalGeneration(config), processor


def phi4_multimodal() -> tuple[Any, Any]:
    """Crops of 32 x 32 patches, which its code takes for given; an audio encoder that nothing here reaches."""
    attributes = {"image_token": "<|endoftext10|>", "audio_token": "<|endoftext11|>"}
    special = ["<|user|>", "<|assistant|>"]
    known = words.tokenizer(special, pad="<|endoftext|>", eos="<|end|>", attributes=attributes)
    vision = sizes.vision("phi4_multimodal_vision", image_size=64, patch_size=2, crop_size=64)
    vision |= {"image_token_id": known.convert_tokens_to_ids("<|endoftext10|>")}
    audio = {"hidden_size": 16, "intermediate_size": 16, "num_blocks": 1, "num_attention_heads": 2, "input_size": 8}
    audio |= {"ext_pw_out_channel": 16, "depthwise_separable_out_channel": 16, "nemo_conv_channels": 16}
    audio |= {"feature_layer": -1, "audio_token_id": known.convert_tokens_to_ids("<|endoftext11|>")}
    text = sizes.text(known)
    text = {key: value for key, value in text.items() if key not in ("model_type", "head_dim")}
    config = Phi4MultimodalConfig(vision_config=vision, audio_config=audio, **text)
    images = Phi4MultimodalImageProcessor(size={"height": 64, "width": 64}, patch_size=2, dynamic_hd=4)
    known.chat_template = words.phi("<|endoftext10|>")
    processor = Phi4MultimodalProcessor(images, Phi4MultimodalFeatureExtractor(), known)
    return Phi4MultimodalForCausalLM(config), processor


def idefics() -> tuple[Any, Any]:
    """The Flamingo: a resampler, and a gated layer before every layer."""
    special = ["<fake_token_around_image>", "<image>"]
    known = words.tokenizer(special, pad="<unk>", bos="<s>", eos="<end_of_utterance>", adds_bos=True)
    vision = {"embed_dim": 16, "image_size": SIDE, "patch_size": PATCH, "intermediate_size": 32}
    perceiver = {"use_resampler": True, "resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2}
    text = sizes.text(known)
    text = {key: value for key, value in text.items() if key not in ("model_type", "head_dim", "num_key_value_heads")}
    config = IdeficsConfig(
        vision_config=vision | {"num_hidden_layers": 2, "num_attention_heads": 2},
        perceiver_config=perceiver | {"resampler_head_dim": 8},
        alpha_initializer="ones",
        use_resampler=True,
        **text,
    )
    images = IdeficsImageProcessorPil(image_size=SIDE)
    return IdeficsForVisionText2Text(config), IdeficsProcessor(images, known, image_size=SIDE)
