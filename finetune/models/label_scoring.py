"""Closed answers scored after a prompt: summed, per token, or corrected for what the model says without an image."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from finetune import stats
from finetune.example import Example, Mode, Prediction
from finetune.models.decoding import Prefix, continuation_scores, prefill
from finetune.models.encoding import Encoder

SCORED: tuple[Mode, ...] = ("score", "score_mean", "score_prior")
"""Ways to score labels. An untuned base favours labels that are short, or common in text, so the best of the three on
validation stands for it; a tuned model has learned the label with its end token, and is scored by the sum.
"""

BLANK_PX = 224
"""Side of the grey picture that stands for no content."""

Texts = Sequence[Sequence[str]]


def spellings(choices: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None) -> list[tuple[str, ...]]:
    """Every choice with its other spellings."""
    return [(choice, *(synonyms or {}).get(choice, ())) for choice in choices]


class LabelScores:
    """Scores the closed answers of examples.

    Args:
        model: in the state to be judged (adapter on or off, `eval()`); a plain model or a PEFT one.
        encoder: renders and tokenises prompts and answers.
        synonyms: label -> other spellings, whose probability is added to the label's.
    """

    def __init__(self, model: Any, encoder: Encoder, synonyms: Mapping[str, Sequence[str]] | None = None) -> None:
        """Stores the arguments."""
        self.model, self.encoder, self.synonyms = model, encoder, synonyms
        self._blank: dict[tuple[Any, ...], Tensor] = {}

    def scores(
        self, prefix: Prefix, examples: Sequence[Example], choices: Texts, modes: Sequence[Mode]
    ) -> dict[Mode, Tensor]:
        """Scores after prompts that have been run through.

        Args:
            prefix: the prompts of `examples`.
            examples: with messages.
            choices: the closed answers of each; none where an answer is open.
            modes: those of `SCORED` that are wanted.

        Returns:
            mode -> `[examples, labels]` natural log-probabilities, float32 on the CPU, -inf where an example has fewer
            labels: of `score`, the sum over the label's tokens *with its end token* (without it `open` beats
            `open circuit`), no length normalisation; of `score_mean`, that divided by the number of tokens; of
            `score_prior`, that less the score of the same label after a grey picture (Zhao et al., ICML 2021).
        """
        texts = [spellings(own, self.synonyms) for own in choices]
        ids = [
            [self.encoder.answer_ids(example, text) for group in own for text in group]
            for example, own in zip(examples, texts, strict=True)
        ]
        each = continuation_scores(self.model, prefix, ids)
        found: dict[Mode, Tensor] = {}
        if {"score", "score_prior"} & set(modes):
            found["score"] = _joined(each, texts)
        if "score_mean" in modes:
            lengths = torch.ones_like(each)
            for row, answers in enumerate(ids):
                lengths[row, : len(answers)] = torch.tensor([len(answer) for answer in answers])
            found["score_mean"] = _joined(each / lengths, texts)
        if "score_prior" in modes:
            found["score_prior"] = found["score"].clone()
            for row, (example, own) in enumerate(zip(examples, choices, strict=True)):
                found["score_prior"][row, : len(own)] -= self._without_content(example, own)
        return {mode: found[mode] for mode in modes}

    def _without_content(self, example: Example, choices: Sequence[str]) -> Tensor:
        """Scores of the same question about a grey picture, `[labels]`; asked once a question."""
        key = (example.messages, len(example.images), tuple(choices), id(self.model))
        if key not in self._blank:
            if len(self._blank) > 1000:  # questions that all differ: bounded memory counts for more than asking again
                self._blank.clear()
            grey = [Image.new("RGB", (BLANK_PX, BLANK_PX), (128, 128, 128)) for _ in example.images]
            prefix = prefill(self.model, self.encoder.prompts([example], [grey]), self.encoder.family)
            self._blank[key] = self.scores(prefix, [example], [choices], ("score",))["score"][0]
        return self._blank[key]


def _joined(each: Tensor, texts: Sequence[Sequence[Sequence[str]]]) -> Tensor:
    """Adds up the probabilities of the spellings of a label: `[examples, spellings]` to `[examples, labels]`."""
    found = torch.full((len(texts), max((len(own) for own in texts), default=0)), -torch.inf)
    for row, own in enumerate(texts):
        start = 0
        for column, group in enumerate(own):
            found[row, column] = each[row, start : start + len(group)].logsumexp(0)
            start += len(group)
    return found


def choose(columns: Mapping[Mode, Sequence[Prediction]]) -> tuple[Mode, dict[Mode, float]]:
    """The way of scoring that suits a model best on validation, by log loss after a temperature of its own.

    The log loss depends on no decision rule, so that a new rule does not ask for other answers. Of equally good ones
    the first is taken; without validation examples that is the sum.

    Args:
        columns: mode -> the model's answers to the validation examples, with probabilities.

    Returns:
        the mode, and the log loss of each in nats.
    """
    losses = {mode: _loss(rows) for mode, rows in columns.items()}
    known = {mode: loss for mode, loss in losses.items() if loss is not None}
    return (min(known, key=lambda mode: known[mode]) if known else "score"), known


def _loss(rows: Sequence[Prediction]) -> float | None:
    kept = [row for row in rows if row.probabilities and row.gold in row.probabilities]
    if not kept:
        return None
    widest = max(len(row.probabilities or ()) for row in kept)
    logs = np.full((len(kept), widest), -np.inf)
    gold = []
    for index, row in enumerate(kept):
        values = row.probabilities or {}
        logs[index, : len(values)] = [math.log(max(p, 1e-300)) for p in values.values()]
        gold.append(list(values).index(row.gold))
    scaled = stats.apply_temperature(logs, stats.fit_temperature(logs, gold))
    return stats.log_loss(scaled, gold)


def undone(prior: Mapping[str, float] | None, probabilities: dict[str, float]) -> dict[str, float]:
    """Probabilities under the shares that labels have in the data, from those of a training that evened them out.

    Args:
        prior: label -> its share in the data over its share in training; None = nothing was shifted.
        probabilities: label -> p.
    """
    if prior is None:
        return probabilities
    weighted = {label: p * prior.get(label, 1.0) for label, p in probabilities.items()}
    total = sum(weighted.values())
    return {label: p / total for label, p in weighted.items()} if total else probabilities


def shift(
    train: Sequence[Example], labels: Sequence[str], balance: bool, weights: Mapping[str, float]
) -> dict[str, float] | None:
    """What `train.balance` and `train.class_weights` did to the labels, for `undone`.

    Returns:
        label -> its share in the data over its share in training: drawn equally often or as often as it occurs, times
        its weight in the loss. None where training kept the shares.
    """
    counts = {label: sum(example.target == label for example in train) for label in labels}
    seen = {label: count for label, count in counts.items() if count}
    if not seen or not (balance or weights):
        return None
    trained = {label: (1 if balance else count) * weights.get(label, 1.0) for label, count in seen.items()}
    total, weighed = sum(seen.values()), sum(trained.values())
    return {label: count / total / (trained[label] / weighed) for label, count in seen.items()}
