"""Long text about an image: shown and compared by overlap, and never the ground of a verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from finetune.config.schema import TaskConfig
from finetune.errors import DataError
from finetune.example import Example, Message, Outcome, Score
from finetune.scoring.refusals import looks_refused
from finetune.scoring.replies import without_reasoning
from finetune.scoring.text import exact_match
from finetune.tasks import _seam
from finetune.tasks._seam import complete as complete
from finetune.tasks._seam import no_labels as labels
from finetune.tasks._seam import open_choices as choices

PARSER = "describe/1"
QUESTION = "Describe what the image shows."
METRICS = ("token_f1", "rouge_l")

__all__ = ["METRICS", "PARSER", "QUESTION", "Options", "choices", "complete", "labels"]


@dataclass(frozen=True)
class Options:
    """`task.options` of this task: there are none."""


def problems(task: TaskConfig) -> list[str]:
    """What is wrong with the task section, worded for the user."""
    found = _seam.option_problems(task, Options)
    return [*found, "task.labels: describe has no labels"] if task.labels else found


def admit(task: TaskConfig, example: Example) -> Example:
    """The example with its text trimmed.

    Raises:
        DataError: there is no text.
    """
    if not example.target.strip():
        raise DataError("the text to write is empty")
    return replace(example, target=example.target.strip())


def vocabulary(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[str, ...]:
    """What the parser may name: nothing is closed."""
    return ()


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether this example may carry a verdict: overlap of words never does."""
    return False


def messages(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[Message, ...]:
    """The prompt: `task.question`, or the example's own question."""
    return _seam.ask(_seam.template(task, QUESTION), example, ())


def parse(text: str, labels: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """The reply without its reasoning; None where it is empty or declines."""
    said = without_reasoning(text).strip()
    return said if said and not looks_refused(said) else None


def outcome(text: str, answer: str | None, gold: str) -> Outcome:
    """What became of one reply: correct only where it is the reference, word for word; see the metrics instead."""
    if answer is None:
        return "refused" if looks_refused(text) else "unparsed"
    return "correct" if exact_match(gold, answer) else "wrong"


def judge(task: TaskConfig) -> Callable[[str, str | None, str], Outcome]:
    """`outcome`; no option changes it."""
    return outcome


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """Token F1, and ROUGE-L where `rouge-score` is installed."""
    from finetune.scoring import text

    return text.long_text_metrics(golds, answers, groups)
