"""One file a task: how it asks, reads an answer and scores it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from finetune import plugins
from finetune.config.schema import TaskConfig
from finetune.example import Example, Outcome, Prediction
from finetune.scoring.box_notations import Form


@dataclass(frozen=True)
class Judge:
    """What may be answered, how a reply is read, and whether it is right.

    Attributes:
        task: the section of the config; `task.kind` names the module that does the work.
        labels: the closed answers of the run; empty where answers are open.
        form: example -> the notation that its boxes were asked for in; None where it is ours.
    """

    task: TaskConfig
    labels: tuple[str, ...]
    form: Callable[[Example], Form] | None = None

    @cached_property
    def module(self) -> Any:
        """The task's module.

        Raises:
            ConfigError: there is none of that kind.
        """
        return plugins.load("task", self.task.kind)

    def choices(self, example: Example) -> tuple[str, ...]:
        """Closed answers of one question; empty where only written text can answer it."""
        found: tuple[str, ...] = self.module.choices(self.task, self.labels, example)
        return found

    def parse(self, text: str, example: Example) -> str | None:
        """The answer in a reply, or None; a reply to an open question is read without labels."""
        vocabulary = self.module.vocabulary(self.task, self.labels, example)
        more = () if self.form is None else (self.form(example),)
        found: str | None = self.module.parse(text, vocabulary, self.task.synonyms, *more)
        return found

    def parser(self, example: Example) -> str:
        """Name and version of what reads a reply, with the notation that it reads."""
        name: str = self.module.PARSER
        return name if self.form is None else f"{name} {self.form(example).spelled()}"

    def outcome(self, text: str, answer: str | None, example: Example) -> Outcome:
        """What became of a reply that came in full."""
        found: Outcome = self._outcome(text, answer, example.target)
        return found

    @cached_property
    def _outcome(self) -> Any:
        return self.module.judge(self.task)

    def prediction(
        self,
        example: Example,
        text: str,
        answer: str | None,
        *,
        image_sha256: str,
        seconds: float,
        model: str,
        outcome: Outcome | None = None,
        probabilities: dict[str, float] | None = None,
        even_probabilities: dict[str, float] | None = None,
    ) -> Prediction:
        """The line that is written down; `outcome` is given where the reply itself says nothing (cut off, refused)."""
        return Prediction(
            id=example.id,
            image_sha256=image_sha256,
            question=example.question,
            gold=example.target,
            text=text,
            answer=answer,
            outcome=outcome or self.outcome(text, answer, example),
            probabilities=probabilities,
            even_probabilities=even_probabilities,
            seconds=seconds,
            model=model,
            parser=self.parser(example),
            group=example.group,
        )


def pixels_of(root: Path, example: Example) -> str:
    """Digest over the decoded pixels of an example, by which answers of different models are paired.

    Raises:
        DataError: an image cannot be decoded.
    """
    from finetune.images import decode

    return decode.digest([decode.load(root, ref) for ref in example.images])
