"""Opens the models of a run for questions: the base, with the adapter that was trained on it or elsewhere."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from finetune import dataset, foreign_adapter, models
from finetune.config import Config
from finetune.evaluation import label_scores
from finetune.evaluation.rivals import adapter_of
from finetune.example import Example
from finetune.features import cache
from finetune.models import Loaded
from finetune.predictors.local import OPEN_TOKENS, LocalPredictor
from finetune.rundir import Part, RunDir, sha256_file
from finetune.tasks import _forms


def opened(config: Config, run: RunDir, part: Part, who: Sequence[str], *, keep: bool = True) -> LocalPredictor:
    """The base of a run, with the adapter of one part where the tuned model is among those who will be asked.

    Args:
        config: model, task, batch size.
        run: its labels and its adapter.
        part: whose adapter.
        who: of base and tuned.
        keep: whether features of images may be kept for the next time.

    Raises:
        ConfigError: there are no such weights or no such adapter.
        IntegrityError: the adapter does not belong to this base.
    """
    loaded = models.load(config)
    labels, digest, known, prior = dataset.labels(run), "", None, None
    train = dataset.read_split(part.split("train")) if part.split("train").exists() else []
    if "tuned" in who:
        folder = adapter_of(config, part)
        model, known = foreign_adapter.attach(loaded, folder)
        loaded = dataclasses.replace(loaded, model=model)
        weights = folder / foreign_adapter.WEIGHTS
        digest = sha256_file(weights) if weights.is_file() else ""
        own = config.model.adapter is None
        prior = label_scores.shift(train, labels, config.train.balance, config.train.class_weights) if own else None
    name = Path(config.model.path).name if config.model.path else config.model.id
    form = _forms.of_model(config, loaded.processor, loaded.family)
    size, longest = config.evaluate.batch_size, _longest(loaded, _forms.written(train, form))
    task = _forms.settled(config)
    found = LocalPredictor(loaded, labels, task, size, name, digest, prior, longest, known, form)
    if keep:
        found.features = cache.opened(config, run, loaded, loaded.model, found.encoder, training=False)
    return found


def _longest(loaded: Loaded, train: Sequence[Example]) -> int:
    """Tokens that the answer to an open question may take: twice the longest that was trained."""
    written = {example.target for example in train}
    tokens = [len(loaded.processor.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in written]
    return max([OPEN_TOKENS, *(2 * count for count in tokens)])
