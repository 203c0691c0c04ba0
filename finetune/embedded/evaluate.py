"""What the embedded model can do, measured on surfaces whose seeds were never trained on.

Two ways to answer, as in the product: greedy generation, and choosing the label with the highest probability.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from tqdm import tqdm
from transformers import AutoModelForImageTextToText, AutoProcessor, Idefics3ForConditionalGeneration, Idefics3Processor

from finetune.embedded.language_phase import answer_logits, pack, prefix_ids, question_ids, stack
from finetune.embedded.questions import LIST_HINTS, NUMBERS, Question, ask_larger, pick
from finetune.embedded.surfaces import KINDS, POSITIONS, SURFACES, Surface, make_surface
from finetune.embedded.tower import encode, pixel_tensor

FIRST_SEED: Final = 2 * 10**12
_BATCH = 32
Rng = np.random.Generator


def _from_list(task: str, text: str, answer: str, labels: tuple[str, ...], rng: Rng) -> Question:
    order = [labels[index] for index in rng.permutation(len(labels))]
    return Question(task, f"{text} {LIST_HINTS[0].format(', '.join(order))}", answer, labels)


def _kind(surface: Surface, rng: Rng) -> Question:
    return _from_list("kind", "Which defect is visible?", surface.kind, KINDS, rng)


def _position(surface: Surface, rng: Rng) -> Question | None:
    if surface.position is None:
        return None
    return _from_list("position", "Where is the defect?", surface.position, POSITIONS, rng)


def _surface(surface: Surface, rng: Rng) -> Question:
    return _from_list("surface", "What material is this?", surface.surface, SURFACES, rng)


def _count(surface: Surface, rng: Rng) -> Question:
    return _from_list("count", "How many defects are there?", NUMBERS[len(surface.instances)], NUMBERS, rng)


def _present(surface: Surface, rng: Rng) -> Question | None:
    """Asked of all clean surfaces and of every fourth other one, so that yes and no are about as frequent."""
    if surface.kind != "none" and rng.random() > 0.25:
        return None
    answer = "no" if surface.kind == "none" else "yes"
    return _from_list("present", "Is there a defect?", answer, ("yes", "no"), rng)


def _named(surface: Surface, rng: Rng) -> Question:
    """Is there a crack, and so on: as many yes as no."""
    there = surface.kind != "none" and rng.random() < 0.625
    others = tuple(kind for kind in KINDS[1:] if kind != surface.kind)
    text = f"Is there a {surface.kind if there else pick(rng, others)}?"
    return _from_list("present", text, "yes" if there else "no", ("yes", "no"), rng)


def _verdict(surface: Surface, rng: Rng) -> Question:
    answer = "good" if surface.kind == "none" else "bad"
    return _from_list("verdict", "What is the state of this part?", answer, ("good", "bad"), rng)


SKILLS: Final[dict[str, Callable[[Surface, Rng], Question | None]]] = {
    "kind": _kind,
    "position": _position,
    "yes_no": _present,
    "yes_no_named": _named,
    "verdict": _verdict,
    "surface": _surface,
    "count": _count,
    "larger": ask_larger,
}


def load(folder: Path) -> tuple[Idefics3ForConditionalGeneration, Idefics3Processor]:
    """Model in bf16 and processor from a folder, through the Auto classes and without the network."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16, local_files_only=True)
    processor = AutoProcessor.from_pretrained(folder, local_files_only=True)
    return cast(Idefics3ForConditionalGeneration, model.train(False)), processor


def prompt_text(processor: Idefics3Processor, question: str) -> str:
    """The chat template around one image and one question, up to where the answer starts."""
    chat: list[Any] = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    return str(processor.apply_chat_template(chat, add_generation_prompt=True))


@torch.no_grad()
def generate(
    model: Idefics3ForConditionalGeneration, processor: Idefics3Processor, asked: list[tuple[Surface, Question]]
) -> list[str]:
    """Greedy answers, stripped."""
    texts = [prompt_text(processor, question.text) for _, question in asked]
    images = [[surface.image()] for surface, _ in asked]
    batch = processor(text=texts, images=images, padding=True, padding_side="left", return_tensors="pt")
    batch["pixel_values"] = batch["pixel_values"].to(model.dtype)
    out = model.generate(**batch, max_new_tokens=12, do_sample=False)
    new = out[:, batch["input_ids"].shape[1] :]
    texts = processor.batch_decode(new, skip_special_tokens=True)
    return [text.strip() for text in texts]


@torch.no_grad()
def choose(
    model: Idefics3ForConditionalGeneration, processor: Idefics3Processor, asked: list[tuple[Surface, Question]]
) -> list[str]:
    """The most probable label of each question, end token included; `labels` must be set."""
    tokenizer = processor.tokenizer
    prefix = prefix_ids(tokenizer)
    rows, labels = [], []
    for surface, question in asked:
        names = question.labels or ()
        candidates = [question_ids(tokenizer, Question(question.task, question.text, name)) for name in names]
        rows.append(pack(prefix, candidates, pixel_tensor(surface)))
        labels.append(names)
    batch = stack(rows)
    logits, answered = answer_logits(model, batch, encode(model.model.vision_model, batch.pixels))
    target = batch.labels[:, 1:][answered]
    logprob = logits.log_softmax(-1).gather(-1, target[:, None])[:, 0]
    widest = max(len(names) for names in labels) + 1
    slot = (batch.block[:, 1:] + widest * torch.arange(len(rows))[:, None])[answered]
    total = torch.zeros(widest * len(rows)).index_add_(0, slot, logprob).view(len(rows), widest)
    return [names[int(total[row, 1 : len(names) + 1].argmax())] for row, names in enumerate(labels)]


def evaluate(folder: Path, images: int, first_seed: int = FIRST_SEED) -> dict[str, dict[str, Any]]:
    """Figures by skill on `images` surfaces from `first_seed` on.

    `n` questions, `majority` (the share of the commonest answer), `generated` and `chosen` (accuracy of either way of
    answering; `chosen` is None where not every question lists its labels), `balanced` (mean recall over the true
    answers, generated).
    """
    model, processor = load(folder)
    surfaces = [make_surface(seed) for seed in range(first_seed, first_seed + images)]
    figures: dict[str, dict[str, Any]] = {}
    for skill, ask in tqdm(SKILLS.items(), desc="evaluate"):
        drawn = [(surface, ask(surface, np.random.default_rng([surface.seed, 2]))) for surface in surfaces]
        asked = [(surface, question) for surface, question in drawn if question is not None]
        gold = [question.answer for _, question in asked]
        closed = all(question.labels is not None for _, question in asked)
        generated, chosen = [], []
        for start in range(0, len(asked), _BATCH):
            generated += generate(model, processor, asked[start : start + _BATCH])
            chosen += choose(model, processor, asked[start : start + _BATCH]) if closed else []
        figures[skill] = {
            "n": len(asked),
            "majority": round(max(gold.count(answer) for answer in set(gold)) / len(gold), 3),
            "generated": _accuracy(generated, gold),
            "chosen": _accuracy(chosen, gold) if closed else None,
            "balanced": _balanced(generated, gold),
        }
    return figures


def _accuracy(answers: list[str], gold: list[str]) -> float:
    return round(sum(a == b for a, b in zip(answers, gold, strict=True)) / len(gold), 3)


def _balanced(answers: list[str], gold: list[str]) -> float:
    recalls = [
        sum(a == truth for a, b in zip(answers, gold, strict=True) if b == truth) / gold.count(truth)
        for truth in sorted(set(gold))
    ]
    return round(sum(recalls) / len(recalls), 3)
