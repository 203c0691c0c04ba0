"""One small model of the real architecture for every family file; add a builder here when you add a family."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from architectures import llavas, more, others, qwens, sizes
from training import micro

Builder = Callable[[], tuple[Any, Any]]

BUILDERS: dict[str, Builder] = {
    builder.__name__: builder
    for builder in (
        llavas.llava,
        llavas.llava_next,
        llavas.llava_onevision,
        llavas.mistral3,
        llavas.pixtral,
        more.aya_vision,
        more.cohere2_vision,
        more.idefics,
        more.idefics2,
        more.minicpmv4_6,
        more.molmo2,
        more.paligemma,
        more.phi4_multimodal,
        qwens.glm4v,
        qwens.qwen2_5_vl,
        qwens.qwen2_vl,
        qwens.qwen3_5,
        qwens.qwen3_vl,
        others.deepseek_vl,
        others.gemma3,
        others.gemma4,
        others.internvl,
        others.llama4,
        others.mllama,
    )
}
"""Family -> model and processor."""

NAMES = sorted([*BUILDERS, "idefics3", "smolvlm"])


def save(folder: Path, name: str) -> Path:
    """Writes the small model of a family into a folder and returns it."""
    if name not in BUILDERS:
        return micro.save(folder, model_type=name, splitting=True)
    model, processor = BUILDERS[name]()
    return sizes.save(folder, sizes.redraw(model), processor)
