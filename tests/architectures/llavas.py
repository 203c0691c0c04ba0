"""LLaVA and what followed it: a tower, a projector, a language model."""

from typing import Any

from architectures import sizes, words
from architectures.sizes import PATCH, SIDE
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextProcessor,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionProcessor,
    LlavaOnevisionVideoProcessor,
    LlavaProcessor,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PixtralProcessor,
)
from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.pixtral.image_processing_pixtral import PixtralImageProcessor

CROP = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
SQUARE = {"size": {"height": SIDE, "width": SIDE}}
PINPOINTS = [[SIDE, 2 * SIDE], [2 * SIDE, SIDE], [2 * SIDE, 2 * SIDE], [SIDE, 3 * SIDE]]
CUT = {"vision_feature_select_strategy": "default", "patch_size": PATCH}


def llava() -> tuple[Any, Any]:
    """CLIP tower and Llama, as LLaVA 1.5: its template puts no end token after an answer."""
    known = words.tokenizer(["<image>"], pad="<pad>", bos="<s>", eos="</s>", adds_bos=True)
    config = LlavaConfig(
        vision_config=sizes.vision(),
        text_config=sizes.text(known),
        image_token_id=known.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=False,
    )
    images = LlavaImageProcessorPil(**CROP)
    more = {"num_additional_image_tokens": 1, "chat_template": words.vicuna("<image>")}
    return LlavaForConditionalGeneration(config), LlavaProcessor(images, known, **CUT, **more)


def llava_next() -> tuple[Any, Any]:
    """Tiles by aspect ratio, Mistral's template."""
    known = words.tokenizer(["<image>", "[INST]", "[/INST]"], pad="<pad>", bos="<s>", eos="</s>", adds_bos=True)
    config = LlavaNextConfig(
        vision_config=sizes.vision(),
        text_config=sizes.text(known, "mistral"),
        image_token_id=known.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-2,
        image_grid_pinpoints=PINPOINTS,
        image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=False,
    )
    images = LlavaNextImageProcessorPil(**CROP, image_grid_pinpoints=PINPOINTS)
    more = {"num_additional_image_tokens": 1, "chat_template": words.mistral("<image>\n")}
    return LlavaNextForConditionalGeneration(config), LlavaNextProcessor(images, known, **CUT, **more)


def llava_onevision() -> tuple[Any, Any]:
    """SigLIP tower and Qwen2."""
    known = words.tokenizer(["<image>", "<video>", "<|im_start|>"], pad="<|endoftext|>", eos="<|im_end|>")
    config = LlavaOnevisionConfig(
        vision_config=sizes.vision("siglip_vision_model"),
        text_config=sizes.text(known, "qwen2"),
        image_token_id=known.convert_tokens_to_ids("<image>"),
        video_token_id=known.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=PINPOINTS,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )
    images = LlavaOnevisionImageProcessorPil(**SQUARE, image_grid_pinpoints=PINPOINTS)
    processor = LlavaOnevisionProcessor(
        images,
        known,
        LlavaOnevisionVideoProcessor(**SQUARE),
        num_image_tokens=(SIDE // PATCH) ** 2,
        vision_feature_select_strategy="full",
        chat_template=words.chatml("<image>\n"),
    )
    return LlavaOnevisionForConditionalGeneration(config), processor


def _pixtral(known: Any, merge: int) -> Any:
    images = PixtralImageProcessor(size={"longest_edge": 2 * SIDE}, patch_size={"height": PATCH, "width": PATCH})
    template = words.mistral("[IMG]", "{{ bos_token }}")
    return PixtralProcessor(images, known, patch_size=PATCH, spatial_merge_size=merge, chat_template=template)


def _mistral_words() -> Any:
    special = ["[IMG]", "[IMG_BREAK]", "[IMG_END]", "[INST]", "[/INST]"]
    return words.tokenizer(special, pad="<pad>", bos="<s>", eos="</s>", adds_bos=True)


def mistral3() -> tuple[Any, Any]:
    """Mistral Small: Pixtral tower whose patches are merged two by two."""
    known = _mistral_words()
    config = Mistral3Config(
        vision_config=sizes.vision("pixtral", image_size=2 * SIDE, head_dim=8),
        text_config=sizes.text(known, "mistral"),
        image_token_id=known.convert_tokens_to_ids("[IMG]"),
        vision_feature_layer=-1,
        spatial_merge_size=2,
        tie_word_embeddings=False,
    )
    return Mistral3ForConditionalGeneration(config), _pixtral(known, 2)


def pixtral() -> tuple[Any, Any]:
    """Pixtral 12B, which is a LLaVA with another tower."""
    known = _mistral_words()
    config = LlavaConfig(
        vision_config=sizes.vision("pixtral", image_size=2 * SIDE, head_dim=8),
        text_config=sizes.text(known, "mistral"),
        image_token_id=known.convert_tokens_to_ids("[IMG]"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=False,
    )
    return LlavaForConditionalGeneration(config), _pixtral(known, 1)
