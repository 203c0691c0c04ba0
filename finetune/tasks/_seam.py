"""What the files of the seam share: strict options, and the prompt made of a template."""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

from finetune.config.convert import to_dataclass
from finetune.config.schema import TaskConfig
from finetune.errors import ConfigError
from finetune.example import Example, Message

T = TypeVar("T")


def options(task: TaskConfig, cls: type[T]) -> T:
    """`task.options` as the task's own frozen dataclass.

    Raises:
        ConfigError: an unknown key or a wrong value; all of them.
    """
    text = json.dumps(task.options, sort_keys=True, default=str)
    found: T = _converted(text, cls)  # type: ignore[arg-type]  # mypy takes classes for unhashable
    return found


@lru_cache(maxsize=64)
def _converted(text: str, cls: Any) -> Any:
    """Remembered, since every row of a source asks for it."""
    return to_dataclass(json.loads(text), cls, "task.options")


def option_problems(task: TaskConfig, cls: type[object]) -> list[str]:
    """What is wrong with `task.options`, worded for the user."""
    try:
        options(task, cls)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def template(task: TaskConfig, own: str) -> str:
    """`task.question` where the user or the recipe set one, else the task's own: the schema's default is classify's."""
    return own if task.question == TaskConfig().question else task.question


def ask(text: str, example: Example, listed: Sequence[str]) -> tuple[Message, ...]:
    """The prompt from a template: `{question}` is the example's own question, `{labels}` the list.

    A template without `{question}` gives way to the example's own question, verbatim.

    Raises:
        ConfigError: the template wants a question and the example has none.
    """
    own = next((turn.text for turn in example.messages if turn.role == "user"), None)
    if "{question}" not in text and own is not None:
        return example.messages
    if "{question}" in text and own is None:
        raise ConfigError(
            f"task.question is {text!r}, but example {example.id!r} has no question of its own. Name its column with "
            "data.options.question, give --question to predict, or write the question without {question}."
        )
    words = {"{question}": own or "", "{labels}": ", ".join(listed)}
    return (Message("user", re.sub(r"\{question\}|\{labels\}", lambda match: words[match[0]], text)),)


def complete(task: TaskConfig, example: Example, sizes: Sequence[tuple[int, int]]) -> Example:
    """The example once its images are decoded, of these (height, width); most tasks need nothing of them."""
    return example


def open_choices(task: TaskConfig, labels: Sequence[str], example: Example) -> tuple[str, ...]:
    """None: the answer is written, not chosen."""
    return ()


def no_labels(task: TaskConfig, examples: object) -> tuple[str, ...]:
    """None: answers are open."""
    return ()
