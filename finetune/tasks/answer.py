"""Questions of their own for each image: closed ones (yes or no, or choices of the question) and open ones."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from finetune.config.schema import TaskConfig
from finetune.errors import DataError
from finetune.example import Example, Message, Outcome, Score
from finetune.scoring.assertions import answers, only, spellings
from finetune.scoring.numbers import Tolerance, right
from finetune.scoring.refusals import looks_refused
from finetune.scoring.replies import fold, plain, stated
from finetune.scoring.text import exact_match
from finetune.tasks import _seam
from finetune.tasks._seam import complete as complete

PARSER = "answer/3"
QUESTION = "{question} Answer with one of: {labels}."
METRICS = ("closed_accuracy", "exact_match", "token_f1")
POLAR = ("yes", "no")
"""Closed answers where `task.labels` declares none."""


@dataclass(frozen=True)
class Options:
    """`task.options` of this task.

    Attributes:
        open_question: the prompt of open questions; `{question}` is the question itself.
        choices: column of `meta` with the closed answers of a question, separated by `|`; empty = open.
        absolute: open answers that are numbers are right within this, in `unit`.
        relative: or within this share of the gold value.
        unit: of such numbers.
    """

    open_question: str = "{question} Answer in a few words."
    choices: str | None = None
    absolute: float | None = None
    relative: float | None = None
    unit: str = ""


def problems(task: TaskConfig) -> list[str]:
    """What is wrong with the task section, worded for the user."""
    found = _seam.option_problems(task, Options)
    if not found and (given := _seam.options(task, Options)).unit and given.absolute is None and given.relative is None:
        found.append("task.options.unit: says what a tolerance is measured in; give absolute or relative too")
    return found


def labels(task: TaskConfig, examples: Iterable[Example]) -> tuple[str, ...]:
    """The closed answers that all closed questions share; none where questions have choices of their own."""
    return () if _seam.options(task, Options).choices else task.labels or POLAR


def admit(task: TaskConfig, example: Example) -> Example:
    """The example with its answer as the task writes it: a closed one as declared, an open one with single blanks.

    Raises:
        DataError: the answer is empty, or none of the choices of its question.
    """
    target = " ".join(example.target.split())
    own = _own_choices(task, example)
    known = spellings(own or task.labels or POLAR, {} if own else task.synonyms)
    if own and fold(target) not in known:
        raise DataError(f"answer {target!r} is none of the question's choices ({', '.join(map(repr, own))})")
    return replace(example, target=known.get(fold(target.rstrip(".")), target))


def _own_choices(task: TaskConfig, example: Example) -> tuple[str, ...]:
    column = _seam.options(task, Options).choices
    listed = example.meta.get(column, "") if column else ""
    return tuple(choice.strip() for choice in listed.split("|") if choice.strip())


def choices(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[str, ...]:
    """The closed answers of one question; none where it is open.

    Without a column of choices a question is closed when the source answers it with one of `labels`, as VQA's answer
    types are made: that a question is closed is told to every model alike.
    """
    return _own_choices(task, example) or (tuple(labels) if example.target in labels else ())


def vocabulary(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[str, ...]:
    """What the parser may name: the closed answers of the question."""
    return choices(task, labels, example)


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether this example may carry a verdict: closed questions do, exact match on open ones never does."""
    return bool(choices(task, labels, example))


def messages(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[Message, ...]:
    """The prompt: `task.question` for closed questions, `task.options.open_question` for open ones."""
    closed = choices(task, labels, example)
    text = _seam.template(task, QUESTION) if closed else _seam.options(task, Options).open_question
    if not example.messages and "{question}" not in task.question:
        text = task.question
    return _seam.ask(text, example, closed or labels)


def parse(text: str, labels: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """Reads the answer: one of `labels` where the question is closed, else the text that the reply states.

    An open answer is the marked passage, or the whole reply without reasoning and markdown; None where the reply is
    empty, declines, or marks two different final answers.
    """
    if labels:
        return only(answers(text, labels, synonyms))
    body = plain(text)
    marked = {" ".join(passage.split()).strip(" .\"'`") for passage in stated(body)}
    said = only(marked) if marked else " ".join(body.split()).strip(" .\"'`")
    return said if said and not looks_refused(text) else None


def outcome(text: str, answer: str | None, gold: str, tolerance: Tolerance | None = None) -> Outcome:
    """What became of one reply: correct where it has the gold answer's normal form, or its number within tolerance."""
    if answer is None:
        return "refused" if looks_refused(text) else "unparsed"
    hit = exact_match(gold, answer) or (tolerance is not None and right(gold, answer, tolerance))
    return "correct" if hit else "wrong"


def judge(task: TaskConfig) -> Callable[[str, str | None, str], Outcome]:
    """`outcome` with the tolerance of the task."""
    given = _seam.options(task, Options)
    if given.absolute is None and given.relative is None:
        return outcome
    return partial(outcome, tolerance=Tolerance(given.absolute or 0.0, given.relative or 0.0, given.unit))


def metrics(
    golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str], labels: Sequence[str] = POLAR
) -> dict[str, Score]:
    """Accuracy on closed questions, which carries the verdict; exact match and token F1 on open ones, for display.

    Only kinds of question that occur are in the result.
    """
    from finetune.scoring import labels as closed
    from finetune.scoring import text

    rows = list(zip(golds, answers, groups, strict=True))
    shut, free = [row for row in rows if row[0] in labels], [row for row in rows if row[0] not in labels]
    found: dict[str, Score] = {}
    if shut:
        found["closed_accuracy"] = closed.accuracy(*_columns(shut))
    return found | (text.metrics(*_columns(free)) if free else {})


def extras(
    task: TaskConfig, golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]
) -> dict[str, Score]:
    """What stands beside the accuracy on closed questions: exact match and token F1 of the open ones."""
    found = metrics(golds, answers, groups, task.labels or POLAR)
    return {name: score for name, score in found.items() if name != "closed_accuracy"}


def _columns(rows: Sequence[tuple[str, str | None, str]]) -> tuple[list[str], list[str | None], list[str]]:
    return [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]
