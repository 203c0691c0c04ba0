"""Labelled boxes on the first image, asked and read in one notation, scored in canonical space."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from finetune.config.schema import TaskConfig
from finetune.errors import DataError
from finetune.example import Box, Example, Message, Outcome, Score
from finetune.scoring import box_notations as notations
from finetune.scoring import box_text as boxes
from finetune.scoring.assertions import spellings
from finetune.scoring.box_notations import Form
from finetune.scoring.refusals import looks_refused
from finetune.scoring.replies import fold, without_reasoning
from finetune.tasks import _seam
from finetune.tasks._seam import no_labels as labels
from finetune.tasks._seam import open_choices as choices

PARSER = "detect/4"
QUESTION = "Find every {labels}."
_SAYS_FORM = re.compile(r"\bx_?1\b|\bxmin\b|bbox|box_2d|thousandth|<box|<loc|\bJSON\b", re.IGNORECASE)
form_of = notations.spelled
"""The form that the field `parser` of a prediction names after the parser, to read its text again."""
TILES = ("nms",)
"""Ways in which answers about tiles make one about the image."""
LEFT_OUT = "labels_left_out"
"""Column of an example: boxes whose label is not one of `task.labels`."""
METRICS = ("f1_iou50", "count_error", "unreadable_boxes", "map_50", "map_50_95")

__all__ = ["METRICS", "PARSER", "QUESTION", "Options", "choices", "labels"]


@dataclass(frozen=True)
class Options:
    """`task.options` of this task.

    Attributes:
        boxes: notation of questions, targets and replies: `native` (what the family's weights were
            taught, else `json`, for models of this package `compact`) or a name of
            `finetune.scoring.box_notations.NOTATIONS`.
    """

    boxes: str = "native"


def problems(task: TaskConfig) -> list[str]:
    """What is wrong with the task section, worded for the user."""
    found = _seam.option_problems(task, Options)
    if found:
        return found
    name = _seam.options(task, Options).boxes
    if name != "native" and name not in notations.NOTATIONS:
        known = ", ".join(notations.NOTATIONS)
        return [f"task.options.boxes: got {name!r}, expected native or one of {known}"]
    if wrong := [label for label in task.labels if re.search(r"[<>\[\];\n]", label) or label == notations.NONE]:
        return [f"task.labels: {wrong[0]!r} holds <, >, [, ], ; or a line break, or is 'none'; notations use them"]
    return [] if task.labels else ["task.labels: the task detect needs the labels that boxes can have"]


def admit(task: TaskConfig, example: Example) -> Example:
    """The example with the boxes of the declared labels; its target is made once the image's size is known.

    Boxes of other labels in pixels are left out and counted in the column `labels_left_out`.

    Raises:
        DataError: there are neither boxes nor a canonical target, or a target has a label that nobody declared.
    """
    if example.boxes is not None:
        wanted = tuple(box for box in example.boxes if box.label in task.labels)
        left_out = len(example.boxes) - len(wanted)
        meta = {**example.meta, LEFT_OUT: str(left_out)} if left_out else example.meta
        return replace(example, target="", boxes=wanted, meta=meta)
    placed = boxes.from_json(example.target)
    for box in placed:
        if box.label not in task.labels:
            raise DataError(f"box label {box.label!r} is none of task.labels ({', '.join(map(repr, task.labels))})")
    return replace(example, target=boxes.to_json(placed))


def complete(task: TaskConfig, example: Example, sizes: Sequence[tuple[int, int]]) -> Example:
    """The example with its boxes as canonical text.

    Args:
        task: the section of the config.
        example: its boxes in pixels.
        sizes: (height, width) of its images, upright.

    Raises:
        DataError: a box lies on another image than the first.
    """
    size = sizes[0] if sizes else None
    if example.boxes is None or size is None:
        return replace(example, size=size)
    if any(box.image for box in example.boxes):
        raise DataError("boxes on a second image cannot be asked for; only those on the first can")
    return replace(example, target=boxes.to_json(boxes.in_thousandths(example.boxes, size)), size=size)


def whole(example: Example, size: tuple[int, int], empty: str | None) -> str:
    """The boxes of an image that is cut into tiles, unrounded.

    Raises:
        DataError: they are not in pixels.
    """
    if example.boxes is None:
        raise DataError("has its boxes in thousandths, which data.tiles cannot cut; give them in pixels")
    return boxes.to_json(boxes.in_thousandths(example.boxes, size))


def of_tile(example: Example, boxes: Sequence[Box], empty: str | None) -> str:
    """Nothing yet: `complete` makes the answer from the boxes in the tile."""
    return ""


def vocabulary(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[str, ...]:
    """What the parser may name: the declared labels."""
    return task.labels


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether this example may carry a verdict: all found and nothing invented is a clear yes or no."""
    return True


def messages(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[Message, ...]:
    """The prompt: `task.question` with the labels listed, or the example's own question.

    A question that says nothing of the form is followed by the sentence of the notation; a default
    question gives way to the one that the weights of the family know.
    """
    name = _seam.options(task, Options).boxes
    notation = notations.of("json" if name == "native" else name)
    text = _seam.template(task, QUESTION)
    if notation.prompt and text == QUESTION:
        return _seam.ask(notation.prompt.replace("{labels}", " ; ".join(task.labels)), example, ())
    asked = _seam.ask(text, example, task.labels)
    if any(turn.role == "user" and _SAYS_FORM.search(turn.text) for turn in asked):
        return asked
    last = max(index for index, turn in enumerate(asked) if turn.role == "user")
    said = Message("user", f"{asked[last].text.rstrip()} {notation.sentence}")
    return (*asked[:last], said, *asked[last + 1 :])


def parse(
    text: str,
    labels: Sequence[str],
    synonyms: Mapping[str, Sequence[str]] | None = None,
    form: Form | None = None,
) -> str | None:
    """Reads the boxes in the form that was asked for (`json` where none is given), as canonical text.

    A box with a label that nobody declared keeps its name, and counts as a false alarm. An empty list beside a refusal
    is no answer.
    """
    found = (form or Form(notations.of("json"))).read(without_reasoning(text))
    if found is None or (not found and looks_refused(text)):
        return None
    known = spellings(labels, synonyms)
    return boxes.to_json([replace(box, label=known.get(fold(box.label), box.label)) for box in found])


def outcome(text: str, answer: str | None, gold: str) -> Outcome:
    """What became of one reply: correct where every box is found at IoU 0.5 and none is invented."""
    if answer is None:
        return "refused" if looks_refused(text) else "unparsed"
    from finetune.scoring.box_metrics import exact

    return "correct" if exact(gold, answer) else "wrong"


def judge(task: TaskConfig) -> Callable[[str, str | None, str], Outcome]:
    """`outcome`; no option changes it."""
    return outcome


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """F1 at IoU 0.5, count error, and average precision where boxes have scores."""
    from finetune.scoring import box_metrics as scored

    return scored.metrics(golds, answers, groups)
