"""Tokenizers and chat templates for small models: trained here, split and merged as the published ones are."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen and Llama 3 split: a run of line breaks is one piece whatever follows."""

TEXT = ["user\nIs there a defect?", "assistant\nno defect\n\n", "scratch\n\n\n", "a b c yes no USER: ASSISTANT: "] * 3


@cache
def _trained(special: tuple[str, ...]) -> str:
    bpe = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(SPLIT), behavior="isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300 + len(special),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXT, trainer)
    return bpe.to_str()


def tokenizer(
    special: Sequence[str],
    *,
    pad: str,
    eos: str,
    bos: str | None = None,
    adds_bos: bool = False,
    attributes: Mapping[str, str] | None = None,
) -> PreTrainedTokenizerFast:
    """Byte-level BPE with a few merges.

    Args:
        special: the special tokens, those named below included.
        pad: the padding token.
        eos: the end token of the tokenizer.
        bos: its beginning, or None.
        adds_bos: whether it puts `bos` in front by itself, as Llama's do.
        attributes: attribute of the tokenizer that the processor reads -> token.
    """
    words = Tokenizer.from_str(_trained(tuple(dict.fromkeys([pad, eos, *([bos] if bos else []), *special]))))
    if adds_bos:
        words.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, words.token_to_id(bos))]
        )
    more: dict[str, Any] = {"extra_special_tokens": dict(attributes)} if attributes else {}
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token=pad, eos_token=eos, bos_token=bos, **more)


def _turns(image: str) -> str:
    return (
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '" + image + "' }}"
        "{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    )


def chatml(image: str) -> str:
    """Qwen and InternVL."""
    return (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n" + _turns(image) + "<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def vicuna(image: str) -> str:
    """LLaVA 1.5: a blank after an answer, and no end token."""
    return (
        "{% for message in messages %}{{ message['role'] | upper }}: " + _turns(image + "\n") + " {% endfor %}"
        "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
    )


def mistral(image: str, bos: str = "") -> str:
    """Mistral: `[INST] question [/INST] answer</s>`, BOS from the template where it is given."""
    return (
        bos + "{% for message in messages %}{% if message['role'] == 'user' %}[INST]" + _turns(image) + "[/INST]"
        "{% else %}{{ ' ' + message['content'][0]['text'] + '</s>' }}{% endif %}{% endfor %}"
    )


def llama(
    image: str, start: str = "<|start_header_id|>", end: str = "<|end_header_id|>", eot: str = "<|eot_id|>"
) -> str:
    """Llama 3 and 4: headers, and BOS from the template."""
    return (
        "{{ bos_token }}{% for message in messages %}"
        + start
        + "{{ message['role'] }}"
        + end
        + "\n\n"
        + _turns(image)
        + eot
        + "{% endfor %}{% if add_generation_prompt %}"
        + start
        + "assistant"
        + end
        + "\n\n{% endif %}"
    )


def gemma(image: str, start: str = "<start_of_turn>", end: str = "<end_of_turn>") -> str:
    """Gemma: turns named model and user, answers trimmed, BOS from the template."""
    return (
        "{{ bos_token }}{% for message in messages %}" + start + "{{ 'model' if message['role'] == 'assistant' else "
        "message['role'] }}\n{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        + image
        + "{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}"
        + end
        + "\n{% endfor %}"
        "{% if add_generation_prompt %}" + start + "model\n{% endif %}"
    )


def gemma_thinking(image: str) -> str:
    """Gemma 4: answers lose their thinking; here a prompt ends in an empty chain of thought, the harder case."""
    return (
        "{{ bos_token }}{% for message in messages %}<|turn>{{ 'model' if message['role'] == 'assistant' else "
        "message['role'] }}\n{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        + image
        + "{% elif message['role'] == 'assistant' %}{{ part['text'].split('<channel|>')[-1] | trim }}"
        "{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}<turn|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|turn>model\n<|channel>thought\n<channel|>{% endif %}"
    )


def cohere(image: str) -> str:
    """Command and Aya: turns between tokens, BOS from the template."""
    return (
        "{{ bos_token }}{% for message in messages %}<|START_OF_TURN_TOKEN|>{% if message['role'] == 'user' %}"
        "<|USER_TOKEN|>{% else %}<|CHATBOT_TOKEN|>{% endif %}" + _turns(image) + "<|END_OF_TURN_TOKEN|>{% endfor %}"
        "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"
    )


def deepseek(image: str) -> str:
    """DeepSeek-VL: plain words and the end-of-sentence token."""
    return (
        "{% for message in messages %}{% if message['role'] == 'user' %}User: " + _turns(image) + "\n\n{% else %}"
        "Assistant: {{ message['content'][0]['text'] }}<eos>{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}Assistant:{% endif %}"
    )


def glm(image: str) -> str:
    """GLM-4.1V: a turn begins with its role, and nothing ends an answer."""
    return (
        "[gMASK]<sop>{% for message in messages %}<|{{ message['role'] }}|>\n" + _turns(image) + "{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    )


def phi(image: str) -> str:
    """Phi-4."""
    return (
        "{% for message in messages %}<|{{ message['role'] }}|>" + _turns(image) + "<|end|>{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )


def utterances(image: str) -> str:
    """Idefics2: `User:` and `Assistant:`, each turn closed by its token."""
    return (
        "{% for message in messages %}{{ message['role'] | capitalize }}:"
        "{% if message['content'][0]['type'] == 'text' %}{{ ' ' }}{% endif %}"
        + _turns(image)
        + "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
    )
