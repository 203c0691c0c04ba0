"""Refusal regression: did tuning change how the model declines what it cannot know?

A model tuned on a closed set of labels tends to answer with them whatever it is asked. Two kinds of question have no
answer: the run's own question on a blank picture, and a question about something that is in no picture of the run. Both
say how to decline. Whether the model still answers what can be answered is read from the general questions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from finetune import stats
from finetune.example import Example, ImageRef, Message, Prediction
from finetune.regressions.ask import Item
from finetune.regressions.general_ability import PAIR, Replies, reading
from finetune.rundir import Json

DECLINED = "cannot tell"
SPELLINGS = (
    "can't tell",
    "cannot be determined",
    "can't be determined",
    "cannot say",
    "not visible",
    "not shown",
    "not possible to tell",
    "unanswerable",
    "unknown",
    "i don't know",
)
HINT = f"If the image does not show it, answer: {DECLINED}."
ABSENT = (
    "What time does the clock show?",
    "What colour is the car?",
    "What does the road sign say?",
    "Which number is on the football shirt?",
    "What is the name on the boat?",
)
ITEMS = 20
"""Questions of each kind."""
SIDE_PX = 224


def items(examples: Sequence[Example], labels: Sequence[str], images: Path) -> dict[str, list[Item]]:
    """Kind -> questions that have no answer; `blank` pictures are drawn into `images`.

    Args:
        examples: of the test split; the first ones are used, as many as there are.
        labels: the run's closed answers, or none.
        images: folder for the blank pictures.

    Returns:
        `blank`, whose images are below `images`, and `absent`, whose images are the run's own.
    """
    chosen = examples[:ITEMS]
    blank = [_item(f"blank/{n}", example.question, _blank(images, n), labels) for n, example in enumerate(chosen)]
    absent = [
        _item(f"absent/{n}", ABSENT[n % len(ABSENT)], example.images[:1], labels) for n, example in enumerate(chosen)
    ]
    return {"blank": blank, "absent": absent}


def _item(name: str, question: str, images: tuple[ImageRef, ...], labels: Sequence[str]) -> Item:
    taken = {label.casefold() for label in labels}
    spelled = tuple(spelling for spelling in SPELLINGS if spelling not in taken)
    message = Message("user", f"{question} {HINT}")
    example = Example(name, images, DECLINED, name, messages=(message,))
    return Item(example, (*(label for label in labels if label.casefold() != DECLINED), DECLINED), {DECLINED: spelled})


def _blank(images: Path, number: int) -> tuple[ImageRef, ...]:
    """One even grey, every second one with the noise of a camera that looks at nothing."""
    rng = np.random.default_rng([5, number])
    grey = np.full((SIDE_PX, SIDE_PX), rng.integers(16, 240), np.float64)
    if number % 2:
        grey += rng.normal(0.0, 6.0, grey.shape)
    file = f"blank_{number:02d}.png"
    Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB").save(images / file, compress_level=1)
    return (ImageRef(file),)


def panel(unanswerable: Mapping[str, Replies], answerable: Sequence[Replies], labels: Sequence[str]) -> Json:
    """The refusal panel.

    Args:
        unanswerable: kind -> replies of base and tuned model to questions without an answer.
        answerable: replies to the general questions, one entry a set.
        labels: the run's closed answers.

    Returns:
        `unanswerable`: kind -> `n`, for base and tuned the shares `declined` and `own_label` (answered with a label of
        the run), and the `difference` of what was declined. `answerable`: `n`, the share `unanswered` of each and its
        difference; null where no general question was asked.
    """
    found = {kind: _unanswerable(replies, labels) for kind, replies in unanswerable.items() if replies["base"]}
    together = {who: [p for replies in answerable for p in replies[who]] for who in PAIR}
    return {"unanswerable": found, "answerable": _answerable(together) if together["base"] else None}


def _unanswerable(replies: Replies, labels: Sequence[str]) -> Json:
    declined = {who: [p.answer == DECLINED or p.outcome == "refused" for p in replies[who]] for who in PAIR}
    return {
        "n": len(replies["base"]),
        **{
            who: {
                "declined": _share(declined[who]),
                "own_label": _share([p.answer is not None and p.answer in labels for p in replies[who]]),
            }
            for who in PAIR
        },
        "difference": _difference(declined),
        "examples": [
            {"question": base.question, "base": base.text, "tuned": tuned.text}
            for base, tuned in zip(replies["base"][:3], replies["tuned"][:3], strict=True)
        ],
    }


def _answerable(replies: Mapping[str, Sequence[Prediction]]) -> Json:
    silent = {who: [p.answer is None for p in replies[who]] for who in PAIR}
    return {
        "n": len(silent["base"]),
        **{who: {"unanswered": _share(silent[who])} for who in PAIR},
        "difference": _difference(silent),
    }


def _share(hits: Sequence[bool]) -> Json:
    return asdict(stats.wilson(sum(hits), len(hits)))


def _difference(hits: Mapping[str, Sequence[bool]]) -> Json:
    """Tuned minus base; every question is independent of the others."""
    alone = [str(number) for number in range(len(hits["base"]))]
    found = stats.paired_difference(hits["tuned"], hits["base"], alone)
    return {**asdict(found), "reading": reading(found.low, found.high)}
