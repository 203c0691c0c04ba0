"""The model card and `figures.json` of the embedded model, written from measured figures."""

import json
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open

from finetune.embedded.defects import DEFECTS
from finetune.embedded.evaluate import FIRST_SEED
from finetune.embedded.materials import MATERIALS

PHASES: Final = ("tower", "language", "place", "answers", "joint")
_NAMES: Final = {
    "kind": "which defect, of nine answers",
    "position": "where the only defect is, of nine places",
    "yes_no": "is there a defect, yes or no",
    "yes_no_named": "is there a crack (or another named defect), yes or no",
    "verdict": "good or bad",
    "surface": "which material, of nine",
    "count": "how many defects, none to four",
    "larger": "which of two defects is larger",
}
_CARD: Final = """---
license: apache-2.0
pipeline_tag: image-text-to-text
tags: [synthetic, tiny, defects]
---

# The embedded model

A vision-language model of {millions:.1f} million parameters ({megabytes:.1f} MB, bf16) that ships with the package, for
first runs, tests and documentation. It is an `Idefics3ForConditionalGeneration`; `AutoModelForImageTextToText` and
`AutoProcessor` load it, with or without torchvision. **Real work takes a real base model**: this one has seen nothing
but drawings made by a program.

## What it can do

Figures on {images} surfaces of seeds {first} and up, none of which were trained on; their defects are drawn
plainly enough to be seen (fainter ones, a fifth of the first phase's pictures, are not asked about). `generated`: the
greedy answer equals the truth; `chosen`: the most probable of the listed labels does; `balanced`: mean recall,
generated; `majority`: always the commonest answer.

| question | n | majority | generated | chosen | balanced |
|---|---|---|---|---|---|
{rows}

`python -m finetune.embedded.pretrain --evaluate-only` prints these figures again.

It answers short questions in English about one picture, and picks from a list of answers named in the question.
Pictures are squeezed to 128 x 128 pixels.

- Materials it knows: {materials}.
- Defects it knows: {defects}. It is weak at thin ones on restless materials, at counting and at comparing.

## What it cannot do

Anything else. It has no knowledge of the world, reads no text, does not converse, does not locate by coordinates, knows
no material or defect that is not named above, and was never shown a photograph. Details smaller than about two pixels
at 128 x 128 are lost. Its answers on real images are worth nothing before fine-tuning, and little after it where a real
base is affordable. It is not to be used to decide on real parts or people.

## How it was made

Trained from random weights with `python -m finetune.embedded.pretrain`, seed 0, on two CPU cores and pictures that the
same package draws (`finetune/embedded/surfaces.py`); no photograph and no third-party data went in.

| phase | images | minutes |
|---|---|---|
{phases}

1. The vision tower alone, from dense labels: linear heads say for each patch which defect covers it, and for the
   picture the material, the kind, the number and the place.
2. Projector and language model in front of the frozen tower, six questions for each picture, loss on answers only.
3. The tower again, this time also asked in which ninth of the picture a damaged patch lies. A tower that was never
   asked keeps next to nothing of it, and the language model then answers at chance.
4. Projector and language model again, with more questions about places and numbers.
5. All weights together, on answers and with less weight on the earlier labels.

Left out on purpose, so that the recipe `defects` is new to it: pebbled hides, and defects named fold, poke, glue, cut
or color. {note}

Licence: Apache-2.0, as the package.
"""


def phase_record(checkpoints: Path, batches: dict[str, int]) -> dict[str, dict[str, float]]:
    """Images and minutes by phase, from the checkpoints."""
    record = {}
    for phase in PHASES:
        saved = torch.load(checkpoints / f"{phase}.pt", weights_only=True)
        record[phase] = {"images": saved["step"] * batches[phase], "minutes": round(saved["seconds"] / 60, 1)}
    return record


def write_card(
    folder: Path, figures: dict[str, dict[str, Any]], images: int, phases: dict[str, dict[str, float]], note: str = ""
) -> None:
    """Write `figures.json` and `README.md` into the folder of the finished model."""
    weights = folder / "model.safetensors"
    with safe_open(weights, framework="pt") as tensors:
        parameters = sum(tensors.get_tensor(name).numel() for name in tensors.keys())  # noqa: SIM118
    facts = {"parameters": parameters, "bytes": weights.stat().st_size, "images": images, "first_seed": FIRST_SEED}
    (folder / "figures.json").write_text(json.dumps({**facts, "phases": phases, "skills": figures}, indent=2) + "\n")
    rows = [
        f"| {_NAMES[skill]} | {f['n']} | {f['majority']:.2f} | {f['generated']:.2f} | "
        f"{'-' if f['chosen'] is None else format(f['chosen'], '.2f')} | {f['balanced']:.2f} |"
        for skill, f in figures.items()
    ]
    card = _CARD.format(
        millions=parameters / 1e6,
        megabytes=facts["bytes"] / 1e6,
        images=images,
        first=f"{FIRST_SEED:,}",
        rows="\n".join(rows),
        materials=", ".join(MATERIALS),
        defects=", ".join(DEFECTS),
        phases="\n".join(f"| {name} | {p['images']:,} | {p['minutes']:.0f} |" for name, p in phases.items()),
        note=note,
    )
    (folder / "README.md").write_text(card.replace(" \n", "\n"))
