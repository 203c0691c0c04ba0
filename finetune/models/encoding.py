"""Text and pixels to tensors: prompts, labels by character span, and the planning of lengths before anything is run."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from finetune.errors import ConfigError, DataError
from finetune.example import Example, Message
from finetune.families._base import Family

if TYPE_CHECKING:
    from PIL.Image import Image

IGNORED = -100
"""Label of positions that carry no loss, as in torch's cross entropy."""

JOINER = "\u2060"
"""Word joiner, invisible and without width: put inside special tokens that occur in data, so that they stay text."""


@dataclass(frozen=True)
class Supervision:
    """What the loss sees of one encoded batch, for the eyes of the user before step 1."""

    texts: tuple[str, ...]
    share: float


class Encoder:
    """Turns examples into model inputs for one processor and family.

    Every image costs `family.image_tokens`; nothing is ever truncated.

    Args:
        processor: the loaded multimodal processor, with tokenizer, image processor and chat template.
        family: the description of the architecture.
        marks: special tokens that an answer is written with, and that stay in one that is decoded.
    """

    def __init__(self, processor: Any, family: Family, marks: Sequence[str] = ()) -> None:
        """Reads the special tokens once."""
        self._marks = frozenset(marks)
        self.processor = processor
        self.family = family
        self.tokenizer = processor.tokenizer
        self._special: list[str] = []
        self.escape = lru_cache(maxsize=4096)(self._escape_uncached)
        self._render = lru_cache(maxsize=4096)(self._render_uncached)
        self._answer = lru_cache(maxsize=4096)(self._answer_uncached)
        added = {token.content for token in self.tokenizer.added_tokens_decoder.values()}
        self.end_token = self._end_token(added)
        self.end_id: int = self.tokenizer.convert_tokens_to_ids(self.end_token)
        self.image_id: int = self.tokenizer.convert_tokens_to_ids(family.soft_token or family.image_token)
        longest_first = sorted(added | {family.image_token, self.end_token}, key=len, reverse=True)
        self._special = [token for token in longest_first if len(token) > 1]
        self.escape.cache_clear()

    def _escape_uncached(self, text: str, answer: bool = False) -> str:
        """Keeps special tokens that stand in data from becoming tokens: `<image>` gets a word joiner after its `<`.

        The marks of a notation stay what they are in an `answer`.
        """
        spared = self._marks if answer else frozenset()
        # one pattern of 150,000 takes seconds
        found = [re.escape(token) for token in self._special if token in text and token not in spared]
        return re.sub("|".join(found), lambda match: match[0][0] + JOINER + match[0][1:], text) if found else text

    def decode(self, ids: Sequence[int]) -> str:
        """The text of an answer that a model wrote, with the marks of its notation and no other special token."""
        if not self._marks:
            return self.unescape(str(self.tokenizer.decode(ids, skip_special_tokens=True)))
        spared = {self.tokenizer.convert_tokens_to_ids(mark) for mark in self._marks}
        dropped = set(self.tokenizer.all_special_ids) - spared
        shown = [token for token in ids if token not in dropped]
        return self.unescape(str(self.tokenizer.decode(shown, skip_special_tokens=False)))

    def unescape(self, text: str) -> str:
        """Undoes `escape` in text that a model wrote."""
        return text.replace(JOINER, "") if JOINER in text else text

    def prompt(self, example: Example) -> str:
        """The rendered text up to where the answer begins; images are placeholders at the start of the user's turn."""
        return self._render(example.messages, len(example.images), None)

    def full(self, example: Example) -> str:
        """The rendered text of prompt and answer, cut after the end token.

        Raises:
            DataError: the template changes the answer, or the prompt before it; names the example.
        """
        with _naming(example):
            return self._full(example.messages, len(example.images), example.target)

    def supervised(self, examples: Sequence[Example], images: Sequence[Sequence["Image"]]) -> dict[str, Tensor]:
        """Encodes prompts with answers, right padded.

        Returns:
            the model's inputs and `labels` [batch, tokens]: the answer with its end token, -100 elsewhere. Its start is
            found by characters: the tokens of a prefix need not be a prefix of the tokens.

        Raises:
            DataError: a token straddles the start of the answer, or an image token would be a label.
        """
        texts = [self.full(example) for example in examples]
        batch = self._process([self.prompt(example) for example in examples], texts, images)
        spans = batch.pop("offset_mapping").tolist()
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        labels = torch.full_like(batch["input_ids"], IGNORED)
        for row, (example, text) in enumerate(zip(examples, texts, strict=True)):
            tail = len(text) - len(self.prompt(example))
            with _naming(example):
                start = _first_label(spans[row][: lengths[row]], tail)
            labels[row, start : lengths[row]] = batch["input_ids"][row, start : lengths[row]]
            if self.image_id in labels[row].tolist() or int(labels[row, lengths[row] - 1]) != self.end_id:
                raise DataError(
                    f"example {example.id!r}: the labels hold an image token or do not end with the end token."
                )
        return batch | {"labels": labels}

    def prompts(self, examples: Sequence[Example], images: Sequence[Sequence["Image"]]) -> dict[str, Tensor]:
        """Encodes prompts alone, left padded, for scoring and generation."""
        return self._process([self.prompt(example) for example in examples], None, images)

    def vision(self, image: "Image", times: int = 1) -> dict[str, Tensor]:
        """What the processor makes of one image alone, or beside itself, and of as many bare placeholders."""
        return self._process([self.family.image_token * times], None, [[image] * times])

    def answer_ids(self, example: Example, text: str) -> list[int]:
        """Token ids of an answer and its end token, tokenised in context after the prompt of the example."""
        with _naming(example):
            return list(self._answer(example.messages, len(example.images), text))

    def length(self, example: Example, sizes: Sequence[tuple[int, int]]) -> int:
        """Tokens of prompt and answer, from image sizes alone.

        Args:
            example: what will be encoded.
            sizes: (height, width) of each image, after EXIF rotation.
        """
        text = self.full(example)
        if self.family.rewrite is not None:
            text = self.family.rewrite(self.processor, text)
        return len(self._ids(text)["input_ids"]) - len(sizes) + self.image_tokens(sizes)

    def image_tokens(self, sizes: Sequence[tuple[int, int]]) -> int:
        """Tokens that stand for the images of one sample, from their sizes (height, width)."""
        count = self.family.among_others if len(sizes) > 1 else None
        return sum((count or self.family.image_tokens)(self.processor, height, width) for height, width in sizes)

    def supervision(self, batch: dict[str, Tensor]) -> Supervision:
        """Decodes what the labels of a batch cover, and which share of its real tokens that is."""
        texts = tuple(self.tokenizer.decode(row[row != IGNORED]) for row in batch["labels"])
        covered = int((batch["labels"] != IGNORED).sum())
        return Supervision(texts, covered / max(1, int(batch["attention_mask"].sum())))

    def _render_uncached(self, messages: tuple[Message, ...], images: int, answer: str | None) -> str:
        turns = [self._turn(message, 0) for message in messages]
        first = next((i for i, message in enumerate(messages) if message.role == "user"), None)
        if first is None:
            raise DataError("an example has no user turn; tasks fill it in `prepare`.")
        turns[first] = self._turn(messages[first], images)
        if self.family.render is not None:
            return self.family.render(self.processor, turns, answer)
        if answer is not None:
            turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        # Phi-4's processor loses its template when it is saved; its tokenizer keeps it.
        owner = self.processor if self.processor.chat_template else self.tokenizer
        rendered: str = owner.apply_chat_template(turns, tokenize=False, add_generation_prompt=answer is None)
        return rendered

    def _turn(self, message: Message, images: int) -> dict[str, Any]:
        text = {"type": "text", "text": self.escape(message.text)}
        return {"role": message.role, "content": [*({"type": "image"} for _ in range(images)), text]}

    def _process(
        self, prompts: list[str], texts: list[str] | None, images: Sequence[Sequence["Image"]]
    ) -> dict[str, Tensor]:
        """One call of the processor: images nested per sample, None where there are none at all; an explicit side.

        Training rows (`texts`) are padded on the right and come with character offsets, prompts on the left.

        Raises:
            DataError: there are images, and an input is missing without which the model would compute something else.
        """
        nested = [list(some) for some in images]
        options = {
            "padding": True,
            "padding_side": "left" if texts is None else "right",
            "truncation": False,
            "add_special_tokens": self._adds_special(prompts[0]),
            "return_offsets_mapping": texts is not None,
            "return_tensors": "pt",
        }
        given = nested if any(nested) else None
        if self.family.process is None:
            batch = dict(self.processor(text=texts or prompts, images=given, **options))
        else:
            batch = self.family.process(self.processor, prompts, texts, given, options)
        missing = [name for name in self.family.required_inputs if name not in batch]
        if given and missing:
            raise DataError(
                f"the processor of {self.family.name} gave no {', '.join(missing)}, without which this model does not "
                "know where its images stand; use a processor of transformers 5.3 or later."
            )
        return batch

    def _adds_special(self, text: str) -> bool:
        """Whether the tokenizer must add BOS: not where the template already wrote it, or there would be two."""
        bos = self.tokenizer.bos_token
        return not (bos and text.startswith(bos))

    def _ids(self, text: str, offsets: bool = False) -> Any:
        return self.tokenizer(
            text, add_special_tokens=self._adds_special(text), return_offsets_mapping=offsets, truncation=False
        )

    def _full(self, messages: tuple[Message, ...], images: int, target: str) -> str:
        prompt, answer = self._render(messages, images, None), self.escape(target.strip(), True)
        whole = self._render(messages, images, answer)
        rest = whole[len(prompt) :]
        if not answer or not whole.startswith(prompt) or not rest.lstrip().startswith(answer):
            raise DataError(
                f"the chat template does not keep the answer {target!r} as it is (rendered: {rest[:80]!r}); "
                "an answer must be text, and the prompt must not change when one follows."
            )
        head, _, _ = rest.partition(self.end_token)
        return prompt + head.rstrip() + self.end_token

    def _end_token(self, added: set[str]) -> str:
        """The family's end token; else what the template puts after an answer; else the tokenizer's own."""
        if self.family.end_token:
            return self.family.end_token
        probe, answer = (Message("user", "?"),), "word"
        tail = self._render(probe, 0, answer).rpartition(answer)[2].strip()
        written = [token for token in sorted(added, key=len, reverse=True) if tail.startswith(token)]
        end = written[0] if written else self.tokenizer.eos_token
        if end is None:
            raise ConfigError(
                f"{self.family.name}: neither the chat template nor the tokenizer has a token that ends an answer."
            )
        return str(end)

    def _answer_uncached(self, messages: tuple[Message, ...], images: int, target: str) -> tuple[int, ...]:
        text = self._full(messages, images, target)
        encoded = self._ids(text, offsets=True)
        start = _first_label(encoded["offset_mapping"], len(text) - len(self._render(messages, images, None)))
        return tuple(encoded["input_ids"][start:])


def _first_label(spans: Sequence[Sequence[int]], tail: int) -> int:
    """Index of the first token of the answer.

    A token begins where its predecessor ended: tokenizers that trim offsets leave out the blank before a word. The text
    ends with the end token, so the end of the last span is the length of the expanded text.

    Args:
        spans: (start, end) characters of each token.
        tail: characters of the answer and its end token.

    Raises:
        DataError: a token straddles the start of the answer.
    """
    cut = spans[-1][1] - tail
    for index in range(len(spans) - 1, 0, -1):
        start, end = min(spans[index][0], spans[index - 1][1]), spans[index][1]
        if start < cut < end:
            raise DataError(
                "one token holds both the end of the prompt and the start of the answer; "
                "the chat template must end in something that does not merge with an answer."
            )
        if end <= cut:
            return index + 1
    return 1


@contextmanager
def _naming(example: Example) -> Iterator[None]:
    """Puts the id of the example in front of what is wrong with it."""
    try:
        yield
    except DataError as error:
        raise DataError(f"example {example.id!r}: {error}") from error
