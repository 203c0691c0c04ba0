"""Questions and answers about a procedural surface, in many wordings.

Closed questions list their possible answers in a shuffled order and partly under other names, so that the model learns
to pick from the list in the prompt rather than to recite the words it was trained on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from finetune.embedded.surfaces import KINDS, POSITIONS, SURFACES, Surface

Rng = np.random.Generator


@dataclass(frozen=True)
class Question:
    """One question about one image: `task` names the skill, `labels` the allowed answers where they are listed."""

    task: str
    text: str
    answer: str
    labels: tuple[str, ...] | None = None


# The first name is the one used where no list is given.
SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "none": ("none", "no defect", "nothing"),
    "crack": ("crack", "fracture", "fissure"),
    "scratch": ("scratch", "score mark", "scuff"),
    "spot": ("spot", "speck", "bright dots"),
    "hole": ("hole", "puncture", "black hole"),
    "stain": ("stain", "blotch", "soft dark patch"),
    "dent": ("dent", "bump", "dimple"),
    "chip": ("chip", "broken edge", "missing edge"),
    "dark area": ("dark area", "dark region", "shaded region"),
}
# Pairs for the two-way verdict; the names of real data sets are left to fine-tuning.
VERDICTS: Final = (
    ("good", "bad"), ("ok", "faulty"), ("intact", "damaged"), ("pass", "fail"), ("clean", "flawed"),
    ("accept", "reject"), ("normal", "abnormal"), ("sound", "broken"), ("healthy", "unhealthy"),
)  # fmt: skip
NUMBERS: Final = ("none", "one", "two", "three", "four")
LIST_HINTS: Final = (
    "Answer with one of: {}.", "Choose one of: {}.", "Options: {}.", "Reply with one of: {}.", "One of: {}.",
    "Pick from: {}.", "Possible answers: {}.",
)  # fmt: skip
_THING = ("surface", "part", "sample", "image", "piece")


def pick(rng: Rng, choices: tuple[str, ...]) -> str:
    """One of `choices`, each equally likely."""
    return choices[int(rng.integers(len(choices)))]


def listed(rng: Rng, labels: list[str]) -> tuple[str, tuple[str, ...]]:
    """A hint that names all `labels` in a random order, and that order."""
    order = tuple(labels[index] for index in rng.permutation(len(labels)))
    joined = ", ".join(order) if rng.random() < 0.8 else " or ".join(order)
    return pick(rng, LIST_HINTS).format(joined), order


def _closed(rng: Rng, task: str, stems: tuple[str, ...], answer: str, labels: list[str], share: float) -> Question:
    """A question from `stems`, with its labels listed in `share` of the cases."""
    stem = pick(rng, stems).format(pick(rng, _THING))
    if rng.random() >= share:
        return Question(task, stem, answer)
    hint, order = listed(rng, labels)
    return Question(task, f"{stem} {hint}", answer, order)


def ask_surface(surface: Surface, rng: Rng) -> Question:
    """What the material is."""
    stems = ("What material is this?", "Which surface is shown?", "What is the {} made of?", "Name the material.")
    return _closed(rng, "surface", stems, surface.surface, list(SURFACES), 0.5)


def ask_kind(surface: Surface, rng: Rng) -> Question:
    """Which defect there is, from all kinds, or from a few of them that include the right one."""
    stems = (
        "Which defect is visible?", "What is wrong with this {}?", "Which defect does the {} show?",
        "What kind of defect is this?", "Which fault is visible on the {}?", "Name the defect.",
    )  # fmt: skip
    if rng.random() < 0.4:
        return _closed(rng, "kind", stems, surface.kind, list(KINDS), 0.6)
    kinds = list(KINDS)
    if rng.random() < 0.5:
        others = [kind for kind in KINDS if kind != surface.kind]
        kinds = [surface.kind, *rng.choice(others, int(rng.integers(1, 6)), replace=False).tolist()]
    names = {kind: pick(rng, SYNONYMS[kind]) for kind in kinds}
    return _closed(rng, "kind", stems, names[surface.kind], list(names.values()), 1.0)


def ask_position(surface: Surface, rng: Rng) -> Question | None:
    """Where the only defect is."""
    if surface.position is None:
        return None
    stems = ("Where is the defect?", "Where is the " + surface.kind + "?", "In which part of the image is the defect?")
    return _closed(rng, "position", stems, surface.position, list(POSITIONS), 0.4)


def ask_present(surface: Surface, rng: Rng) -> Question:
    """Whether there is a defect of one kind, or any; as yes or no."""
    hint = pick(rng, ("", "", " Answer yes or no.", " Answer with one of: yes, no.", " Answer with one of: no, yes."))
    if rng.random() < (0.6 if surface.kind == "none" else 0.25):
        stems = ("Is there a defect?", "Is this {} damaged?", "Does the {} have a defect?", "Is anything wrong here?")
        text, answer = pick(rng, stems).format(pick(rng, _THING)), surface.kind != "none"
    else:
        answer = surface.kind != "none" and rng.random() < 0.6
        others = tuple(kind for kind in KINDS[1:] if kind != surface.kind)
        name = pick(rng, SYNONYMS[surface.kind if answer else pick(rng, others)][:2])
        text = pick(rng, ("Is there a {}?", "Does the surface show a {}?", "Can you see a {}?")).format(name)
    return Question("present", text + hint, "yes" if answer else "no", ("yes", "no"))


def ask_verdict(surface: Surface, rng: Rng) -> Question:
    """The state of the part, in a pair of words that the question names."""
    good, bad = VERDICTS[int(rng.integers(len(VERDICTS)))]
    stems = ("What is the state of this {}?", "How is this {}?", "Judge this {}.", "Is this {} fine?", "Verdict?")
    return _closed(rng, "verdict", stems, good if surface.kind == "none" else bad, [good, bad], 1.0)


def ask_count(surface: Surface, rng: Rng) -> Question:
    """How many defects there are, in words."""
    stems = ("How many defects are there?", "Count the defects.", "How many faults does the {} have?")
    return _closed(rng, "count", stems, NUMBERS[len(surface.instances)], list(NUMBERS), 0.4)


def ask_larger(surface: Surface, rng: Rng) -> Question | None:
    """Which of two defects is larger."""
    if surface.larger is None:
        return None
    stems = ("Which of the two defects is larger?", "Where is the larger defect?", "Which defect is the bigger one?")
    pair = ["left", "right"] if surface.larger in ("left", "right") else ["upper", "lower"]
    labels = pair if rng.random() < 0.7 else ["left", "right", "upper", "lower"]
    return _closed(rng, "larger", stems, surface.larger, labels, 0.7)


def ask_describe(surface: Surface, rng: Rng) -> Question:
    """A sentence on all that can be seen."""
    stems = ("Describe the {}.", "Describe what you see.", "What do you see?", "Report on this {}.")
    return _closed(rng, "describe", stems, describe(surface), [], 0.0)


def describe(surface: Surface) -> str:
    """One line: number, kind, place where there is one, material."""
    count = len(surface.instances)
    if count == 0:
        return f"{surface.surface} without a defect"
    if count == 1:
        return f"{surface.surface} with one {surface.kind}, {surface.instances[0].position}"
    return f"{surface.surface} with {NUMBERS[count]} {surface.kind}s"


TASKS: Final[dict[str, tuple[Callable[[Surface, Rng], Question | None], float]]] = {
    "surface": (ask_surface, 0.6),
    "kind": (ask_kind, 2.0),
    "position": (ask_position, 1.6),
    "present": (ask_present, 1.3),
    "verdict": (ask_verdict, 1.0),
    "count": (ask_count, 0.9),
    "larger": (ask_larger, 1.2),
    "describe": (ask_describe, 0.6),
}


# What is learned last gets the most room in the later part of training: finding a place takes longest by far.
LATE_SHARES: Final = {
    "surface": 0.4, "kind": 2.0, "position": 5.0, "present": 3.0, "verdict": 0.8, "count": 2.0, "larger": 3.0,
    "describe": 1.0,
}  # fmt: skip


def draw_questions(surface: Surface, rng: Rng, number: int, late: bool = False) -> list[Question]:
    """`number` questions that this surface can answer, tasks by their share, or by their late share."""
    shares = np.array([LATE_SHARES[task] if late else share for task, (_, share) in TASKS.items()])
    shares /= shares.sum()
    drawn: list[Question] = []
    names = list(TASKS)
    while len(drawn) < number:
        ask, _ = TASKS[names[int(rng.choice(len(names), p=shares))]]
        question = ask(surface, rng)
        if question is not None:
            drawn.append(question)
    return drawn
