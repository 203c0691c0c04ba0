"""The task's metric on the validation examples, while training: it decides which state of the adapter is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from finetune import stats
from finetune.config import Config
from finetune.encoding import Encoder
from finetune.example import Example
from finetune.training.collator import Pictures


@dataclass(frozen=True, order=True)
class Verdict:
    """Result of one validation; ordered, so that the larger is the better.

    Attributes:
        value: the metric of `evaluate.decision.metric`.
        log_probability: mean log-probability of the right label among the labels, nats; settles ties, which are common
            on small validation sets.
    """

    value: float
    log_probability: float


class Validator:
    """Scores the labels of every validation example.

    Args:
        config: metric, synonyms, batch size.
        encoder: renders prompts.
        pictures: decoded images.
        examples: the validation split; may be empty, then the last state is kept.
        labels: the closed answers.
    """

    def __init__(
        self, config: Config, encoder: Encoder, pictures: Pictures, examples: Sequence[Example], labels: Sequence[str]
    ) -> None:
        """Stores the arguments."""
        self.config, self.encoder, self.pictures = config, encoder, pictures
        self.examples, self.labels = examples, list(labels)

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.config.evaluate.decision.metric

    def __call__(self, model: Any) -> Verdict:
        """Judges the model as it is, in evaluation mode; the mode it was in comes back."""
        from finetune.predictors.local import score_labels

        training = model.training
        model.eval()
        size, synonyms = self.config.evaluate.batch_size, self.config.task.synonyms
        scores: list[list[float]] = []
        for start in range(0, len(self.examples), size):
            batch = self.examples[start : start + size]
            images = [self.pictures(example) for example in batch]
            scores += score_labels(model, self.encoder, batch, images, self.labels, synonyms).log_softmax(-1).tolist()
        model.train(training)
        return verdict(np.array(scores), [example.target for example in self.examples], self.labels, self.metric)


def verdict(scores: Any, gold: Sequence[str], labels: Sequence[str], metric: str) -> Verdict:
    """Metric and mean log-probability of the gold labels, from log-probabilities `[examples, labels]`."""
    answers = [labels[index] for index in scores.argmax(axis=1)]
    table = np.array(stats.confusion(gold, answers, labels))
    right = float(np.trace(table) / table.sum())
    value = right if metric == "accuracy" else float(stats.balanced_accuracy(table))
    chosen = scores[np.arange(len(gold)), [labels.index(label) for label in gold]]
    return Verdict(value, float(chosen.mean()))
