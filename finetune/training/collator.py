"""Examples to batches: decode once, augment by a generator of the sample's own, encode."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor
from torch.utils.data import Dataset

from finetune import pixels
from finetune.encoding import Encoder
from finetune.errors import DataError
from finetune.example import Example
from finetune.training.augment import augment, generator
from finetune.training.loss import Batch

if TYPE_CHECKING:
    from PIL.Image import Image

CACHE_BYTES = 2**30
"""Decoded pixels kept in memory, of the examples seen first; the rest is decoded again each epoch."""


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
        self.encoder, self.root, self.left = encoder, root, cache_bytes
        self._kept: OrderedDict[str, list[Image]] = OrderedDict()

    def __call__(self, example: Example) -> list["Image"]:
        """The images of one example, in order.

        Raises:
            DataError: one cannot be decoded; names example and path.
        """
        if example.id in self._kept:
            return self._kept[example.id]
        try:
            images = [pixels.load(self.root, ref) for ref in example.images]
        except DataError as error:
            raise DataError(f"example {example.id!r} ({example.row or 'no row'}): {error}") from error
        shrink, processor = self.encoder.family.shrink, self.encoder.processor
        images = [shrink(processor, image) for image in images]
        size = sum(3 * image.width * image.height for image in images)
        if size <= self.left:
            self.left -= size
            self._kept[example.id] = images
        return images


class Examples(Dataset[tuple[Example, int]]):
    """Examples by index, each with the epoch it is asked for in, which its augmentation depends on."""

    def __init__(self, examples: Sequence[Example]) -> None:
        """Starts in epoch 0."""
        self.examples = examples
        self.epoch = 0

    def __len__(self) -> int:
        """Number of examples."""
        return len(self.examples)

    def __getitem__(self, index: int) -> tuple[Example, int]:
        """The example and the present epoch."""
        return self.examples[index], self.epoch


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
    """

    def __init__(self, encoder: Encoder, pictures: Pictures, augmentation: str, seed: int, pixels: bool = True) -> None:
        """Stores the arguments."""
        self.encoder, self.pictures = encoder, pictures
        self.augmentation, self.seed, self.pixels = augmentation, seed, pixels
        self._texts: dict[str, dict[str, Tensor]] = {}
        self._left = TEXT_BYTES

    def __call__(self, items: Sequence[tuple[Example, int]]) -> Batch:
        """Encodes (example, epoch) pairs, right padded."""
        examples = [example for example, _ in items]
        if not self.pixels:
            texts = [self._text(example) for example in examples]
            return {**self.encoder.joined(texts), "ids": [example.id for example in examples], "shown": examples}
        images = [
            augment(self.augmentation, self.pictures(example), generator(self.seed, epoch, example.id))
            for example, epoch in items
        ]
        return {**self.encoder.supervised(examples, images), "ids": [example.id for example in examples]}

    def _text(self, example: Example) -> dict[str, Tensor]:
        """One encoded example without its pixels, kept while memory allows."""
        if example.id in self._texts:
            return self._texts[example.id]
        encoded = self.encoder.supervised([example], [self.pictures(example)])
        found = {name: value for name, value in encoded.items() if name not in self.encoder.family.vision_inputs}
        size = sum(value.nbytes for value in found.values())
        if size <= self._left:
            self._left -= size
            self._texts[example.id] = found
        return found
