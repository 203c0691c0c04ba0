"""What is right and how good it is, by task: one file `of_KIND.py` each, which knows nothing of `finetune.tasks`.

The parser is the only thing of a task that is used again: it is versioned, and a text has to be read in one way. Of a
task that another distribution brings, nothing here knows the rules, so its own functions are applied again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from finetune import plugins
from finetune.config.schema import TaskConfig
from finetune.example import Example
from finetune.scoring.refusals import looks_refused

Scores = dict[str, Any]


def known(kind: str) -> bool:
    """Whether there is a second code for a task."""
    return find_spec(f"{__package__}.of_{kind}") is not None


def _rules(kind: str) -> Mapping[str, Any]:
    return vars(import_module(f"{__package__}.of_{kind}") if known(kind) else plugins.load("task", kind))


def metrics(kind: str, golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> Scores:
    """Metrics of open answers; none where the task has none."""
    rules = _rules(kind)
    own = rules.get("metrics") if known(kind) or "METRICS" in rules else None
    return _plain(own(golds, answers, groups)) if own else {}


def extras(task: TaskConfig, golds: Sequence[str], answers: Sequence[str | None], groups: Sequence[str]) -> Scores:
    """What stands beside the metrics of classes."""
    own = _rules(task.kind).get("extras")
    return _plain(own(task, golds, answers, groups)) if own else {}


def _plain(scores: Mapping[str, Any]) -> Scores:
    """As in the files: another distribution's scores are objects."""
    return {name: score if isinstance(score, dict) else asdict(score) for name, score in scores.items()}


@dataclass(frozen=True)
class Reader:
    """How a reply is read and judged.

    Attributes:
        task: the section of the config.
        labels: the closed answers of the run.
    """

    task: TaskConfig
    labels: tuple[str, ...]

    @cached_property
    def _parser(self) -> Any:
        return plugins.load("task", self.task.kind)

    def answer(self, text: str, example: Example, parser: str = "") -> str | None:
        """What the parser reads in a text; `parser` is that of the row, which names a notation of boxes."""
        vocabulary = self._parser.vocabulary(self.task, self.labels, example)
        _, _, form = parser.partition(" ")
        more = (self._parser.form_of(form),) if form else ()
        found: str | None = self._parser.parse(text, vocabulary, self.task.synonyms, *more)
        return found

    def outcome(self, text: str, answer: str | None, gold: str) -> str:
        """What became of a reply that came in full."""
        if not known(self.task.kind):
            return str(self._parser.judge(self.task)(text, answer, gold))
        if answer is None:
            return "refused" if looks_refused(text) else "unparsed"
        return "correct" if _rules(self.task.kind)["right"](self.task, gold, answer) else "wrong"

    def deciding(self, examples: Sequence[Example]) -> set[str]:
        """Ids of the items that may carry a verdict (open answers never do); all of them where none may."""
        decides = _rules(self.task.kind)["decides"]
        closed = {example.id for example in examples if decides(self.task, self.labels, example)}
        return closed or {example.id for example in examples}
