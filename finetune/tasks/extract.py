"""Fields of a document or a plate: one JSON object an image."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from finetune.config.schema import TaskConfig
from finetune.errors import DataError
from finetune.example import Example, Message, Outcome, Score
from finetune.scoring.json_replies import values
from finetune.scoring.refusals import looks_refused
from finetune.scoring.replies import stated, without_reasoning
from finetune.tasks import _seam
from finetune.tasks._seam import complete as complete
from finetune.tasks._seam import no_labels as labels
from finetune.tasks._seam import open_choices as choices

PARSER = "extract/3"
QUESTION = "Read these fields: {labels}. Answer with one JSON object, null for a field that is not there."
METRICS = ("field_accuracy", "field_f1", "whole_object")

__all__ = ["METRICS", "PARSER", "QUESTION", "Options", "choices", "complete", "labels"]


@dataclass(frozen=True)
class Options:
    """`task.options` of this task.

    Attributes:
        fields: names that every gold object has, in the order of the prompt.
    """

    fields: tuple[str, ...] = ()


def problems(task: TaskConfig) -> list[str]:
    """What is wrong with the task section, worded for the user."""
    found = _seam.option_problems(task, Options)
    if not found and not _seam.options(task, Options).fields:
        found.append("task.options.fields: name the fields to read, [A,B]")
    if task.labels:
        found.append("task.labels: extract has no labels; its fields are task.options.fields")
    return found


def admit(task: TaskConfig, example: Example) -> Example:
    """The example with its gold object in canonical form, fields in the declared order.

    Raises:
        DataError: the target is no JSON object, or has other fields.
    """
    fields = _seam.options(task, Options).fields
    found = values(example.target)
    if len(found) != 1 or not isinstance(found[0], dict):
        raise DataError(f"target {example.target[:60]!r} is not one JSON object {{field: value, ...}}")
    if set(found[0]) != set(fields):
        raise DataError(f"target has the fields {', '.join(found[0])}, task.options.fields has {', '.join(fields)}")
    return replace(example, target=_canonical({name: found[0][name] for name in fields}))


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def vocabulary(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[str, ...]:
    """What the parser may name: nothing is closed."""
    return ()


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether this example may carry a verdict: all fields exact is a clear yes or no."""
    return True


def messages(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[Message, ...]:
    """The prompt: `task.question` with the fields listed, or the example's own question."""
    return _seam.ask(_seam.template(task, QUESTION), example, _seam.options(task, Options).fields)


def parse(text: str, labels: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """Reads the one JSON object of a reply, in the marked passage if there is one with an object.

    Two objects that differ, one key twice, NaN, or an object cut off are no answer; nothing is mended.
    """
    body = without_reasoning(text)
    places = [found for passage in stated(body) if (found := _objects(passage))] or [_objects(body)]
    read = {_canonical(value) for found in places for value in found}
    return read.pop() if len(read) == 1 else None


def _objects(text: str) -> list[dict[str, Any]]:
    return [value for value in values(text) if isinstance(value, dict)]


def outcome(text: str, answer: str | None, gold: str) -> Outcome:
    """What became of one reply: correct where every field is, and none was made up."""
    from finetune.scoring.fields import same

    if answer is None:
        return "refused" if looks_refused(text) else "unparsed"
    return "correct" if same(json.loads(gold), json.loads(answer)) else "wrong"


def judge(task: TaskConfig) -> Callable[[str, str | None, str], Outcome]:
    """`outcome`; no option changes it."""
    return outcome


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """Share of exact fields, F1 over fields, share of exact objects."""
    from finetune.scoring import fields

    return fields.metrics(golds, answers, groups)
