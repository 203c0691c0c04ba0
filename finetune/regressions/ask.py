"""Puts questions of our own to base and tuned model: greedy text, read by the parser that reads every other reply."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from finetune.config.schema import TaskConfig
from finetune.example import Example, Prediction
from finetune.tasks import Judge, classify

if TYPE_CHECKING:
    from finetune.predictors.local import LocalPredictor


@dataclass(frozen=True)
class Item:
    """One question with the answers that it allows.

    Attributes:
        example: prompt, images (relative to the folder that is asked with) and the right answer.
        choices: the closed answers of this question.
        synonyms: choice -> other spellings, such as the text of an option beside its letter.
    """

    example: Example
    choices: tuple[str, ...]
    synonyms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Quiz(Judge):
    """Judges closed questions that each bring their own answers."""

    items: Mapping[str, Item] = field(default_factory=dict)

    def choices(self, example: Example) -> tuple[str, ...]:
        return self.items[example.id].choices

    def parse(self, text: str, example: Example) -> str | None:
        item = self.items[example.id]
        return classify.parse(text, item.choices, item.synonyms)


def ask(predictor: "LocalPredictor", items: Sequence[Item], root: Path, who: str) -> Iterator[Prediction]:
    """Answers in order, in the model's own words.

    Args:
        predictor: of base and tuned model; it is left with these questions to judge.
        items: the questions; their ids are unique.
        root: folder of their images.
        who: base or tuned.

    Raises:
        DataError: an image cannot be decoded.
    """
    predictor.judge = _Quiz(TaskConfig(kind="classify"), (), items={item.example.id: item for item in items})
    return predictor.predict([item.example for item in items], root, "generate", who)
