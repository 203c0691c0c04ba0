"""What the engine must know about a model architecture; each file in `finetune/families/` fills in one `Family`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from finetune import plugins
from finetune.errors import ConfigError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor, nn

COMPONENTS = ("vision_tower", "projector", "language_model", "head")


def _as_it_is(processor: Any, image: "Image") -> "Image":
    return image


Process = Callable[..., dict[str, Any]]

CLAUSES = {
    "image": "another image changes the logits",
    "labels": "labels cover the answer with its end token and nothing else",
    "features": "image tokens = image features",
    "arithmetic": "token counts from image headers are exact",
    "lora": "LoRA reaches only what it should",
    "four_bit": "4-bit reaches the language model alone",
    "frozen": "frozen tensors keep every bit",
    "text_only": "a text-only sample trains beside one with an image",
    "cached": "cached = live features",
    "merged": "merged = adapter",
    "resumed": "resumed = uninterrupted",
    "batch": "answers do not depend on the batch",
    "scores": "label scores = full forward pass",
    "ranks": "two ranks = one rank, with and without DeepSpeed",
}
"""What every family is tested for, tests/contract/test_families.py; a family that cannot says so in `gaps`."""


@dataclass(frozen=True)
class Door:
    """Features that layers of their own attend to, so that an image is one token of the text.

    Attributes:
        look: (base model, the tower's inputs for one image) -> rows `[blocks, rows, hidden]`, all of them.
        inputs: (base model, batch without pixels, rows of the images of each sample) -> what `forward` takes in the
            place of pixels; samples may have fewer images than others, or none.
        numbers: (config of the base model) -> how many numbers the rows of an image hold, for the size that is told.
    """

    look: "Callable[[Any, Mapping[str, Tensor]], Tensor]"
    inputs: "Callable[[Any, Mapping[str, Tensor], Sequence[Sequence[Tensor]]], dict[str, Tensor]]"
    numbers: Callable[[Any], int]


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
        image_token: text that stands for an image in a rendered prompt.
        end_token: text that ends an answer; "" where it depends on the checkpoint: the first special token that the
            chat template puts after an answer, or the tokenizer's own where it puts none.
        image_tokens: (processor, height, width after EXIF rotation) -> tokens that stand in the place of `image_token`
            in the text that `rewrite` leaves.
        among_others: as `image_tokens`, for an image that is one of several in its sample, where the architecture looks
            at it otherwise than alone.
        soft_token: token that a feature row goes to, where that is another than `image_token`.
        rewrite: (processor, text) -> the text as the processor changes it around images, each image still one
            `image_token`.
        shrink: (processor, image) -> the image as the processor's own first resize leaves it, where that is smaller;
            applying the processor to the result gives the same pixels as applying it to the image.
        packages: (module, distribution) that the processor needs beside the engine's own dependencies.
        image_backend: implementation of the image processor; torchvision where the family has no other.
        tower_types: values of `vision_config.model_type`, where families share a `model_type`.
        predecessors: `architectures` of checkpoints with code of their own, for which this family is what can be used.
        auto_class: the transformers class that loads the model.
        render: (processor, turns, answer or None) -> prompt, or prompt with answer; for families without a template,
            or with one that writes a prompt otherwise once it is answered.
        process: (processor, prompts, texts, images, options) -> batch, where calling the processor on the whole texts
            would not do.
        required_inputs: inputs without which the model would silently compute something else where there are images.
        carried_inputs: inputs `[batch, tokens, ...]` whose last token's row holds for the tokens of an answer.
        repeated_inputs: inputs `[batch, ...]` or `[batch x images, ...]` that the model wants again with every token of
            an answer.
        prepare: (model), once after loading: what the architecture needs to keep its promises.
        experts: names, within a component, of bare 3-D parameters that hold experts; LoRA on `all` reaches them.
        linear_skip: last parts of the names of linear layers that LoRA leaves alone (routers).
        unused: prefixes of what no image reaches (an audio encoder): nothing in it is adapted.
        eager: sections of the model's config whose part has no fused attention and is not loaded with one.
        feature_inputs: names of what `get_image_features` takes beside `vision_inputs` and what the language model
            needs too (an image grid), so that it stays in a batch whose pixels were replaced by features.
        features: how the model takes features computed before, in `mm_encoder_outputs["image"]`: `list` and `tensor`
            say what `pooler_output` is, rows `[tokens, hidden]` of each image or of all; `hidden` is one
            `last_hidden_state` `[1, tokens, hidden]` in front of the projector; a `Door` is a way of the family's own,
            for features that stand apart from the text. None where no way is exact; `no_features` says why.
        deepstack: whether rows for deeper layers (`deepstack_features`) belong to the features of an image.
        no_features: why features cannot be kept, in words that end a sentence.
        boxes: name of the notation in `finetune.scoring.box_notations` that the published weights write boxes
            in; None where no official source says one.
        resized: (processor, height, width) -> (height, width) that the tower sees, where the native
            notation counts its pixels.
        gaps: clause of `CLAUSES` -> why this family cannot pass it.
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
    image_tokens: Callable[[Any, int, int], int]
    end_token: str = ""
    among_others: Callable[[Any, int, int], int] | None = None
    soft_token: str = ""
    rewrite: Callable[[Any, str], str] | None = None
    shrink: Callable[[Any, "Image"], "Image"] = _as_it_is
    packages: tuple[tuple[str, str], ...] = ()
    image_backend: Literal["pil", "torchvision"] = "pil"
    tower_types: tuple[str, ...] = ()
    predecessors: tuple[str, ...] = ()
    auto_class: str = "AutoModelForImageTextToText"
    render: Callable[[Any, Sequence[Any], str | None], str] | None = None
    process: Process | None = None
    required_inputs: tuple[str, ...] = ()
    carried_inputs: tuple[str, ...] = ()
    repeated_inputs: tuple[str, ...] = ()
    prepare: Callable[[Any], None] | None = None
    experts: tuple[str, ...] = ()
    linear_skip: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    eager: tuple[str, ...] = ()
    feature_inputs: tuple[str, ...] = ()
    features: Literal["list", "tensor", "hidden"] | Door | None = None
    deepstack: bool = False
    no_features: str = "no exact way to feed them to this architecture is known here"
    boxes: str | None = None
    resized: Callable[[Any, int, int], tuple[int, int]] | None = None
    gaps: Mapping[str, str] = field(default_factory=dict)

    def prefixes(self) -> Mapping[str, tuple[str, ...]]:
        """Component -> its prefixes."""
        return {
            "vision_tower": self.vision_tower,
            "projector": self.projector,
            "language_model": self.language_model,
            "head": self.head,
        }


REFUSED = {
    "florence2": "Florence-2 is not supported: an encoder reads image and task token, and a decoder of its own writes "
    "the answer, with no chat template and no text without an image, while training and scoring here go on behind a "
    "prompt. What can be used in its place: model.family=paligemma (model=paligemma2_3b), which writes boxes as "
    "location tokens too, or model=smolvlm_256m, which is as small.",
}
"""`model_type` that is asked for and will not be served -> why, and what to take instead."""


def load(name: str) -> Family:
    """Reads the family of that name.

    Raises:
        ConfigError: there is no such file, or it will not be served.
    """
    if name in REFUSED:
        raise ConfigError(f"model.family: {REFUSED[name]}")
    family: Family = plugins.load("family", name).FAMILY
    return family


def serving(model_type: str, tower: str = "") -> str | None:
    """Name of the family file that serves a `model_type`, or None; of several, the one that names the tower."""
    found = [f for f in map(load, plugins.names("family")) if model_type in f.model_types]
    fitting = [f.name for f in found if tower in f.tower_types] or [f.name for f in found if not f.tower_types]
    return fitting[0] if fitting else None


def succeeding(architectures: Sequence[str]) -> str | None:
    """Name of the family that takes the place of a checkpoint whose architecture is code of its own, or None."""
    found = (name for name in plugins.names("family") if set(architectures) & set(load(name).predecessors))
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
