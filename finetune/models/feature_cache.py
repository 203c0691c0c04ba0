"""The feature cache of a run: whether there is one, where it is, and what it holds of an image."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from finetune.config.schema import Config
from finetune.errors import ConfigError
from finetune.example import Example
from finetune.families._base import Door
from finetune.models.bounded_cache import Kept
from finetune.models.encoding import Encoder
from finetune.models.feature_store import GB, Store
from finetune.models.load import Loaded, precision
from finetune.models.vision_features import Tower, adapted
from finetune.rundir import RunDir

if TYPE_CHECKING:
    from PIL.Image import Image

FOLDER = "FINETUNE_CACHE"
"""Environment variable that names the folder for everything that may be computed again."""

MEMORY_BYTES = 2**28
"""Features of examples kept in memory beside the disk; the rest is read again each epoch."""


class FeatureCache:
    """Features of images, from disk where they are there, else computed and kept.

    Args:
        tower: computes them.
        store: keeps them.
    """

    def __init__(self, tower: Tower, store: Store) -> None:
        """Looks at nothing yet."""
        self.tower, self.store = tower, store
        self._memory: Kept[list[dict[str, Tensor]]] = Kept(MEMORY_BYTES, _size)
        self._met: dict[str, list[dict[str, Tensor]]] = {}

    def of(self, image: "Image", processed: Mapping[str, Tensor] | None = None, among: int = 1) -> dict[str, Tensor]:
        """Features of one image, the same whatever batch it is in and whether they were kept.

        Args:
            image: any.
            processed: what the processor made of it, where that is known already.
            among: images of the sample, this one included.
        """
        shrunk = self.tower.shrunk(image)
        key = self.tower.key(shrunk, among)
        found = self.store.read(key)
        if found is None:
            found = self.tower(shrunk, processed, among)
            self.store.write(key, found)
        return found

    def meet(self, example: Example, images: Sequence["Image"], processed: Mapping[str, Tensor]) -> None:
        """Looks at an example that is to be shown next, while its pixels are there: they are not processed again.

        Args:
            example: one that `shown` will be asked for.
            images: of it; of several, each is processed alone when it is shown, since together they may be padded.
            processed: the model's inputs for this example alone.
        """
        if len(images) == 1 and example.id not in self._memory:
            self._met[example.id] = [self.of(images[0], processed)]

    def without_pixels(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The inputs that the language model needs beside the features."""
        return {name: value for name, value in batch.items() if name not in self.tower.family.vision_inputs}

    def feed(self, batch: dict[str, Any], images: Sequence[Sequence["Image"]]) -> dict[str, Any]:
        """A batch with features in the place of its pixels.

        Args:
            batch: the model's inputs, on the CPU, with pixels or already without.
            images: of each row.
        """
        return self._fed(batch, [self.of(image, among=len(own)) for own in images for image in own])

    def shown(
        self, batch: dict[str, Any], examples: Sequence[Example], pictures: Callable[[Example], Sequence["Image"]]
    ) -> dict[str, Any]:
        """As `feed`, by examples that come again each epoch: while there is room their features stay in memory."""
        own = [self._memory.get(one.id, partial(self._each, pictures, one)) for one in examples]
        return self._fed(batch, [row for rows in own for row in rows])

    def _each(self, pictures: Callable[[Example], Sequence["Image"]], example: Example) -> list[dict[str, Tensor]]:
        if example.id in self._met:
            return self._met.pop(example.id)
        images = pictures(example)
        return [self.of(image, among=len(images)) for image in images]

    def _fed(self, batch: dict[str, Any], rows: Sequence[dict[str, Tensor]]) -> dict[str, Any]:
        kept = self.without_pixels(batch)
        return kept | self.tower.fed(batch, rows)


def _size(rows: Sequence[dict[str, Tensor]]) -> int:
    return sum(value.nbytes for row in rows for value in row.values())


def opened(
    config: Config, run: RunDir, loaded: Loaded, model: nn.Module, encoder: Encoder, *, training: bool, tokens: int = 0
) -> FeatureCache | None:
    """The cache that the config and the model allow, or None; says which and why on standard error.

    The decision depends on config and model alone, so that a training that goes on takes the same way; how much room
    there is changes only what is computed again.

    Args:
        config: `train.feature_cache`, and what makes it inexact.
        run: its own folder takes the cache of data that must not be elsewhere.
        loaded: the base, its tower unchanged.
        model: as it will be used, adapter included.
        encoder: of the base.
        training: whether images are those of training, which may be augmented, in the precision of training.
        tokens: image tokens of everything that will be looked at, for the size that is printed; 0 = not known.

    Raises:
        ConfigError: `train.feature_cache=on`, and it would not be exact.
    """
    why = refused(config, loaded, model, training=training)
    if why:
        if config.train.feature_cache == "on":
            raise ConfigError(f"train.feature_cache=on: {why}; use auto or off.")
        print(f"feature cache: off ({why})", file=sys.stderr)
        return None
    lower = training and precision(config, loaded.device) == "bf16"
    tower = Tower(loaded, encoder, torch.bfloat16 if lower else None)
    root = folder(config, run) / "features"
    store = Store(root, tower.scope()[:32], config.train.feature_cache_max_gb, run.file_mode)
    size = f", about {_bytes(loaded, tokens, lower) / 1e6:,.1f} MB" if tokens else ""
    print(
        f"feature cache: on (tower and projector are frozen{', images not augmented' * training}){size} in {root}, "
        f"at most {store.limit / GB:g} GB",
        file=sys.stderr,
    )
    return FeatureCache(tower, store)


def folder(config: Config, run: RunDir) -> Path:
    """Where things are kept that can be computed again: for this user, or in the run where data is restricted."""
    if config.data.sensitivity == "restricted":
        return run.root / "cache"
    named = os.environ.get(FOLDER)
    return Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "finetune"


def refused(config: Config, loaded: Loaded, model: nn.Module, *, training: bool) -> str:
    """Why features must not be kept, in words that end a sentence; "" where they may."""
    if config.train.feature_cache == "off":
        return "train.feature_cache=off"
    if loaded.family.features is None:
        return f"{loaded.family.name}: {loaded.family.no_features}"
    if adapted(model, loaded):
        return "the vision tower or the projector is trained"
    if training and config.train.augment != "none":
        return f"train.augment={config.train.augment} changes the images each epoch"
    if training and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return "several ranks train, and one that finds an image would leave the others waiting in the tower"
    settings = loaded.model.config.to_dict().get("vision_config", {})
    if training and any("dropout" in name and value for name, value in settings.items()):
        return "the vision tower has dropout, so that its features differ each epoch"
    return ""


def _bytes(loaded: Loaded, tokens: int, lower: bool) -> float:
    """Size of features: tokens x width of the language model, or what stands behind a token, x bytes a value."""
    config, way = loaded.model.config, loaded.family.features
    numbers: int = way.numbers(config) if isinstance(way, Door) else config.get_text_config().hidden_size
    return tokens * numbers * (2 if lower else loaded.dtype.itemsize)
