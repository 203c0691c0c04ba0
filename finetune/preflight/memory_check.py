"""What the model makes of the data: token lengths, the supervised text, what trains, and what one step costs."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from finetune.config.schema import Config
from finetune.errors import DataError
from finetune.models import load as models
from finetune.models.encoding import Encoder
from finetune.preflight.data_check import Measured, Prepared
from finetune.preflight.problems import Problems
from finetune.rundir import Json
from finetune.tasks import _forms
from finetune.training import lora, sample_checks
from finetune.training.collator import Collator, Item, Pictures
from finetune.training.loss import answer_loss, count_labels
from finetune.training.memory import Estimate, estimate
from finetune.training.unusual import unusual

_LENGTHS = 2000
"""Examples whose tokens are counted, evenly spaced."""

_COARSE = 8
"""Sizes of pictures that the processor is asked about."""


@dataclass(frozen=True)
class Fitted:
    """How data and model fit.

    Attributes:
        tokens: (shortest, median, longest) of a sample, prompt with images and answer.
        limit: positions that the model has.
        counted: how many examples were counted.
        supervised: texts that the loss sees of the first examples.
        share: of the tokens that they are.
        pixels_a_token: side in source pixels of what one image token stands for, of the coarsest picture counted;
            tokens that carry no features (marks around images, tiles and rows) do not count. None where one
            token stands for the whole image, whose rows come in through cross-attention.
        table: component -> what of it trains.
        step_s: seconds of one optimiser step, measured.
        steps: of the whole training.
        memory: of a training on this machine, at its peak.
    """

    tokens: tuple[int, int, int]
    limit: int
    counted: int
    supervised: tuple[str, ...]
    share: float
    pixels_a_token: float | None
    table: dict[str, Json]
    step_s: float
    steps: int
    memory: Estimate


def fit(config: Config, found: Prepared, measured: Measured, problems: Problems) -> Fitted:
    """Loads the model and tries one batch on it, without an update.

    Raises:
        UserError: the weights cannot be loaded, or a target is wrong.
    """
    train = [example for example in found.examples if example.split == "train"] or list(found.examples)
    loaded = models.load(config)
    encoder = Encoder(loaded.processor, loaded.family, _forms.marks(_forms.settled(config)))
    form = _forms.of_model(config, loaded.processor, loaded.family)
    train, examples = _forms.written(train, form), _forms.written(found.examples, form)
    limit: int = loaded.model.config.get_text_config().max_position_embeddings
    some = examples[:: max(1, len(examples) // _LENGTHS)]
    lengths: list[int] = []
    shapes: set[tuple[int, int]] = set()
    for example in some:
        sizes = [sample_checks.size(found.root, ref) for ref in example.images]
        lengths.append(encoder.length(example, sizes))
        shapes.update(sizes)
        if lengths[-1] > limit:
            problems.errors.append(_too_long(example.id, lengths[-1], limit))
            break
    batch = train[: config.train.batch_size]
    pictures = Pictures(encoder, found.root)
    collator = Collator(encoder, pictures, "none", config.seed)
    encoded = collator([Item(example, 0) for example in batch])
    seen = encoder.supervision({name: encoded[name] for name in ("labels", "attention_mask")})
    model = lora.adapt(loaded, config)
    table = lora.table(model, loaded.family)
    longest = some[lengths.index(max(lengths))]
    fitted = Fitted(
        tokens=(min(lengths), sorted(lengths)[len(lengths) // 2], max(lengths)),
        limit=limit,
        counted=len(lengths),
        supervised=tuple(dict.fromkeys(seen.texts)),
        share=seen.share,
        table=table,
        memory=_memory(config, loaded, model, collator([Item(longest, 0)])),  # before anything else has taken memory
        step_s=_step(model, encoded, loaded.device) * config.train.accumulate,
        steps=_steps(config, len(train)),
        pixels_a_token=_pixels_a_token(encoder, shapes),
    )
    problems.warnings += [f"{setting.key}: {setting.reason}" for setting in unusual(config, table)]
    cell = fitted.pixels_a_token
    if measured.defects and cell is not None and measured.defects[0] < cell:
        problems.warnings.append(_too_small(measured.defects, cell))
    return fitted


def _too_long(name: str, tokens: int, limit: int) -> DataError:
    return DataError(
        f"example {name!r}: prompt, images and answer are {tokens} tokens, the model has {limit} positions. Samples "
        "are never cut: use fewer or smaller images (model.pixels), data.tiles, or a shorter question."
    )


def _too_small(defects: Sequence[float], cell: float) -> str:
    under = sum(side < cell for side in defects)
    return (
        f"{under} of {len(defects)} annotated defects are smaller than what one image token stands for: the smallest "
        f"is {defects[0]:.0f} px, a token {cell:.0f} px of the source. Cut them with data.tiles, or raise model.pixels."
    )


def _pixels_a_token(encoder: Encoder, shapes: Iterable[tuple[int, int]]) -> float | None:
    """Side of the square that one feature stands for, of the coarsest (height, width).

    Headers give all tokens of an image, and so the few that may be the coarsest. Which of these tokens carry features
    only the processor knows: it is asked about blank pictures.
    """

    def side(shape: tuple[int, int], tokens: int) -> float:
        return float((shape[0] * shape[1] / max(1, tokens)) ** 0.5)

    coarse = sorted(shapes, key=lambda shape: side(shape, encoder.family.image_tokens(encoder.processor, *shape)))
    sides = []
    for height, width in coarse[-_COARSE:]:
        ids = encoder.vision(Image.new("RGB", (width, height)))["input_ids"]
        features = int((ids == encoder.image_id).sum())
        if features > 1:
            sides.append(side((height, width), features))
    return max(sides, default=None)


def _step(model: Any, batch: dict[str, Any], device: Any) -> float:
    """Seconds of a forward and a backward pass; the second of two, as the first one sets things up."""
    inputs = {name: value.to(device) for name, value in batch.items() if name not in ("ids", "shown")}
    model.train()
    took = 0.0
    for _ in range(2):
        begun = time.perf_counter()
        loss = answer_loss(model, inputs, float(max(1, count_labels([inputs]))))
        loss.backward()
        loss.item()  # waits for a GPU
        took = time.perf_counter() - begun
    return took


def _steps(config: Config, count: int) -> int:
    a_step = config.train.batch_size * config.train.accumulate
    return max(1, round(config.train.epochs * -(-count // a_step)))


def _memory(config: Config, loaded: models.Loaded, model: Any, longest: dict[str, Any]) -> Estimate:
    """What the training itself will say before its first step, where no feature is cached yet."""
    return estimate(
        model,
        {name: value for name, value in longest.items() if name not in ("ids", "shown")},
        batch_size=config.train.batch_size,
        device=loaded.device,
        trainer=config.train.trainer,
        bf16=models.precision(config, loaded.device) == "bf16",
    )
