"""A question with the answers that it allows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from finetune.example import Example


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
