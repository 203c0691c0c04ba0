"""General questions for the embedded model: what it was pretrained on, on surfaces that it never saw."""

from itertools import cycle
from pathlib import Path

import numpy as np

from finetune.embedded.questions import TASKS, Question
from finetune.embedded.surfaces import Surface, make_surface
from finetune.example import Example, ImageRef, Message
from finetune.regressions.ask import Item

NAME = "surfaces"
FIRST_SEED = 3 * 10**12
"""Far from the seeds of the pretraining (from 0 on) and of the figures in the model's own card (from 2e12 on)."""
ITEMS = 200
FEWEST = 28
"""Four of each kind."""


def items(images: Path, count: int = ITEMS) -> list[Item]:
    """Draws `count` surfaces into `images`, one closed question each, the kinds of question in turn.

    A pure function of the seed: the same questions in every run and on every machine.
    """
    found: list[Item] = []
    tasks = cycle(name for name in TASKS if name != "describe")
    task, seed = next(tasks), FIRST_SEED
    while len(found) < count:
        surface = make_surface(seed)
        question = _question(task, surface)
        seed += 1
        if question is None or question.labels is None:
            continue
        file = f"{len(found):04d}.png"
        surface.image().save(images / file, compress_level=1)
        found.append(_item(question, file, surface.seed))
        task = next(tasks)
    return found


def _question(task: str, surface: Surface) -> Question | None:
    ask, _ = TASKS[task]
    return ask(surface, np.random.default_rng([surface.seed, 3]))


def _item(question: Question, file: str, seed: int) -> Item:
    name = f"{question.task}/{seed}"
    example = Example(name, (ImageRef(file),), question.answer, name, messages=(Message("user", question.text),))
    return Item(example, question.labels or ())
