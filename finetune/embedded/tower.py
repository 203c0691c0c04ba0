"""Phase one of pretraining: the vision tower learns to see from dense labels.

Heads are linear maps on patch features, so what they can read the projector can read too. They are thrown away at the
end. Supervision for every patch is what makes this quick: from pooled labels alone the tower stays blind for the
first 20,000 images.
"""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import AttentionInterface
from transformers.models.idefics3.modeling_idefics3 import Idefics3VisionTransformer

from finetune.embedded.architecture import GRID, PATCH, SCALE, VISION_WIDTH
from finetune.embedded.surfaces import KINDS, MAX_COUNT, POSITIONS, SURFACES, Surface, make_surface

IGNORE = -100
_MIN_PATCH_PIXELS = 4
_SUBTLE_SHARE = 0.2
_WEIGHTS = {"patch_kind": 2.0, "patch_surface": 0.3, "kind": 0.5, "count": 0.3, "position": 0.5}


def _bf16_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **options: Any
) -> tuple[Tensor, None]:
    """Attention over `[batch, heads, tokens, width]` in the input's own precision.

    The fused CPU kernel spends a third of a training step in its backward pass; this takes half the time.
    """
    batch, heads, tokens, width = query.shape
    flat = (batch * heads, tokens, width)
    scores = torch.bmm(query.reshape(flat) * options["scaling"], key.reshape(flat).transpose(1, 2))
    if attention_mask is not None:
        scores = (scores.view(batch, heads, tokens, tokens) + attention_mask).flatten(0, 1)
    mixed = torch.bmm(scores.softmax(-1), value.reshape(flat))
    return mixed.view(query.shape).transpose(1, 2), None


AttentionInterface.register("bf16_full", _bf16_attention)


def encode(tower: Idefics3VisionTransformer, pixels: Tensor) -> Tensor:
    """Patch features `[images, 256, width]` of uint8 pixels `[images, 3, 128, 128]`, in the tower's precision."""
    dtype = tower.post_layernorm.weight.dtype
    scaled = ((pixels.float() / 255.0 - 0.5) / 0.5).to(dtype)
    mask = torch.ones(pixels.shape[0], GRID, GRID, dtype=torch.bool)
    embedded = tower.embeddings(scaled, mask)
    hidden: Tensor = tower.encoder(inputs_embeds=embedded, attention_mask=None).last_hidden_state
    return cast(Tensor, tower.post_layernorm(hidden))


def pixel_tensor(surface: Surface) -> Tensor:
    """Pixels as uint8 `[3, 128, 128]`."""
    return torch.from_numpy(surface.pixels.transpose(2, 0, 1).copy())


def dense_labels(surface: Surface) -> dict[str, Tensor]:
    """What the heads of phase one are taught: indices, -100 where a question has no answer."""
    blocks = surface.mask.reshape(GRID, PATCH, GRID, PATCH).transpose(0, 2, 1, 3).reshape(GRID * GRID, PATCH * PATCH)
    covered = (blocks > 0).sum(1)
    kind = KINDS.index(surface.kind)
    patches = np.where(covered >= _MIN_PATCH_PIXELS, kind, np.where(covered > 0, IGNORE, 0))
    position = IGNORE if surface.position is None else POSITIONS.index(surface.position)
    return {
        "patch_kind": torch.from_numpy(patches.astype(np.int64)),
        "surface": torch.tensor(SURFACES.index(surface.surface)),
        "kind": torch.tensor(kind),
        "count": torch.tensor(len(surface.instances)),
        "position": torch.tensor(position),
    }


def place_labels(patch_kind: Tensor) -> Tensor:
    """For each patch `[images, 256]` the cell of the 3 x 3 grid it lies in plus 1 where it shows a defect, else 0."""
    cell = (torch.arange(GRID) * 2 + 1) * 3 // (2 * GRID)
    cells = (3 * cell[:, None] + cell[None, :]).flatten() + 1
    return torch.where(patch_kind > 0, cells.expand_as(patch_kind), patch_kind)


class DenseSurfaces(Dataset[dict[str, Tensor]]):
    """Surface number `i` of a seeded stream, with its dense labels; a fifth of them harder than what is asked later."""

    def __init__(self, first_seed: int) -> None:
        """The stream starts at `first_seed`."""
        self.first_seed = first_seed

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        surface = make_surface(self.first_seed + index, _SUBTLE_SHARE)
        return {"pixels": pixel_tensor(surface), **dense_labels(surface)}


class DenseHeads(nn.Module):
    """Linear read-outs of patch features `[images, 256, width]`."""

    def __init__(self) -> None:
        """Weights are drawn from torch's global generator."""
        super().__init__()
        self.patch_kind = nn.Linear(VISION_WIDTH, len(KINDS))
        self.patch_surface = nn.Linear(VISION_WIDTH, len(SURFACES))
        self.kind = nn.Linear(2 * VISION_WIDTH, len(KINDS))
        self.count = nn.Linear(2 * VISION_WIDTH, MAX_COUNT + 1)
        self.position = nn.Linear((GRID // SCALE) ** 2 * VISION_WIDTH, len(POSITIONS))

    def forward(self, features: Tensor) -> dict[str, Tensor]:
        """Logits by head; `features` are cast to fp32."""
        features = features.float()
        pooled = torch.cat([features.mean(1), features.amax(1)], dim=-1)
        side = GRID // SCALE
        cells = features.view(-1, side, SCALE, side, SCALE, VISION_WIDTH).mean((2, 4)).flatten(1)
        return {
            "patch_kind": self.patch_kind(features),
            "patch_surface": self.patch_surface(features),
            "kind": self.kind(pooled),
            "count": self.count(pooled),
            "position": self.position(cells),
        }


def dense_loss(logits: dict[str, Tensor], batch: dict[str, Tensor]) -> Tensor:
    """Weighted sum of the cross entropies of all heads; patches without a defect weigh a quarter."""
    class_weight = torch.ones(len(KINDS))
    class_weight[0] = 0.25
    patches = logits["patch_surface"].shape[1]
    terms = {
        "patch_kind": functional.cross_entropy(
            logits["patch_kind"].flatten(0, 1), batch["patch_kind"].flatten(), class_weight, ignore_index=IGNORE
        ),
        "patch_surface": functional.cross_entropy(
            logits["patch_surface"].flatten(0, 1), batch["surface"].repeat_interleave(patches)
        ),
        "kind": functional.cross_entropy(logits["kind"], batch["kind"]),
        "count": functional.cross_entropy(logits["count"], batch["count"]),
        # the sum is divided by hand: a batch without a single-defect image would give 0/0
        "position": functional.cross_entropy(
            logits["position"], batch["position"], ignore_index=IGNORE, reduction="sum"
        )
        / max(1, int((batch["position"] != IGNORE).sum())),
    }
    return torch.stack([_WEIGHTS[name] * term for name, term in terms.items()]).sum()


def new_place_head(seed: int) -> nn.Linear:
    """Untrained read-out of the place of a patch's defect: ten classes, 0 for no defect."""
    torch.manual_seed(seed)
    return nn.Linear(VISION_WIDTH, len(POSITIONS) + 1)


def place_loss(place: nn.Linear, features: Tensor, patch_kind: Tensor) -> Tensor:
    """Cross entropy of `place_labels`, patches without a defect weighing a twentieth.

    Patches with a defect keep next to nothing of where they are (9 % right, a tenth is chance) unless asked, and the
    language model, which has no other way to know, then stays at chance on places.
    """
    weight = torch.ones(len(POSITIONS) + 1)
    weight[0] = 0.05
    logits = place(features.float()).flatten(0, 1)
    return functional.cross_entropy(logits, place_labels(patch_kind).flatten(), weight, ignore_index=IGNORE)


@torch.no_grad()
def place_accuracy(tower: Idefics3VisionTransformer, place: nn.Linear, first_seed: int, images: int) -> float:
    """Share of fresh surfaces with one defect whose place the summed probabilities of all patches give."""
    right = []
    for start in range(first_seed, first_seed + images, 64):
        surfaces = [make_surface(seed) for seed in range(start, start + 64)]
        single = [surface for surface in surfaces if surface.position is not None]
        logits = place(encode(tower, torch.stack([pixel_tensor(surface) for surface in single])).float())
        guesses = logits.softmax(-1)[..., 1:].sum(1).argmax(-1)
        right += [POSITIONS[guess] == surface.position for guess, surface in zip(guesses, single, strict=True)]
    return sum(right) / len(right)


@torch.no_grad()
def probe(tower: Idefics3VisionTransformer, heads: DenseHeads, first_seed: int, images: int) -> dict[str, float]:
    """Accuracy of the heads on fresh surfaces, and the F1 of defect patches (any kind against none)."""
    stream = DenseSurfaces(first_seed)
    right: dict[str, list[float]] = {"kind": [], "count": [], "position": [], "surface": []}
    hits = found = real = 0
    for start in range(0, images, 64):
        rows = [stream[index] for index in range(start, min(images, start + 64))]
        batch = {key: torch.stack([row[key] for row in rows]) for key in rows[0]}
        logits = heads(encode(tower, batch["pixels"]))
        logits["surface"] = logits["patch_surface"].mean(1)
        for name, values in right.items():
            known = batch[name] != IGNORE
            values += (logits[name].argmax(-1) == batch[name])[known].float().tolist()
        guess, truth = logits["patch_kind"].argmax(-1) > 0, batch["patch_kind"] > 0
        hits, found, real = hits + int((guess & truth).sum()), found + int(guess.sum()), real + int(truth.sum())
    accuracies = {name: sum(values) / max(1, len(values)) for name, values in right.items()}
    return {**accuracies, "patch_f1": 2 * hits / max(1, found + real)}
