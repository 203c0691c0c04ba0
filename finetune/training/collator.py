"""Examples to batches: decode once, augment by a generator of the sample's own, encode."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from finetune.errors import DataError
from finetune.example import Example, ImageRef
from finetune.images import decode as pixels
from finetune.models.bounded_cache import Kept
from finetune.models.encoding import IGNORED, Encoder
from finetune.training.augment import augment, generator
from finetune.training.loss import Batch

CACHE_BYTES = 2**30
"""Decoded pixels kept in memory, of the examples seen first; the rest is decoded again each epoch."""

GREY_SIDE = 64
"""Pixels of the picture that only keeps a rank in step."""

TEXT_BYTES = 2**28
"""Encoded texts kept in memory where pixels are not needed; the rest is encoded again each epoch."""


class Pictures:
    """Decoded images of examples, shrunk to what the processor would make of them, kept while memory allows.

    Args:
        encoder: says how far an image may be shrunk without changing what the model sees.
        root: folder that image paths are relative to.
        cache_bytes: most that is kept.
    """

    def __init__(self, encoder: Encoder, root: Path, cache_bytes: int = CACHE_BYTES) -> None:
        """Starts empty."""
        self.encoder, self.root = encoder, root
        self._kept: Kept[list[Image.Image]] = Kept(cache_bytes, _bytes)

    def __call__(self, example: Example) -> list[Image.Image]:
        """The images of one example, in order.

        Raises:
            DataError: one cannot be decoded; names example and path.
        """
        return self._kept.get(example.id, lambda: self._decoded(example))

    def _decoded(self, example: Example) -> list[Image.Image]:
        try:
            images = [pixels.load(self.root, ref) for ref in example.images]
        except DataError as error:
            raise DataError(f"example {example.id!r} ({example.row or 'no row'}): {error}") from error
        shrink, processor = self.encoder.family.shrink, self.encoder.processor
        return [shrink(processor, image) for image in images]


def _bytes(images: Sequence[Image.Image]) -> int:
    return sum(3 * image.width * image.height for image in images)


class Item(NamedTuple):
    """One example of a batch.

    Attributes:
        example: what is encoded.
        epoch: in which it is asked for; its augmentation depends on it.
        counts: False where it only keeps a rank in step with the others, without weight.
    """

    example: Example
    epoch: int
    counts: bool = True


class Examples(Dataset[Item]):
    """Examples by index, each with the epoch it is asked for in; an index of -1 - i is example i without weight."""

    def __init__(self, examples: Sequence[Example]) -> None:
        """Starts in epoch 0."""
        self.examples = examples
        self.epoch = 0

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.examples)

    def __getitem__(self, index: int) -> Item:
        """The example and the present epoch."""
        return Item(self.examples[index if index >= 0 else -1 - index], self.epoch, index >= 0)


class Collator:
    """Makes a training batch of examples.

    The batch holds the model's inputs, `labels` and `ids`. Where features of a frozen tower are cached it holds no
    pixels but `shown`, the example of each row: the trainer puts the features in, since this may run in a process
    without a model. Texts are then encoded once.

    Args:
        encoder: text and pixels to tensors.
        pictures: decoded images.
        augmentation: name of a set in `augment.AUGMENTATIONS`.
        seed: of the augmentation.
        pixels: False = leave them out; only without augmentation.
        seeing: every batch has an image, if need be a grey one in a row without weight: where weights are divided among
            ranks, one that never enters the vision tower would leave the others waiting in it for ever.
        weights: label -> weight of its examples in the loss; others have 1.
        meet: is told of each example whose pixels stay out of the batch, once they are made: example, images, inputs.
    """

    def __init__(
        self,
        encoder: Encoder,
        pictures: Pictures,
        augmentation: str,
        seed: int,
        pixels: bool = True,
        *,
        seeing: bool = False,
        weights: Mapping[str, float] | None = None,
        meet: Callable[[Example, Sequence[Image.Image], Batch], None] | None = None,
    ) -> None:
        """Stores the arguments."""
        self.weights, self.meet = weights or {}, meet
        self.encoder, self.pictures = encoder, pictures
        self.augmentation, self.seed, self.pixels, self.seeing = augmentation, seed, pixels, seeing
        self._texts: Kept[dict[str, Tensor]] = Kept(
            TEXT_BYTES, lambda text: sum(value.nbytes for value in text.values())
        )

    def __call__(self, items: Sequence[Item]) -> Batch:
        """Encodes items, right padded."""
        examples = [item.example for item in items]
        if self.pixels:
            batch: Batch = self._seen(examples, items)
        else:
            batch = {**joined(self.encoder, [self._text(example) for example in examples]), "shown": examples}
        counts = torch.tensor([item.counts for item in items] + [False] * (len(batch["labels"]) - len(items)))
        batch["labels"] = batch["labels"].where(counts.unsqueeze(-1), torch.tensor(IGNORED))
        if self.weights:
            own = [self.weights.get(example.target, 1.0) for example in examples]
            batch["weights"] = torch.tensor(own + [1.0] * (len(counts) - len(own)))
        return {**batch, "ids": [item.example.id for item in items if item.counts]}

    def _seen(self, examples: Sequence[Example], items: Sequence[Item]) -> Batch:
        """Encodes examples with their images, and with a grey one where it has to be."""
        images = [
            augment(self.augmentation, self.pictures(example), generator(self.seed, item.epoch, example.id))
            for example, item in zip(examples, items, strict=True)
        ]
        if not self.seeing or any(images):
            return self.encoder.supervised(examples, images)
        grey = Image.new("RGB", (GREY_SIDE, GREY_SIDE), (128, 128, 128))
        blank = replace(examples[0], images=(ImageRef("grey"),))
        return self.encoder.supervised([*examples, blank], [*images, [grey]])

    def _text(self, example: Example) -> dict[str, Tensor]:
        """One example without its pixels."""
        return self._texts.get(example.id, lambda: self._encoded(example))

    def _encoded(self, example: Example) -> dict[str, Tensor]:
        images = self.pictures(example)
        encoded = self.encoder.supervised([example], [images])
        if self.meet is not None:
            self.meet(example, images, encoded)
        return {name: value for name, value in encoded.items() if name not in self.encoder.family.vision_inputs}


def joined(encoder: Encoder, samples: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Puts samples that were encoded one by one, without pixels, into one batch, right padded.

    Args:
        encoder: says which inputs go with the tokens.
        samples: of `supervised` for one example each; token by token `[1, tokens]`, or a row for each image.
    """
    widths = [sample["input_ids"].shape[1] for sample in samples]
    fill = {"input_ids": encoder.tokenizer.pad_token_id, "labels": IGNORED}
    found: dict[str, Tensor] = {}
    for name in dict.fromkeys(name for sample in samples for name in sample):
        values = [sample.get(name) for sample in samples]
        known = [(value, width) for value, width in zip(values, widths, strict=True) if value is not None]
        if name in encoder.family.carried_inputs or any(value.shape == (1, width) for value, width in known):
            found[name] = _in_corners(values, max(widths), fill.get(name, 0))
        else:
            found[name] = torch.cat([value for value, _ in known])
    return found


def _in_corners(values: Sequence[Tensor | None], wide: int, fill: int) -> Tensor:
    """`[1, tokens, ...]` of each sample as one tensor, filled up where one is shorter, has fewer images or none."""
    known = [value for value in values if value is not None]
    sizes = torch.tensor([value.shape[2:] for value in known]).amax(dim=0).tolist()
    found = known[0].new_full((len(values), wide, *sizes), fill)
    for row, value in zip(found, values, strict=True):
        if value is not None:
            row[tuple(map(slice, value.shape[1:]))] = value[0]
    return found
