"""The cheap-vision row: logistic regression on the frozen tower of the base. Where it is not worse, it is enough.

The features of a picture are the mean and the maximum over its patches after the vision tower, computed in batches of
pictures of one size where that changes nothing, else one at a time. How strongly the weights are held back, and whether
rare labels count more, is chosen on validation by the metric of the decision: a rival that was not tried in earnest
proves nothing.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import islice, zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special
from tqdm import tqdm

from finetune import stats
from finetune.config.schema import Config
from finetune.data import example_files
from finetune.errors import ConfigError, DataError
from finetune.example import Example, Prediction
from finetune.rundir import Json, RunDir, sha256_file
from finetune.tasks import Judge

if TYPE_CHECKING:
    from PIL.Image import Image

    from finetune.models.load import Loaded

Array = NDArray[np.float64]

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
"""Inverse regularisation C, as scikit-learn's LogisticRegression has it, on standardised features; weakest last."""
TOGETHER = 16
"""Pictures of one size in one pass of the tower."""
SAME = 1e-3
"""Largest difference, relative to the largest feature, that a batch may make."""
MOST = 10_000
"""Training pictures that are looked at; of more, each label gives an equal number, as far as it has them."""


@dataclass(frozen=True)
class Fitted:
    """A multinomial logistic regression.

    Attributes:
        weights: `[features + 1, classes]` on standardised features; the last row is the intercept.
        mean: `[features]`, subtracted first.
        scale: `[features]`, divided by then.
        classes: labels of the columns.
        strength: C.
        balanced: whether every label counted equally.
    """

    weights: Array
    mean: Array
    scale: Array
    classes: tuple[str, ...]
    strength: float
    balanced: bool

    def probabilities(self, features: Array) -> Array:
        """`[items, classes]` for `[items, features]`."""
        found: Array = special.softmax(_with_one((features - self.mean) / self.scale) @ self.weights, axis=1)
        return found


def identity(config: Config, run: RunDir) -> Json:
    """What the answers depend on: the base, the examples and the metric that chooses."""
    parts = run.parts(config.data.folds)
    files = [part.split(name) for part in parts for name in ("train", "val")]
    return {
        "model": asdict(config.model) | {"adapter": None},
        "metric": config.evaluate.decision.metric,
        "files": {file.relative_to(run.root).as_posix(): sha256_file(file) for file in files if file.exists()},
    }


def predict(
    config: Config, run: RunDir, examples: Sequence[Example], images_root: Path, labels: Sequence[str]
) -> Iterator[Prediction]:
    """Answers with what was fitted on the training split of each example's fold.

    Raises:
        ConfigError: answers are open, or differ from question to question: a picture alone does not say which is asked.
        DataError: an image cannot be decoded, or there is nothing to fit.
    """
    judge = Judge(config.task, tuple(labels))
    if not labels or any(judge.choices(example) != tuple(labels) for example in examples):
        raise ConfigError(
            f"evaluate.models: linear looks at the picture alone, so it can answer nothing of task.kind="
            f"{config.task.kind}, whose questions have answers of their own; leave it out."
        )
    tower = Tower(config, images_root)
    for part, own in example_files.by_part(config, run, examples):
        train = example_files.read_split(part.split("train"))
        held_out = example_files.read_split(part.split("val")) if part.split("val").exists() else []
        fitted = choose(tower, few(train), held_out, labels, config.evaluate.decision.metric)
        seen = tower.many(own)
        for example in own:
            began = time.perf_counter()
            row, digest = next(seen)
            chances = dict.fromkeys(labels, 0.0)
            chances |= dict(zip(fitted.classes, fitted.probabilities(row[None])[0].tolist(), strict=True))
            answer = max(labels, key=lambda label: chances[label])
            yield judge.prediction(
                example,
                answer,
                answer,
                image_sha256=digest,
                seconds=time.perf_counter() - began,
                model=f"{tower.name}+logistic(C={fitted.strength:g}{', balanced' * fitted.balanced})",
                probabilities=chances,
            )


class Tower:
    """The frozen vision tower of the base, in fp32 where the machine has no better.

    Args:
        config: names the model.
        images_root: folder of the images.
    """

    def __init__(self, config: Config, images_root: Path) -> None:
        """Loads the base."""
        from finetune.models import load as models
        from finetune.models.encoding import Encoder

        self.loaded: Loaded = models.load(config)  # 4-bit, if at all, is the language model alone
        self.encoder = Encoder(self.loaded.processor, self.loaded.family)
        self.root = images_root
        self.name = f"{self.loaded.family.name}.vision_tower@{self.loaded.sha256[:12]}"
        self._known: dict[str, tuple[Array, str]] = {}
        self._together: bool | None = None

    def many(self, examples: Sequence[Example]) -> Iterator[tuple[Array, str]]:
        """`features` of each example, in order, several at a time where they have one picture of the same size.

        Raises:
            DataError: an image cannot be decoded.
        """
        from finetune.images import decode

        batch: list[tuple[Example, list[Image]]] = []
        for example in examples:
            known = example.id in self._known
            images = [] if known else [decode.load(self.root, ref) for ref in example.images]
            alike = len(images) == 1 and (not batch or batch[0][1][0].size == images[0].size)
            if batch and (not alike or len(batch) == TOGETHER):
                yield from self._batched(batch)
                batch = []
            if len(images) == 1 and self._together is not False:
                batch.append((example, images))
            else:
                yield self.features(example)
        yield from self._batched(batch)

    def _batched(self, batch: Sequence[tuple[Example, "list[Image]"]]) -> Iterator[tuple[Array, str]]:
        """One pass for all; the first time its first row is held against the same picture alone."""
        from finetune.images import decode

        if len(batch) > 1 and self._together is not False:
            rows = self._pooled([example for example, _ in batch], [images for _, images in batch])
            if self._together is None:
                alone = self._pooled([batch[0][0]], [batch[0][1]])
                same = rows.shape[1:] == alone.shape[1:]
                self._together = same and bool(np.abs(rows[0] - alone[0]).max() <= SAME * np.abs(alone).max())
            if self._together:
                for (example, images), row in zip(batch, rows, strict=True):
                    self._known[example.id] = row, decode.digest(images)
        for example, _ in batch:
            yield self.features(example)

    def features(self, example: Example) -> tuple[Array, str]:
        """Mean and maximum over all patches of all images of an example, and the digest of its pixels.

        Computed once: with folds an example is seen in several parts.

        Raises:
            DataError: an image cannot be decoded.
        """
        if example.id not in self._known:
            self._known[example.id] = self._computed(example)
        return self._known[example.id]

    def _computed(self, example: Example) -> tuple[Array, str]:
        from finetune.images import decode

        images = [decode.load(self.root, ref) for ref in example.images]
        return self._pooled([example], [images])[0], decode.digest(images)

    def _pooled(self, examples: Sequence[Example], images: Sequence[Sequence["Image"]]) -> Array:
        """`[examples, features]`; of several examples each must give the tower as many patches."""
        import torch

        from finetune.families import _base

        batch = self.encoder.prompts(examples, images)
        wanted = (*self.loaded.family.vision_inputs, *self.loaded.family.feature_inputs)
        given = {name: batch[name].to(self.loaded.device) for name in wanted if name in batch}
        seen: list[Any] = []
        roots = [module for _, module in _base.roots(self.loaded.family, "vision_tower", self.loaded.model)]
        handles = [root.register_forward_hook(lambda module, inputs, output: seen.append(output)) for root in roots]
        try:
            with torch.inference_mode():
                self._see(given, batch)
        finally:
            for handle in handles:
                handle.remove()
        parts = [(out if isinstance(out, torch.Tensor) else out[0]).flatten(0, -2).float() for out in seen]
        rows = torch.cat([part.unflatten(0, (len(examples), -1)) for part in parts], dim=1)
        found: Array = torch.cat([rows.mean(1), rows.amax(1)], dim=1).cpu().numpy().astype(np.float64)
        return found

    def _see(self, given: Json, batch: Json) -> None:
        """Runs the tower; the whole model where the library has no method for its images alone."""
        inner = self.loaded.model.base_model
        if "get_image_features" in dir(inner):
            inner.get_image_features(**given)
        else:
            self.loaded.model(**{name: value.to(self.loaded.device) for name, value in batch.items()})


def few(train: Sequence[Example]) -> list[Example]:
    """The training examples, or `MOST` of them drawn by hash, labels in turn, in their order."""
    if len(train) <= MOST:
        return list(train)
    piles: dict[str, list[Example]] = defaultdict(list)
    for example in sorted(train, key=lambda one: sha256(one.id.encode()).digest()):
        piles[example.target].append(example)
    drawn = (example for turn in zip_longest(*piles.values()) for example in turn if example is not None)
    kept = {example.id for example in islice(drawn, MOST)}
    print(f"evaluate linear: fitted on {MOST:,} of {len(train):,} training pictures", file=sys.stderr)
    return [example for example in train if example.id in kept]


def choose(
    tower: Tower, train: Sequence[Example], held_out: Sequence[Example], labels: Sequence[str], metric: str
) -> Fitted:
    """Fits every strength, with and without balance, and takes the best on validation; of equals the strongest hold.

    Without validation examples: C = 1, unbalanced.

    Raises:
        DataError: training holds fewer than two labels.
    """
    y = [example.target for example in train]
    if len(set(y)) < 2:
        raise DataError("linear: the training split holds fewer than two labels; there is nothing to fit.")
    asked = [*train, *held_out]
    rows = np.stack([row for row, _ in tqdm(tower.many(asked), "evaluate linear", len(asked), unit="image")])
    x = rows[: len(train)]
    if not held_out:
        return fit(x, y, labels, 1.0, False)
    gold = [example.target for example in held_out]
    found = [fit(x, y, labels, strength, balanced) for strength in STRENGTHS for balanced in (False, True)]
    return max(found, key=lambda fitted: _quality(fitted, rows[len(train) :], gold, labels, metric))


def _quality(
    fitted: Fitted, rows: Array, gold: Sequence[str], labels: Sequence[str], metric: str
) -> tuple[float, float]:
    chances = fitted.probabilities(rows)
    answers = [fitted.classes[index] for index in chances.argmax(axis=1)]
    table = np.array(stats.confusion(gold, answers, labels))
    value = np.trace(table) / table.sum() if metric == "accuracy" else stats.balanced_accuracy(table)
    columns = {label: column for column, label in enumerate(fitted.classes)}
    right = [chances[index, columns[label]] if label in columns else 0.0 for index, label in enumerate(gold)]
    return float(value), float(np.log(np.maximum(right, 1e-12)).mean())


def fit(x: Array, y: Sequence[str], labels: Sequence[str], strength: float, balanced: bool) -> Fitted:
    """Multinomial logistic regression by L-BFGS from zero: sum of losses + |W|^2 / (2 C), the intercept free.

    The same objective as scikit-learn's `LogisticRegression(C=strength)` after standardisation, over scipy alone.

    Args:
        x: `[items, features]`.
        y: label of each item.
        labels: in their order; those that no item has get no column.
        strength: C.
        balanced: weigh items so that every label counts equally.
    """
    classes = tuple(label for label in labels if label in set(y))
    mean, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-8, scale, 1.0)
    z = _with_one((x - mean) / scale)
    target = np.eye(len(classes))[[classes.index(label) for label in y]]
    counts = target.sum(0)
    each = (len(y) / (len(classes) * counts))[target.argmax(1)] if balanced else np.ones(len(y))

    def objective(flat: Array) -> tuple[float, Array]:
        weights = flat.reshape(z.shape[1], len(classes))
        scores = z @ weights
        held = weights.copy()
        held[-1] = 0.0
        loss = each @ (special.logsumexp(scores, axis=1) - (scores * target).sum(1)) + (held**2).sum() / (2 * strength)
        slope = z.T @ (each[:, None] * (special.softmax(scores, axis=1) - target)) + held / strength
        return float(loss) / len(y), slope.ravel() / len(y)

    start = np.zeros(z.shape[1] * len(classes))
    found = optimize.minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 1000, "gtol": 1e-6})
    return Fitted(found.x.reshape(z.shape[1], len(classes)), mean, scale, classes, strength, balanced)


def _with_one(x: Array) -> Array:
    return np.hstack([x, np.ones((len(x), 1))])
