"""What the engine must know about a model architecture; each file in `finetune/families/` fills in one `Family`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from finetune import named
from finetune.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import nn

COMPONENTS = ("vision_tower", "projector", "language_model", "head")


@dataclass(frozen=True)
class Family:
    """One model architecture, as data.

    Prefixes are full dotted module names on the loaded `...ForConditionalGeneration` object. Every parameter falls in
    exactly one component: the longest prefix that matches wins.

    Attributes:
        name: its file in `finetune/families/`.
        model_types: values of `config.json: model_type` that this family serves.
        vision_tower: prefixes of the image encoder.
        projector: prefixes of what maps image features into the language model.
        language_model: prefixes of the language model without its output layer.
        head: prefixes of the output layer.
        pixel_keys: settings of the image processor that `model.pixels` may replace.
        vision_inputs: names of the model's inputs that carry pixels, in a processed batch.
        image_token: text that stands for an image in a rendered prompt and, repeated, in the expanded one.
        end_token: text that ends an answer.
        image_tokens: (processor, height, width after EXIF rotation) -> tokens that one image costs, wrapper included.
        shrink: (processor, image) -> the image as the processor's own first resize leaves it, where that is smaller;
            applying the processor to the result gives the same pixels as applying it to the image.
        packages: (module, distribution) that the processor needs beside the engine's own dependencies.
        feature_inputs: names of what `get_image_features` takes beside `vision_inputs` and the language model needs
            too (an image grid): it stays in a batch whose pixels were replaced by features.
        features: how the model takes features computed before, in `mm_encoder_outputs["image"]`: `list` and `tensor`
            say what `pooler_output` is, rows `[tokens, hidden]` of each image or of all; `hidden` is one
            `last_hidden_state` `[1, tokens, hidden]` in front of the projector. None: there is no exact way.
        deepstack: whether rows for deeper layers (`deepstack_features`) belong to the features of an image.
        no_features: why features cannot be kept, in words that end a sentence.
    """

    name: str
    model_types: tuple[str, ...]
    vision_tower: tuple[str, ...]
    projector: tuple[str, ...]
    language_model: tuple[str, ...]
    head: tuple[str, ...]
    pixel_keys: tuple[str, ...]
    vision_inputs: tuple[str, ...]
    image_token: str
    end_token: str
    image_tokens: Callable[[Any, int, int], int]
    shrink: Callable[[Any, "Image"], "Image"]
    packages: tuple[tuple[str, str], ...] = ()
    feature_inputs: tuple[str, ...] = ()
    features: Literal["list", "tensor", "hidden"] | None = None
    deepstack: bool = False
    no_features: str = "no exact way to feed them to this architecture is known here"

    def prefixes(self) -> Mapping[str, tuple[str, ...]]:
        """Component -> its prefixes."""
        return {
            "vision_tower": self.vision_tower,
            "projector": self.projector,
            "language_model": self.language_model,
            "head": self.head,
        }


def load(name: str) -> Family:
    """Reads the family of that name.

    Raises:
        ConfigError: there is no such file.
    """
    family: Family = named.load("family", name).FAMILY
    return family


def serving(model_type: str) -> str | None:
    """Name of the family file that serves a `model_type`, or None."""
    found = (name for name in named.names("family") if model_type in load(name).model_types)
    return next(found, None)


def component_of(family: Family, name: str) -> str:
    """Component that a parameter or module belongs to; PEFT's wrapping prefix does not count.

    Raises:
        ConfigError: no prefix of the family matches, so the family file does not describe this model.
    """
    bare = name.removeprefix("base_model.model.")
    matches = [
        (len(prefix), component)
        for component, prefixes in family.prefixes().items()
        for prefix in prefixes
        if bare == prefix or bare.startswith(prefix + ".")
    ]
    if not matches:
        raise ConfigError(
            f"model.family={family.name}: {bare!r} lies under none of its prefixes "
            f"({', '.join(p for ps in family.prefixes().values() for p in ps)}); the checkpoint is of another family."
        )
    return max(matches)[1]


def roots(family: Family, component: str, model: "nn.Module") -> Iterator[tuple[str, "nn.Module"]]:
    """Yields (name, module) of the top modules of a component that exist on the loaded base model."""
    modules = dict(model.named_modules())
    for prefix in family.prefixes()[component]:
        if prefix in modules:
            yield prefix, modules[prefix]
