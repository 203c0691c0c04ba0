"""Labelled boxes: a JSON list in xyxy 0-1000 of the first image."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from finetune.config.schema import TaskConfig
from finetune.errors import DataError
from finetune.example import Box, Example, Message, Outcome, Score
from finetune.scoring import box_text as boxes
from finetune.scoring.assertions import spellings
from finetune.scoring.refusals import looks_refused
from finetune.scoring.replies import fold, without_reasoning
from finetune.tasks import _seam
from finetune.tasks._seam import no_labels as labels
from finetune.tasks._seam import open_choices as choices

PARSER = "detect/3"
QUESTION = (
    "Find every {labels}. Answer with a JSON list of objects with label and box, the box as [x1, y1, x2, y2] in "
    "thousandths of the image's width and height, [] if there is none."
)
TILES = ("nms",)
"""Ways in which answers about tiles make one about the image."""
METRICS = ("f1_iou50", "count_error", "map_50")

__all__ = ["METRICS", "PARSER", "QUESTION", "Options", "choices", "labels"]


@dataclass(frozen=True)
class Options:
    """`task.options` of this task: there are none."""


def problems(task: TaskConfig) -> list[str]:
    """What is wrong with the task section, worded for the user."""
    found = _seam.option_problems(task, Options)
    return found if task.labels else [*found, "task.labels: the task detect needs the labels that boxes can have"]


def admit(task: TaskConfig, example: Example) -> Example:
    """The example, its boxes checked against the labels; its target is made once the image's size is known.

    Raises:
        DataError: there are neither boxes nor a canonical target, or one has a label that nobody declared.
    """
    placed = [] if example.boxes is not None else boxes.from_json(example.target)
    for label in (*(box.label for box in example.boxes or ()), *(box.label for box in placed)):
        if label not in task.labels:
            raise DataError(f"box label {label!r} is none of task.labels ({', '.join(map(repr, task.labels))})")
    return replace(example, target="") if example.boxes is not None else replace(example, target=boxes.to_json(placed))


def complete(task: TaskConfig, example: Example, sizes: Sequence[tuple[int, int]]) -> Example:
    """The example with its boxes as canonical text.

    Args:
        task: the section of the config.
        example: its boxes in pixels.
        sizes: (height, width) of its images, upright.

    Raises:
        DataError: a box lies on another image than the first.
    """
    if example.boxes is None:
        return example
    if any(box.image for box in example.boxes):
        raise DataError("boxes on a second image cannot be asked for; only those on the first can")
    return replace(example, target=boxes.to_json(boxes.canonical(example.boxes, sizes[0])))


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
    """The prompt: `task.question` with the labels listed, or the example's own question."""
    return _seam.ask(_seam.template(task, QUESTION), example, task.labels)


def parse(text: str, labels: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """Reads the boxes in any form that tells its own space (`finetune.scoring.box_text.read`), as canonical text.

    A box with a label that nobody declared keeps its name, and counts as a false alarm. An empty list beside a refusal
    is no answer.
    """
    found = boxes.read(without_reasoning(text))
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
