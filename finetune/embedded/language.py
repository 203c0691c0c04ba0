"""The words of the embedded model: its tokenizer, chat template and processor, all built from our own text."""

from typing import Final

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Idefics3Processor, PreTrainedTokenizerFast
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

from finetune.embedded.architecture import IMAGE_TOKENS
from finetune.embedded.materials import SIDE
from finetune.embedded.questions import draw_questions
from finetune.embedded.surfaces import make_surface
from finetune.embedded.vocabulary import WORDS

VOCABULARY: Final = 1280
BOS, EOS, PAD, IMAGE = "<|im_start|>", "<end_of_utterance>", "<pad>", "<image>"
SPECIAL: Final = (
    PAD, BOS, EOS, "<fake_token_around_image>", IMAGE, "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
)  # fmt: skip
# The template published with SmolVLM: an answer follows "Assistant:" after a blank, and ends with EOS.
CHAT_TEMPLATE: Final = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
# Qwen's split: words with their leading blank, single digits, punctuation, newline runs as one piece.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CORPUS_SEED = 7 * 10**12


def _corpus() -> list[str]:
    rng = np.random.default_rng(_CORPUS_SEED)
    lines: list[str] = []
    for seed in range(_CORPUS_SEED, _CORPUS_SEED + 300):
        for question in draw_questions(make_surface(seed), rng, 8):
            lines.append(f"User:{question.text}\nAssistant: {question.answer}\n")
    words = WORDS.split()
    lines += [" " + " ".join(words)] * 3 + ["\n".join(words), " ".join(word.capitalize() for word in words)]
    return [*lines, *["\n\n"] * 50, *["\n\n\n"] * 20]


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of `VOCABULARY` entries, special tokens first; the same on every call."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        additional_special_tokens=[token for token in SPECIAL if token not in (BOS, EOS, PAD)],
        model_max_length=2048,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def build_processor() -> Idefics3Processor:
    """Tokenizer and image processor: any image becomes 128 x 128 pixels and 16 image tokens."""
    pixels = Idefics3ImageProcessorPil(
        do_image_splitting=False,
        size={"longest_edge": SIDE},
        max_image_size={"longest_edge": SIDE},
    )
    return Idefics3Processor(pixels, build_tokenizer(), image_seq_len=IMAGE_TOKENS, chat_template=CHAT_TEMPLATE)
