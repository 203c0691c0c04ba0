"""Closed-set classification: one answer out of a list of labels."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from finetune.config.schema import TaskConfig
from finetune.errors import DataError
from finetune.example import Box, Example, Message, Outcome, Score
from finetune.scoring.assertions import ambiguous, answers, only
from finetune.scoring.refusals import looks_refused
from finetune.scoring.replies import fold
from finetune.tasks import _seam
from finetune.tasks._seam import complete as complete

PARSER = "classify/4"
TILES = ("any", "max")
"""Ways in which answers about tiles make one about the image."""


@dataclass(frozen=True)
class Options:
    """`task.options` of this task.

    Attributes:
        ordered: `task.labels` stand in their order, least first, so that weighted kappa can be told.
    """

    ordered: bool = False


def problems(task: TaskConfig) -> list[str]:
    """What is wrong with the task section, worded for the user."""
    found = _seam.option_problems(task, Options)
    if not found and _seam.options(task, Options).ordered and len(task.labels) < 3:
        return ["task.options.ordered: needs task.labels with at least 3 labels, least first"]
    return found


def labels(task: TaskConfig, examples: Iterable[Example]) -> tuple[str, ...]:
    """The closed answers: those declared in `task.labels`, else those found in the source, sorted.

    Raises:
        DataError: one spelling, of a label found or of a synonym, would name two labels.
    """
    found = task.labels or tuple(sorted({example.target for example in examples}))
    for spelling, owners in ambiguous(found, task.synonyms).items():
        same = {fold(owner) for owner in owners} == {spelling}
        said = (
            f"the labels {owners[0]!r} and {owners[1]!r} differ only in case or blanks"
            if same
            else f"the spelling {spelling!r} would name both {owners[0]!r} and {owners[1]!r} (task.synonyms)"
        )
        raise DataError(
            f"{said}, and no answer tells them apart. "
            "Correct the source, or map one to the other with data.options.relabel."
        )
    return found


def admit(task: TaskConfig, example: Example) -> Example:
    """The example as the task scores it.

    Raises:
        DataError: its target is none of the declared labels.
    """
    if task.labels and example.target not in task.labels:
        raise DataError(
            f"label {example.target!r} is none of task.labels ({', '.join(map(repr, task.labels))}): "
            "correct the row, add it to task.labels, or map it with data.options.relabel"
        )
    return example


def whole(example: Example, size: tuple[int, int], empty: str | None) -> str:
    """The answer about an image that is cut into tiles.

    Raises:
        DataError: its boxes do not say which of its tiles have that answer.
    """
    found = sorted({box.label for box in example.boxes or ()})
    if not found and example.target != empty:
        raise DataError(
            f"has the answer {example.target!r} and no boxes, so nothing says which of its tiles show it; give boxes "
            f"or masks. Only an image of data.tiles.empty ({empty!r}) needs none"
        )
    if found and example.target == empty:
        raise DataError(f"has boxes ({', '.join(found)}) and the answer {empty!r}, which is that of tiles without any")
    if len(found) > 1:
        raise DataError(f"has boxes of several labels ({', '.join(found)}): one answer a tile cannot tell them apart")
    return example.target


def of_tile(example: Example, boxes: Sequence[Box], empty: str | None) -> str:
    """The answer of a tile: that of its image where it holds a box, else the declared one."""
    return example.target if boxes else str(empty)


def messages(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[Message, ...]:
    """The prompt of one example: its own question where the source has one, else `task.question`, verbatim.

    `{labels}` in `task.question` becomes the list; nothing else is added.
    """
    return example.messages or (Message("user", task.question.replace("{labels}", ", ".join(labels))),)


def choices(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[str, ...]:
    """The closed answers of one question: all labels."""
    return tuple(labels)


def vocabulary(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[str, ...]:
    """What the parser may name: the closed answers of the question."""
    return choices(task, labels, example)


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether this example may carry a verdict: a closed answer always does."""
    return True


def parse(text: str, labels: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """Reads the answer out of a reply; guesses nothing.

    Where the reply marks its answer (`Answer: x`, `<answer>x</answer>`), the last mark counts and all final ones must
    agree; otherwise the whole reply is read. Case, markdown and punctuation do not count, words match whole only, the
    longer label wins over a shorter one inside it, and what stands in reasoning tags is ignored. A label that is
    negated, weighed ("could be"), asked or compared with is no answer; `a crack` names no A, `no doubt` no `no`.

    Returns:
        One of `labels`, or None where the reply asserts none or more than one of them.
    """
    return only(answers(text, labels, synonyms))


def outcome(text: str, answer: str | None, gold: str) -> Outcome:
    """What became of one reply: correct or wrong; without an answer, refused in words or unparsed."""
    if answer is None:
        return "refused" if looks_refused(text) else "unparsed"
    return "correct" if answer == gold else "wrong"


def judge(task: TaskConfig) -> Callable[[str, str | None, str], Outcome]:
    """`outcome` with the options of the task bound."""
    return outcome


def extras(
    task: TaskConfig, golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]
) -> dict[str, Score]:
    """Of ordered labels: weighted kappa, mean distance, share within one step."""
    from finetune.scoring import labels as ordered

    return ordered.metrics(golds, answers, groups, task.labels) if _seam.options(task, Options).ordered else {}
