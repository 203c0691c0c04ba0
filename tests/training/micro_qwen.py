"""A Qwen2-VL of the real architecture, small enough for a test: random weights, its own tokenizer and processor."""

from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

PATCH, SIDE = 4, 32
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
SPECIAL += ["<|image_pad|>", "<|video_pad|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
WORDS = ["user\nIs there a defect?", "assistant\nno defect", "assistant\nscratch\n\n", "a b c yes no"] * 3


def tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE behind the pre-tokenizer of the published one, with newline merges."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=380,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(WORDS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=bpe, pad_token="<|endoftext|>", eos_token="<|im_end|>")


def save(folder: Path, seed: int = 0) -> Path:
    """Writes a loadable model folder and returns it."""
    words = tokenizer()
    ids = {name.strip("<|>"): words.convert_tokens_to_ids(name) for name in SPECIAL}
    vision = {"depth": 2, "embed_dim": 16, "num_heads": 2, "hidden_size": 32, "mlp_ratio": 2, "patch_size": PATCH}
    text = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    text |= {"num_key_value_heads": 1, "max_position_embeddings": 512, "vocab_size": len(words)}
    text |= {"rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4}}
    ends = {"bos_token_id": ids["endoftext"], "eos_token_id": ids["im_end"], "pad_token_id": ids["endoftext"]}
    config = Qwen2VLConfig(
        vision_config={**vision, "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3},
        text_config={**text, **ends, "tie_word_embeddings": True},
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = Qwen2VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = ids["im_end"]
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:  # larger than the usual 0.02, so that images and questions change the logits visibly
                weight.normal_(0, 0.15, generator=torch.Generator().manual_seed(len(name)))
    model.save_pretrained(folder)
    size = {"shortest_edge": SIDE * SIDE, "longest_edge": 4 * SIDE * SIDE}
    images = Qwen2VLImageProcessorPil(size=size, patch_size=PATCH)
    video = Qwen2VLVideoProcessor(size=size, patch_size=PATCH)
    Qwen2VLProcessor(images, words, video, chat_template=TEMPLATE).save_pretrained(folder)
    return folder
