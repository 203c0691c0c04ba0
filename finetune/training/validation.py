"""The task's metric on the validation examples, while training: it decides which state of the adapter is kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from finetune import plugins
from finetune.config.schema import Config
from finetune.example import Example
from finetune.models.encoding import Encoder
from finetune.training.collator import Pictures

if TYPE_CHECKING:
    from finetune.models.feature_cache import FeatureCache


@dataclass(frozen=True, order=True)
class Verdict:
    """Result of one validation; ordered, so that the larger is the better.

    Attributes:
        value: the metric of `evaluate.decision.metric`; of questions with choices of their own, accuracy; 0 where every
            answer is open.
        log_probability: mean log-probability of the right label among the labels, nats; of an open answer, that of its
            text. It settles ties, which are common on small validation sets.
    """

    value: float
    log_probability: float


AT_FLOOR = 2
"""Validations in a row at the floor after which the training says so."""


class Validator:
    """Scores the labels of every validation example, and the right text where an answer is open.

    Args:
        config: task, metric, batch size.
        encoder: renders prompts.
        pictures: decoded images.
        examples: the validation split; may be empty, then the last state is kept.
        labels: the closed answers; empty where all answers are open.
        features: those of a frozen tower, or None.
    """

    def __init__(
        self,
        config: Config,
        encoder: Encoder,
        pictures: Pictures,
        examples: Sequence[Example],
        labels: Sequence[str],
        features: "FeatureCache | None" = None,
    ) -> None:
        """Stores the arguments."""
        self.config, self.encoder, self.pictures, self.features = config, encoder, pictures, features
        self.examples, self.labels = examples, tuple(labels)
        self._texts: dict[int, dict[str, Any]] = {}
        choices = plugins.load("task", config.task.kind).choices
        self.choices: list[tuple[str, ...]] = [choices(config.task, self.labels, example) for example in examples]

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.config.evaluate.decision.metric

    @property
    def floor(self) -> float | None:
        """What always giving the commonest answer would reach; None where questions have no labels in common."""
        golds = [example.target for example in self.examples]
        if not self.labels or any(choices != self.labels for choices in self.choices):
            return None
        return max(map(golds.count, set(golds))) / len(golds) if self.metric == "accuracy" else 1 / len(set(golds))

    def __call__(self, model: Any) -> Verdict:
        """Judges the model as it is, in evaluation mode; the mode it was in comes back."""
        training = model.training
        model.eval()
        scores = self._scores(model)
        model.train(training)
        own = [choices or (example.target,) for choices, example in zip(self.choices, self.examples, strict=True)]
        found = [
            _log_softmax(row[: len(texts)]) if len(texts) > 1 else row for row, texts in zip(scores, own, strict=True)
        ]
        gold = [example.target for example in self.examples]
        likely = float(np.mean([row[texts.index(g)] for row, texts, g in zip(found, own, gold, strict=True)]))
        closed = [index for index, choices in enumerate(self.choices) if choices]
        if closed and all(self.choices[index] == self.labels for index in closed):
            table = np.array([found[index] for index in closed])
            return Verdict(verdict(table, [gold[index] for index in closed], self.labels, self.metric).value, likely)
        hits = [own[index][int(np.argmax(found[index]))] == gold[index] for index in closed]
        return Verdict(float(np.mean(hits)) if hits else 0.0, likely)

    def _scores(self, model: Any) -> list[list[float]]:
        """Log-probabilities of each example's own choices, or of its right text alone."""
        import torch

        from finetune.models.decoding import prefill
        from finetune.models.label_scoring import LabelScores

        scorer = LabelScores(model, self.encoder, self.config.task.synonyms)
        size = self.config.evaluate.batch_size
        rows: list[list[float]] = []
        for start in range(0, len(self.examples), size):
            batch, choices = self.examples[start : start + size], self.choices[start : start + size]
            texts = [own or (example.target,) for own, example in zip(choices, batch, strict=True)]
            with torch.no_grad():
                prefix = prefill(model, self._prompts(start, batch), self.encoder.family)
                rows += scorer.scores(prefix, batch, texts, ("score",))["score"].tolist()
        return rows

    def _prompts(self, start: int, batch: Sequence[Example]) -> dict[str, Any]:
        """The inputs of a batch; where there are features, its text is encoded once for all validations."""
        images = [self.pictures(example) for example in batch]
        if self.features is None:
            return self.encoder.prompts(batch, images)
        if start not in self._texts:
            self._texts[start] = self.features.without_pixels(self.encoder.prompts(batch, images))
        return self.features.feed(self._texts[start], images)


class FloorWatch:
    """Notices a training that does no better than always giving the commonest answer.

    Args:
        floor: what that would reach; None = there is no such figure.
        config: whose settings are advised to change.
    """

    def __init__(self, floor: float | None, config: Config) -> None:
        """Counts from nought."""
        self.floor, self.config, self.count = floor, config, 0

    def warning(self, value: float) -> str | None:
        """What to say after a validation: a line once `AT_FLOOR` in a row stood at the floor, and only then."""
        if self.floor is None or value > self.floor + 1e-9:
            self.count = 0
            return None
        self.count += 1
        if self.count != AT_FLOOR:
            return None
        return (
            f"warning: {AT_FLOOR} validations in a row are no better than always giving the commonest answer "
            f"({self.floor:.3f}): nothing is learnt yet. If it stays so, try {', '.join(self._advice())}."
        )

    def _advice(self) -> list[str]:
        targets, train = self.config.method.targets, self.config.train
        parts = {"vision_tower": targets.vision_tower, "projector": targets.projector}
        found = [f"method.targets.{name}=all" for name, target in parts.items() if target == "none"]
        found += [] if train.balance else ["train.balance=true"]
        return [*found, f"train.epochs={2 * train.epochs:g}", "rates three times as high (train.learning_rates)"]


def _log_softmax(row: Sequence[float]) -> list[float]:
    values = np.array(row)
    return [float(value) for value in values - np.logaddexp.reduce(values)]


def verdict(scores: Any, gold: Sequence[str], labels: Sequence[str], metric: str) -> Verdict:
    """Metric and mean log-probability of the gold labels, from log-probabilities `[examples, labels]`."""
    from finetune import stats  # its libraries take half a second to import, and the first step need not wait

    answers = [labels[index] for index in scores.argmax(axis=1)]
    table = np.array(stats.confusion(gold, answers, labels))
    right = float(np.trace(table) / table.sum())
    value = right if metric == "accuracy" else float(stats.balanced_accuracy(table))
    chosen = scores[np.arange(len(gold)), [labels.index(label) for label in gold]]
    return Verdict(value, float(chosen.mean()))
