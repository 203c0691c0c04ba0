"""Runs vision tower and projector over one image at a time, and feeds what they gave to the language model."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import PIL
import torch
import transformers
from peft import PeftModel
from torch import Tensor, nn
from transformers.utils.generic import ModelOutput

from finetune.errors import IntegrityError
from finetune.families._base import Door, component_of, roots
from finetune.images import decode
from finetune.models.encoding import Encoder
from finetune.models.load import Loaded
from finetune.rundir import canonical_digest

if TYPE_CHECKING:
    from PIL.Image import Image

SEEN = ("vision_tower", "projector")
"""Components that features come through."""

FORMAT = 1
"""Of the entries; another number makes those of earlier versions unknown."""

_ADDED = (".lora_", ".modules_to_save.")
"""Parts of the names of what PEFT adds."""


@dataclass
class Features(ModelOutput):
    """What `forward` reads of `mm_encoder_outputs["image"]`, whichever class the tower's own output has."""

    last_hidden_state: Any = None
    pooler_output: Any = None
    deepstack_features: Any = None


class Tower:
    """Vision tower and projector of a base model, the adapter left out.

    Args:
        loaded: the model; may be wrapped by PEFT.
        encoder: its processor.
        autocast: precision that training computes in where it is not that of the weights, else None.
    """

    def __init__(self, loaded: Loaded, encoder: Encoder, autocast: torch.dtype | None = None) -> None:
        """Computes nothing yet."""
        wrapped = loaded.model
        self.base: Any = wrapped.get_base_model() if isinstance(wrapped, PeftModel) else wrapped
        self.loaded, self.encoder, self.family, self.autocast = loaded, encoder, loaded.family, autocast
        seen = (root for component in SEEN for _, root in roots(self.family, component, self.base))
        parts = (self.base, self.base.base_model, *(module for root in seen for module in root.modules()))
        self._parts = [vars(module) for module in parts]

    def scope(self) -> str:
        """Digest of everything but the image that features depend on: weights, processor, precision, libraries.

        The weights are those of the files, hashed when they were loaded.
        """
        images = self.encoder.processor.image_processor
        return canonical_digest(
            {
                "format": FORMAT,
                "family": self.family.name,
                "weights": self.loaded.sha256,
                "processor": images.to_json_string(),
                "image_processor": type(images).__name__,
                "dtype": str(self.loaded.dtype),
                "autocast": str(self.autocast),
                "device": self.loaded.device.type,
                "versions": [torch.__version__, transformers.__version__, PIL.__version__],
            }
        )

    def key(self, image: "Image", among: int = 1) -> str:
        """Digest of an image as `__call__` takes it: its upright size and its pixels, and whether it is tiled."""
        return decode.fingerprint(image).hex() + "-among-others" * (self._times(among) > 1)

    def _times(self, among: int) -> int:
        """How often an image is shown to the tower at once: beside itself where it would be tiled if it were alone."""
        return 2 if among > 1 and self.family.among_others else 1

    def shrunk(self, image: "Image") -> "Image":
        """The image as the processor's first resize leaves it, which makes no difference to what the tower sees."""
        return self.family.shrink(self.encoder.processor, image)

    def __call__(
        self, image: "Image", processed: Mapping[str, Tensor] | None = None, among: int = 1
    ) -> dict[str, Tensor]:
        """Features of one image, alone, so that a batch cannot change them.

        Args:
            image: any.
            processed: what the processor made of a text with this image and no other; None = it is asked.
            among: images of the sample, this one included.

        Returns:
            `rows` `[tokens, hidden]`, and `deep.0`, `deep.1`, ... of the same form where the family has DeepStack;
            where features stand apart from the text, `rows` as the family's door makes them.
        """
        taken = (*self.family.vision_inputs, *self.family.feature_inputs)
        times = self._times(among)
        given = self.encoder.vision(image, times) if processed is None else processed
        inputs = {name: value for name, value in given.items() if name in taken}
        device = self.loaded.device
        with torch.no_grad(), _evaluating(self._parts), self._precision():
            moved = {name: value.to(device) for name, value in inputs.items()}
            if isinstance(self.family.features, Door):
                return {"rows": self.family.features.look(self.base, moved)}
            found = self.base.base_model.get_image_features(**moved, return_dict=True)
        whole = found.last_hidden_state if self.family.features == "hidden" else found.pooler_output
        rows = {"rows": _rows(whole[: len(whole) // times])}
        if self.family.deepstack:
            rows |= {f"deep.{level}": _rows(value) for level, value in enumerate(found.deepstack_features)}
        return rows

    def fed(self, batch: Mapping[str, Tensor], images: Sequence[Mapping[str, Tensor]]) -> dict[str, Any]:
        """What `forward` takes in the place of pixels for the images of a batch, in order.

        Args:
            batch: the other inputs, `input_ids` `[batch, tokens]` among them, on the CPU.
            images: features of each.

        Raises:
            IntegrityError: the images have more or fewer rows than the batch has places for them.
        """
        rows, way = [image["rows"] for image in images], self.family.features
        places = (batch["input_ids"] == self.encoder.image_id).sum(dim=1).tolist()
        got = len(rows) if isinstance(way, Door) else sum(map(len, rows))
        if sum(places) != got:
            raise IntegrityError(
                f"the batch has {sum(places)} image tokens, but the features of its {len(rows)} images have {got} "
                "rows: the processor changed. Run again with train.feature_cache=off."
            )
        if isinstance(way, Door):
            each = iter(self._moved(rows))
            samples = [list(islice(each, count)) for count in places]
            with torch.no_grad(), _evaluating(self._parts), self._precision():
                return way.inputs(self.base, batch, samples)
        if not rows:
            return {}
        levels = sorted(int(name.removeprefix("deep.")) for name in images[0] if name != "rows")
        deep = [self._moved([image[f"deep.{level}"] for image in images]) for level in levels]
        given = self._moved(rows)
        if way == "hidden":
            return {"mm_encoder_outputs": {"image": Features(last_hidden_state=torch.cat(given).unsqueeze(0))}}
        together = torch.cat(given) if way == "tensor" else given
        return {"mm_encoder_outputs": {"image": Features(pooler_output=together, deepstack_features=deep or None)}}

    def _moved(self, rows: Sequence[Tensor]) -> list[Tensor]:
        return [row.to(self.loaded.device, copy=True) for row in rows]  # what a model does to them stays with it

    def _precision(self) -> Any:
        return torch.autocast(self.loaded.device.type, self.autocast, enabled=self.autocast is not None)


def adapted(model: nn.Module, loaded: Loaded) -> bool:
    """Whether an adapter changes what tower or projector give."""
    return any(
        component_of(loaded.family, name) in SEEN and (parameter.requires_grad or any(mark in name for mark in _ADDED))
        for name, parameter in model.named_parameters()
    )


def _rows(value: Any) -> Tensor:
    """`[tokens, hidden]` of what a tower gives: a tensor of tiles, or one tensor a tile."""
    parts = [value] if isinstance(value, Tensor) else list(value)
    return torch.cat([part.flatten(0, -2) for part in parts])


@contextmanager
def _evaluating(modules: Sequence[dict[str, Any]]) -> Iterator[None]:
    """Leaves dropout out for a moment.

    Args:
        modules: `vars` of each: `nn.Module` looks a name up in three places before it sets it, milliseconds an image.
    """
    training = [held for held in modules if held["training"]]
    for held in training:
        held["training"] = False
    try:
        yield
    finally:
        for held in training:
            held["training"] = True
