"""Random-weight models with the geometry of published ones, offline: both sides of a comparison load the same folder.

    python bench/reference_models.py smolvlm|qwen2_vl OUT

`smolvlm`: SmolVLM-256M-Instruct, a tower of 12 layers x 768 at 512 px (64 image tokens), a language model of 30 layers
x 576. `qwen2_vl`: Qwen2-VL in a small shape, 12 layers x 768 at 336 px (144 image tokens), 24 layers x 576, the
published vocabulary of 151,936 with its special tokens at their published ids, since ms-swift has them written in.
"""

import argparse
import json
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen2VLImageProcessor,
    Qwen2VLProcessor,
    Qwen2VLVideoProcessor,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

SIDES = {"smolvlm": 512, "qwen2_vl": 336}
WORDS = ["Is the cell functional or defective?", "functional", "defective", "User: Assistant: solar cell image"]
WORDS += ["user assistant system You are a helpful assistant."]

SMOL_SPECIAL = ["<|im_start|>", "<end_of_utterance>", "<pad>", "<fake_token_around_image>", "<image>", "<global-img>"]
SMOL_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{% if not loop.first %}{{ '\\n' }}{% endif %}"
    "{{ message['role'] | capitalize }}:"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_utterance>{% endfor %}{% if add_generation_prompt %}{{ '\\n' }}Assistant:{% endif %}"
)

QWEN_SPECIAL = ["endoftext", "im_start", "im_end", "object_ref_start", "object_ref_end", "box_start", "box_end"]
QWEN_SPECIAL += ["quad_start", "quad_end", "vision_start", "vision_end", "vision_pad", "image_pad", "video_pad"]
QWEN_FIRST = 151643
"""Published id of the first special token."""
QWEN_TEMPLATE = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for c in message['content'] %}"
    "{% if c['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% elif 'text' in c %}{{ c['text'] }}"
    "{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def words(special: list[str]) -> Tokenizer:
    """A byte-level tokenizer of a few hundred tokens."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(WORDS * 50, trainer)
    return bpe


def filled(bpe: Tokenizer, size: int) -> Tokenizer:
    """The same with ordinary tokens that no text has, up to `size`; added tokens would load many times slower."""
    told = json.loads(bpe.to_str())
    told["model"]["vocab"] |= {f"\u2400{number}": number for number in range(bpe.get_vocab_size(), size)}
    return Tokenizer.from_str(json.dumps(told))


def smolvlm(out: Path) -> None:
    """Writes the SmolVLM-256M geometry."""
    side, patch, factor = SIDES["smolvlm"], 16, 4
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words(SMOL_SPECIAL),
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<pad>",
        additional_special_tokens=SMOL_SPECIAL[3:],
    )
    longest = {"longest_edge": side}
    processor = SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(do_image_splitting=False, size=longest, max_image_size=longest),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(),
        image_seq_len=(side // patch // factor) ** 2,
        chat_template=SMOL_TEMPLATE,
    )
    vision = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    text = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
    ends = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.bos_token_id}
    ends |= {"eos_token_id": tokenizer.eos_token_id}
    config = SmolVLMConfig(
        vision_config={**vision, "model_type": "smolvlm_vision", "image_size": side, "patch_size": patch},
        text_config={
            **text,
            **ends,
            "model_type": "llama",
            "num_key_value_heads": 3,
            "vocab_size": 49280,
            "max_position_embeddings": 8192,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=factor,
        pad_token_id=tokenizer.pad_token_id,
    )
    _save(SmolVLMForConditionalGeneration(config), processor, out)


def qwen2_vl(out: Path) -> None:
    """Writes the small Qwen2-VL shape."""
    side = SIDES["qwen2_vl"]
    bpe = filled(words([]), QWEN_FIRST)
    special = [f"<|{name}|>" for name in QWEN_SPECIAL]
    bpe.add_special_tokens(special)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=special[1:],
    )
    processor = Qwen2VLProcessor(
        image_processor=Qwen2VLImageProcessor(size={"shortest_edge": side * side, "longest_edge": side * side}),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=QWEN_TEMPLATE,
    )
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in QWEN_SPECIAL}
    vision = {"depth": 12, "embed_dim": 768, "num_heads": 12, "hidden_size": 576, "mlp_ratio": 4, "patch_size": 14}
    text = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 24, "num_attention_heads": 9}
    config = Qwen2VLConfig(
        vision_config={**vision, "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3},
        text_config={
            **text,
            "num_key_value_heads": 3,
            "vocab_size": 151936,
            "max_position_embeddings": 8192,
            "rope_parameters": {"rope_type": "default", "mrope_section": [8, 12, 12], "rope_theta": 1e6},
            "bos_token_id": ids["endoftext"],
            "eos_token_id": ids["im_end"],
            "pad_token_id": ids["endoftext"],
            "tie_word_embeddings": True,
        },
        image_token_id=ids["image_pad"],
        video_token_id=ids["video_pad"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        tie_word_embeddings=True,
    )
    _save(Qwen2VLForConditionalGeneration(config), processor, out)


def _save(model: torch.nn.Module, processor: object, out: Path) -> None:
    model.save_pretrained(out)
    processor.save_pretrained(out)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f} M parameters in {out}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=sorted(SIDES))
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    {"smolvlm": smolvlm, "qwen2_vl": qwen2_vl}[arguments.shape](arguments.out)
