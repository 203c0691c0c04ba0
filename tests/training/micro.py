"""A model of the real architecture, small enough for a test: random weights, its own tokenizer and processor."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from training import micro_qwen
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from finetune.example import Example, ImageRef, Message

SIDE, PATCH, SCALE = 32, 8, 2
SPECIAL = ["<pad>", "<|im_start|>", "<end_of_utterance>", "<fake_token_around_image>", "<image>", "<global-img>"]
TILES = [f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)]
TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize }}"
    "{% if message['content'][0]['type'] == 'image' %}{{ ':' }}{% else %}{{ ': ' }}{% endif %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}"
    "{% elif part['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
WORDS = [
    "User: Is there a defect?<end_of_utterance>\nAssistant: no defect",
    "Assistant: scratch\n\n",
    "a b c yes no",
] * 3


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with a few merges, as the published tokenizers of the family are built."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=SPECIAL + TILES,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(WORDS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", bos_token="<|im_start|>", eos_token="<end_of_utterance>"
    )


def save(folder: Path, model_type: str = "idefics3", seed: int = 0, splitting: bool = False) -> Path:
    """Writes a loadable model folder and returns it."""
    if model_type == "qwen2_vl":
        return micro_qwen.save(folder, seed)
    words = tokenizer()
    ids = {
        "pad_token_id": words.convert_tokens_to_ids("<pad>"),
        "bos_token_id": words.convert_tokens_to_ids("<|im_start|>"),
        "eos_token_id": words.convert_tokens_to_ids("<end_of_utterance>"),
    }
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 256}
    settings = {
        "vision_config": {**vision, "image_size": SIDE, "patch_size": PATCH},
        "text_config": {**text, "vocab_size": len(words), "tie_word_embeddings": True, **ids},
        "scale_factor": SCALE,
        "image_token_id": words.convert_tokens_to_ids("<image>"),
        "tie_word_embeddings": True,
        **ids,
    }
    torch.manual_seed(seed)
    if model_type == "smolvlm":
        model = SmolVLMForConditionalGeneration(SmolVLMConfig(**settings))
    else:
        model = Idefics3ForConditionalGeneration(Idefics3Config(**settings))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:  # larger than the usual 0.02, so that images and questions change the logits visibly
                weight.normal_(0, 0.15, generator=torch.Generator().manual_seed(len(name)))
    model.save_pretrained(folder)
    _processor(model_type, words, splitting).save_pretrained(folder)
    return folder


def _processor(model_type, words, splitting):
    size = {"longest_edge": 2 * SIDE if splitting else SIDE}
    shared = {"size": size, "max_image_size": {"longest_edge": SIDE}, "do_image_splitting": splitting}
    length = (SIDE // PATCH // SCALE) ** 2
    if model_type == "idefics3":
        images = Idefics3ImageProcessorPil(**shared)
        return Idefics3Processor(images, words, image_seq_len=length, chat_template=TEMPLATE)
    from transformers import SmolVLMProcessor
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

    images = SmolVLMImageProcessorPil(**shared)
    video = SmolVLMVideoProcessor(size=size, max_image_size=shared["max_image_size"])
    return SmolVLMProcessor(images, words, video, image_seq_len=length, chat_template=TEMPLATE)


def picture(seed: int, size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    """A random RGB image; size is (width, height)."""
    pixels = np.random.default_rng(seed).integers(1, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def example(number: int = 0, target: str = "no", question: str = "Is there a defect?", images: int = 1) -> Example:
    """One example as `prepare` leaves it."""
    refs = tuple(ImageRef(f"{number:03d}_{index}.png") for index in range(images))
    return Example(f"e{number}", refs, target, f"g{number}", messages=(Message("user", question),))
