"""Phases two and three of pretraining: the language model learns to answer from what the tower sees.

Several questions on one image are packed into one row: they share the image prefix, and an attention mask and restarted
positions keep them from seeing each other, so a packed row is worth exactly as much as separate rows but costs less.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import Idefics3ForConditionalGeneration, PreTrainedTokenizerBase

from finetune.embedded.architecture import IMAGE_TOKENS
from finetune.embedded.questions import Question, draw_questions
from finetune.embedded.surfaces import make_surface
from finetune.embedded.tower import (
    IGNORE,
    DenseHeads,
    dense_labels,
    dense_loss,
    encode,
    pixel_tensor,
    place_loss,
)

_PADDING = -1


@dataclass(frozen=True)
class Row:
    """One image with its questions: `block` is 0 for the shared prefix and n for question n, all `[tokens]`.

    `dense` holds the labels of phase one, where they are wanted.
    """

    pixels: Tensor
    ids: Tensor
    block: Tensor
    position: Tensor
    labels: Tensor
    dense: dict[str, Tensor] = field(default_factory=dict)


def prefix_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Token ids of the chat template up to the question, one image included."""
    fake = "<fake_token_around_image>"
    text = f"<|im_start|>User:{fake}<global-img>{'<image>' * IMAGE_TOKENS}{fake}"
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def question_ids(tokenizer: PreTrainedTokenizerBase, question: Question) -> tuple[list[int], list[int]]:
    """Token ids after the image: the question with the answer's opening, and the answer with its end."""
    asked = tokenizer(f"{question.text}<end_of_utterance>\nAssistant:", add_special_tokens=False)["input_ids"]
    answered = tokenizer(f" {question.answer}<end_of_utterance>", add_special_tokens=False)["input_ids"]
    return list(asked), list(answered)


def seen_ids(tokenizer: PreTrainedTokenizerBase, surfaces: int = 2_000) -> list[int]:
    """Ids of the tokens that training uses, from the questions on many surfaces: every wording occurs among them."""
    found = set(prefix_ids(tokenizer))
    for seed in range(surfaces):
        for question in draw_questions(make_surface(seed), np.random.default_rng([seed, 1]), 8, late=bool(seed % 2)):
            for ids in question_ids(tokenizer, question):
                found.update(ids)
    return sorted(found)


class PackedQuestions(Dataset[Row]):
    """Surface number `i` of a seeded stream with some of its questions (by their `late` shares or not), in one row."""

    def __init__(self, first_seed: int, tokenizer: PreTrainedTokenizerBase, questions: int, late: bool) -> None:
        """The stream starts at `first_seed`; `questions` is the number for each picture."""
        self.first_seed, self.tokenizer, self.questions = first_seed, tokenizer, questions
        self.late = late
        self.prefix = prefix_ids(tokenizer)

    def __getitem__(self, index: int) -> Row:
        surface = make_surface(self.first_seed + index)
        rng = np.random.default_rng([self.first_seed + index, 1])
        drawn = draw_questions(surface, rng, self.questions, self.late)
        asked = [question_ids(self.tokenizer, question) for question in drawn]
        return replace(pack(self.prefix, asked, pixel_tensor(surface)), dense=dense_labels(surface))


def pack(prefix: list[int], questions: list[tuple[list[int], list[int]]], pixels: Tensor) -> Row:
    """One row from a prefix and (question, answer) token ids; only answers carry labels."""
    ids, block, position = list(prefix), [0] * len(prefix), list(range(len(prefix)))
    labels = [IGNORE] * len(prefix)
    for number, (asked, answered) in enumerate(questions, start=1):
        length = len(asked) + len(answered)
        ids += asked + answered
        block += [number] * length
        position += range(len(prefix), len(prefix) + length)
        labels += [IGNORE] * len(asked) + answered
    return Row(pixels, torch.tensor(ids), torch.tensor(block), torch.tensor(position), torch.tensor(labels))


def stack(rows: list[Row]) -> Row:
    """Rows padded on the right to one length: `[rows, tokens]`, and the mask's blocks set to -1 there."""

    def pad(values: list[Tensor], filler: int) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(values, batch_first=True, padding_value=filler)

    return Row(
        torch.stack([row.pixels for row in rows]),
        pad([row.ids for row in rows], 0),
        pad([row.block for row in rows], _PADDING),
        pad([row.position for row in rows], 0),
        pad([row.labels for row in rows], IGNORE),
        {key: torch.stack([row.dense[key] for row in rows]) for key in rows[0].dense},
    )


def attention_bias(block: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask `[rows, 1, tokens, tokens]`: causal, and only within a token's own question and the prefix."""
    tokens = block.shape[1]
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    same = block[:, :, None] == block[:, None, :]
    allowed = causal & (same | (block == 0)[:, None, :])
    bias = torch.zeros(allowed.shape, dtype=dtype).masked_fill_(~allowed, torch.finfo(dtype).min)
    return bias[:, None]


def answer_logits(model: Idefics3ForConditionalGeneration, batch: Row, features: Tensor) -> tuple[Tensor, Tensor]:
    """Logits in fp32 `[answer tokens, vocabulary]` of a batch, and the mask `[rows, tokens - 1]` they sit in.

    `features` is what `encode` gives for the batch's pixels.
    """
    seen = model.model.connector(features)
    words = model.model.text_model.embed_tokens(batch.ids)
    first = int((batch.ids[0] == model.config.image_token_id).nonzero()[0])
    embedded = torch.cat([words[:, :first], seen.to(words.dtype), words[:, first + IMAGE_TOKENS :]], dim=1)
    hidden = model.model.text_model(
        inputs_embeds=embedded,
        attention_mask=attention_bias(batch.block, embedded.dtype),
        position_ids=batch.position,
        use_cache=False,
    ).last_hidden_state
    # the label of the first token of a question is IGNORE, so shifting over a border between questions is harmless
    answered = batch.labels[:, 1:] != IGNORE
    return model.lm_head(hidden[:, :-1][answered]).float(), answered


def answer_loss(model: Idefics3ForConditionalGeneration, batch: Row) -> Tensor:
    """Mean cross entropy of the answer tokens of a stacked batch, in front of a frozen tower."""
    with torch.no_grad():
        features = encode(model.model.vision_model, batch.pixels)
    logits, answered = answer_logits(model, batch, features)
    return functional.cross_entropy(logits, batch.labels[:, 1:][answered])


def joint_loss(model: Idefics3ForConditionalGeneration, heads: DenseHeads, place: nn.Linear, batch: Row) -> Tensor:
    """Answers, and with less weight what the tower was taught before, so that it forgets nothing; all weights learn."""
    features = encode(model.model.vision_model, batch.pixels)
    logits, answered = answer_logits(model, batch, features)
    spoken = functional.cross_entropy(logits, batch.labels[:, 1:][answered])
    placed = place_loss(place, features, batch.dense["patch_kind"])
    return spoken + 0.3 * dense_loss(heads(features), batch.dense) + 0.5 * placed


@torch.no_grad()
def probe_answers(
    model: Idefics3ForConditionalGeneration, tokenizer: PreTrainedTokenizerBase, first_seed: int, images: int
) -> dict[str, float]:
    """Share of exactly right answers by task on fresh surfaces, six questions each.

    Every token is predicted from the true ones before it; all of them right is the same as greedy decoding being right.
    """
    prefix = prefix_ids(tokenizer)
    right: dict[str, list[bool]] = {}
    for start in range(first_seed, first_seed + images, 16):
        rows, tasks = [], []
        for seed in range(start, start + 16):
            surface = make_surface(seed)
            drawn = draw_questions(surface, np.random.default_rng([seed, 1]), 6)
            rows.append(pack(prefix, [question_ids(tokenizer, question) for question in drawn], pixel_tensor(surface)))
            tasks += [question.task for question in drawn]
        batch = stack(rows)
        logits, answered = answer_logits(model, batch, encode(model.model.vision_model, batch.pixels))
        hit = logits.argmax(-1) == batch.labels[:, 1:][answered]
        number = (batch.block[:, 1:] + 6 * torch.arange(16)[:, None])[answered] - 1
        wrong = torch.bincount(number[~hit], minlength=len(tasks))
        for task, misses in zip(tasks, wrong.tolist(), strict=True):
            right.setdefault(task, []).append(misses == 0)
    return {task: sum(values) / len(values) for task, values in sorted(right.items())}
