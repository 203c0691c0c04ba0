"""PaliGemma: no chat template; the prompt, image included, sees itself in both directions, the answer is a suffix."""

from collections.abc import Sequence
from typing import Any

from finetune.families._arithmetic import SQUARE, library_count
from finetune.families._base import Family


def render(processor: Any, turns: Sequence[Any], answer: str | None) -> str:
    """Images, what the turns say, a line break; then the answer."""
    parts = [part for turn in turns for part in turn["content"]]
    images: int = sum(part["type"] == "image" for part in parts)
    text: str = " ".join(part["text"] for part in parts if part["type"] == "text")
    return str(processor.image_token) * images + text + "\n" + (answer or "")


def rewrite(processor: Any, text: str) -> str:
    """The text with BOS between images and prompt, where the processor puts it."""
    end = text.rfind(processor.image_token) + len(processor.image_token)
    return text[:end] + str(processor.tokenizer.bos_token) + text[end:]


def process(
    processor: Any, prompts: list[str], texts: list[str] | None, images: Any, options: dict[str, Any]
) -> dict[str, Any]:
    """Hands answers over as suffixes; their offsets, which count from the answer, go on after the prompt's."""
    ends = processor.tokenizer.eos_token
    pairs = zip(prompts, texts or [], strict=texts is not None)
    suffix = [text.removeprefix(prompt).removesuffix(ends) for prompt, text in pairs] if texts else None
    batch = dict(processor(text=[p.removesuffix("\n") for p in prompts], images=images, suffix=suffix, **options))
    batch.pop("labels", None)
    if texts:
        answers = batch["token_type_ids"].bool()
        spans = batch["offset_mapping"]
        before = spans[..., 1].masked_fill(answers, 0).amax(1, keepdim=True).unsqueeze(-1)
        batch["offset_mapping"] = spans + before * (answers & batch["attention_mask"].bool()).unsqueeze(-1)
    return batch


FAMILY = Family(
    name="paligemma",
    model_types=("paligemma",),
    vision_tower=("model.vision_tower",),
    projector=("model.multi_modal_projector",),
    language_model=("model.language_model",),
    head=("lm_head",),
    pixel_keys=SQUARE,
    vision_inputs=("pixel_values",),
    image_token="<image>",
    image_tokens=library_count,
    rewrite=rewrite,
    render=render,
    process=process,
    required_inputs=("token_type_ids",),
    features="tensor",
    boxes="paligemma",
    gaps={"text_only": "the processor refuses samples without an image"},
)
