"""Idefics: the open Flamingo; no chat template, layers between the layers attend to what a resampler sees."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finetune.families._base import Door, Family

if TYPE_CHECKING:
    from torch import Tensor

_FAKE, _IMAGE, _END = "<fake_token_around_image>", "<image>", "<end_of_utterance>"


def image_tokens(processor: Any, height: int, width: int) -> int:
    """One token, whatever the size."""
    return 1


def render(processor: Any, turns: Sequence[Any], answer: str | None) -> str:
    """`User:<image>question<end_of_utterance>`, a line a turn, as the instructed weights were trained."""
    lines = [
        f"{turn['role'].capitalize()}:"
        + "".join(_IMAGE if part["type"] == "image" else f" {part['text']}" for part in turn["content"])
        for turn in turns
    ]
    prompt = "".join(f"{line}{_END}\n" for line in lines) + "Assistant:"
    return prompt if answer is None else f"{prompt} {answer}{_END}"


def rewrite(processor: Any, text: str) -> str:
    """The text with BOS and the marks around images; the blank after them goes."""
    marked = text.replace(f"{_IMAGE} ", _IMAGE).replace(_IMAGE, f"{_FAKE}{_IMAGE}{_FAKE}")
    return str(processor.tokenizer.bos_token) + marked.replace(_FAKE + _FAKE, _FAKE)


def process(
    processor: Any, prompts: list[str], texts: list[str] | None, images: Any, options: dict[str, Any]
) -> dict[str, Any]:
    """Hands pieces of text and images over in turns; offsets are those of the text that the processor makes of them."""
    whole, nested = texts or prompts, images or [[] for _ in prompts]
    pieces = []
    for text, own in zip(whole, nested, strict=True):
        spoken = text.split(_IMAGE)
        pieces.append([piece for pair in zip(spoken, [*own, None], strict=True) for piece in pair if piece])
    given = {name: value for name, value in options.items() if name != "return_offsets_mapping"}
    batch = dict(processor(text=pieces, **given | {"add_special_tokens": False}))
    if options["return_offsets_mapping"]:
        again = options | {"add_special_tokens": False}
        written = processor.tokenizer([rewrite(processor, text) for text in whole], **again)
        batch["offset_mapping"] = written["offset_mapping"]
    return batch


def look(base: Any, inputs: Mapping[str, "Tensor"]) -> "Tensor":
    """Rows of one image `[1, rows, hidden]`, behind the resampler where there is one."""
    found: Tensor = base.model.vision_model(pixel_values=inputs["pixel_values"].flatten(0, 1)).last_hidden_state
    return base.model.perceiver_resampler(found) if base.config.use_resampler else found


def embeddings(base: Any, batch: Mapping[str, "Tensor"], images: Sequence[Sequence["Tensor"]]) -> dict[str, "Tensor"]:
    """All rows one behind the other; where an image is missing, zeros, which the mask hides."""
    import torch

    most = batch["image_attention_mask"].shape[-1]
    shape = _shape(base.config)
    found = torch.zeros(len(images), most, *shape, dtype=base.dtype, device=base.device)
    for place, own in zip(found, images, strict=True):
        for index, image in enumerate(own):
            place[index] = image[0]
    return {"perceiver_embeddings" if base.config.use_resampler else "image_encoder_embeddings": found.flatten(0, 1)}


def numbers(config: Any) -> int:
    """Rows of one image, each as wide as the tower."""
    rows, width = _shape(config)
    return rows * width


def _shape(config: Any) -> tuple[int, int]:
    settings = config.vision_config
    patches = (settings.image_size // settings.patch_size) ** 2 + 1
    return config.perceiver_config.resampler_n_latents if config.use_resampler else patches, settings.embed_dim


FAMILY = Family(
    name="idefics",
    model_types=("idefics",),
    vision_tower=("model.vision_model",),
    projector=("model.perceiver_resampler",),
    language_model=("model.layers", "model.gated_cross_attn_layers", "model.embed_tokens", "model.norm"),
    head=("lm_head",),
    pixel_keys=("image_size", "image_mean", "image_std"),
    vision_inputs=("pixel_values",),
    image_token=_IMAGE,
    end_token=_END,
    image_tokens=image_tokens,
    rewrite=rewrite,
    render=render,
    process=process,
    predecessors=("FlamingoForConditionalGeneration", "OpenFlamingo"),
    required_inputs=("image_attention_mask",),
    carried_inputs=("image_attention_mask",),
    repeated_inputs=("pixel_values", "perceiver_embeddings", "image_encoder_embeddings"),
    features=Door(look, embeddings, numbers),
    gaps={"features": "an image is one token; its rows are attended to apart and stand nowhere in the text"},
)
