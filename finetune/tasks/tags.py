"""Several labels an image, none included: a JSON list of those that apply."""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from finetune.config.schema import TaskConfig
from finetune.errors import DataError
from finetune.example import Example, Message, Outcome, Score
from finetune.scoring.assertions import asserted, spellings
from finetune.scoring.json_replies import held_list, values
from finetune.scoring.refusals import looks_refused
from finetune.scoring.replies import fold, plain, stated
from finetune.tasks import _seam
from finetune.tasks._seam import complete as complete
from finetune.tasks._seam import no_labels as labels
from finetune.tasks._seam import open_choices as choices

PARSER = "tags/3"
QUESTION = "Which of these apply: {labels}? Answer with a JSON list, [] if none does."
METRICS = ("tag_f1", "jaccard", "exact_set")
_JSON = re.compile(r"[\[{]\s*\"")
"""JSON that does not parse or that the reply takes back: nothing inside it is prose."""
NONE = "none"
"""What a source writes, and a reply may say, where no tag applies."""

__all__ = ["METRICS", "NONE", "PARSER", "QUESTION", "Options", "choices", "complete", "labels"]


@dataclass(frozen=True)
class Options:
    """`task.options` of this task.

    Attributes:
        separator: between the tags of one row of the source.
        none: what the source writes, besides nothing, where no tag applies.
    """

    separator: str = ","
    none: str = NONE


def problems(task: TaskConfig) -> list[str]:
    """What is wrong with the task section, worded for the user."""
    found = _seam.option_problems(task, Options)
    if not task.labels:
        found.append("task.labels: the task tags needs the list of tags")
    if NONE in {fold(label) for label in task.labels}:
        found.append("task.labels: 'none' says that no tag applies, so it cannot be a tag; leave it out")
    return found


def admit(task: TaskConfig, example: Example) -> Example:
    """The example with its tags as a JSON list in the order of `task.labels`.

    Raises:
        DataError: a tag is none of the labels.
    """
    given = _seam.options(task, Options)
    known = spellings(task.labels, task.synonyms)
    parts = [part.strip() for part in example.target.split(given.separator) if part.strip()]
    if fold(example.target) in ("", fold(given.none), NONE, "[]"):
        parts = []
    unknown = [part for part in parts if fold(part) not in known]
    if unknown:
        raise DataError(f"tag {unknown[0]!r} is none of task.labels ({', '.join(map(repr, task.labels))})")
    return replace(example, target=_canonical({known[fold(part)] for part in parts}, task.labels))


def _canonical(tags: Iterable[str], order: Sequence[str]) -> str:
    held = set(tags)
    return json.dumps([label for label in order if label in held], ensure_ascii=False)


def vocabulary(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[str, ...]:
    """What the parser may name: the declared tags."""
    return task.labels


def decides(task: TaskConfig, labels: Sequence[str], example: Example) -> bool:
    """Whether this example may carry a verdict."""
    return True


def messages(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[Message, ...]:
    """The prompt: `task.question` with the tags listed, or the example's own question."""
    return _seam.ask(_seam.template(task, QUESTION), example, task.labels)


def parse(text: str, labels: Sequence[str], synonyms: Mapping[str, Sequence[str]] | None = None) -> str | None:
    """Reads the tags: a JSON list, an object of tag -> true or false, or prose that asserts them.

    A list with a tag that nobody declared, two lists that differ, prose that asserts none and does not say `none`, or
    an empty list beside a refusal are no answer.
    """
    known = spellings(labels, synonyms)
    body = plain(text, known)
    found = [value for value in values(body) if isinstance(value, list | dict)]
    if found:
        read = {_listed(value, known, labels) for value in found}
        answer = read.pop() if len(read) == 1 else None
        return None if answer == "[]" and looks_refused(text) else answer
    if _JSON.search(body):
        return None
    passages = stated(body)
    named = [asserted(passage, known | {NONE: NONE}, cued=bool(passages)) for passage in passages or [body]]
    tags: set[str] = set().union(*named)
    if not tags or (NONE in tags and len(tags) > 1) or any(one != tags for one in named):
        return None
    return _canonical(tags, labels)


def _listed(value: object, known: Mapping[str, str], order: Sequence[str]) -> str | None:
    if isinstance(value, dict) and value and all(isinstance(said, bool) for said in value.values()):
        if any(fold(name) not in known for name in value):
            return None
        value = [name for name, said in value.items() if said]
    names = held_list(value)
    if names is None or any(not isinstance(name, str) or fold(name) not in known for name in names):
        return None
    return _canonical({known[fold(name)] for name in names}, order)


def outcome(text: str, answer: str | None, gold: str) -> Outcome:
    """What became of one reply: correct where the whole set is."""
    if answer is None:
        return "refused" if looks_refused(text) else "unparsed"
    return "correct" if set(json.loads(answer)) == set(json.loads(gold)) else "wrong"


def judge(task: TaskConfig) -> Callable[[str, str | None, str], Outcome]:
    """`outcome`; no option changes it."""
    return outcome


def metrics(golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> dict[str, Score]:
    """Micro F1 over tags, mean Jaccard index, share of exact sets."""
    from finetune.scoring import tags

    return tags.metrics(golds, answers, groups)
