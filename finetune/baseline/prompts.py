"""What is asked: the wording, worked examples, the schema of closed answers, and the key of the reply."""

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from finetune.baseline.images_sent import Picture, Sent
from finetune.baseline.images_sent import of as pictures_of
from finetune.config.schema import BaselineConfig, TaskConfig
from finetune.errors import ConfigError
from finetune.example import Example
from finetune.rundir import Json, canonical_digest
from finetune.scoring.box_notations import Form
from finetune.tasks import Judge, _forms

ANSWER = "answer"
"""Name of the one field of the schema of closed answers."""

MOST_CHOICES = 100


@dataclass(frozen=True)
class Setup:
    """How a baseline is asked: its own wording (None = the run's question) and worked examples before the question."""

    prompt: str | None = None
    shots: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Turn:
    """One turn: text, and the pictures before it."""

    role: str
    text: str
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Request:
    """One question as it leaves: turns, and every option that is sent with it."""

    model: str
    turns: tuple[Turn, ...]
    options: Json

    @property
    def key(self) -> str:
        """sha256 of the pixels sent, the prompt, the parameters and the model."""
        turns = [[turn.role, turn.text, [picture.sha256 for picture in turn.pictures]] for turn in self.turns]
        return canonical_digest({"model": self.model, "turns": turns, "options": self.options})

    @property
    def images(self) -> list[str]:
        """Digests of the pixels that leave."""
        return [picture.sha256 for turn in self.turns for picture in turn.pictures]

    def messages(self) -> list[Json]:
        """The turns in the form of OpenAI's chat completions, pictures as data URIs."""
        return [{"role": turn.role, "content": _content(turn)} for turn in self.turns]


def _content(turn: Turn) -> str | list[Json]:
    if not turn.pictures:
        return turn.text
    uris = [f"data:{one.media_type};base64,{base64.b64encode(one.content).decode()}" for one in turn.pictures]
    return [*({"type": "image_url", "image_url": {"url": uri}} for uri in uris), {"type": "text", "text": turn.text}]


def wording(
    setup: Setup, labels: Sequence[str], example: Example, form: Callable[[Example], Form] | None = None
) -> str:
    """The question in the baseline's own words: `{labels}` and `{question}` are filled in, nothing else is added.

    Boxes are asked for in the notation of the provider (`form`), not in that of the run's model.
    """
    question = example.question if form is None else _forms.reworded(example.question, form(example), labels)
    if setup.prompt is None:
        return question
    return setup.prompt.replace("{labels}", ", ".join(labels)).replace("{question}", question)


def check(prompts: Sequence[str], examples: Sequence[Example]) -> None:
    """Where examples ask different things, another wording must hold the question.

    Raises:
        ConfigError: one does not.
    """
    bare = [prompt for prompt in prompts if "{question}" not in prompt]
    if bare and len({example.question for example in examples}) > 1:
        raise ConfigError(
            f"baseline.prompts: the examples ask different questions, so {bare[0]!r} must hold {{question}}."
        )


def build(
    baseline: BaselineConfig,
    task: TaskConfig,
    labels: Sequence[str],
    setup: Setup,
    example: Example,
    sent: Sent,
    root: Path,
    *,
    model: str,
    schema: bool,
) -> Request:
    """Puts one question together; `schema` asks for one of the closed answers where there are such."""
    turns = [Turn(message.role, message.text) for message in example.messages if message.role == "system"]
    form = _forms.of_provider(task, model, baseline.max_side)
    for shot in setup.shots:
        shown = pictures_of(shot, root, baseline.max_side)
        asked, (answered,) = wording(setup, labels, shot, form), _forms.written([shot], form)
        turns += [Turn("user", asked, shown.pictures), Turn("assistant", answered.target)]
    turns.append(Turn("user", wording(setup, labels, example, form), sent.pictures))
    closed = Judge(task, tuple(labels)).choices(example)
    options: Json = {"max_tokens": baseline.max_tokens}
    if schema and closed and len(closed) <= MOST_CHOICES:
        options["response_format"] = _schema(closed)
    options |= baseline.parameters
    return Request(model, tuple(turns), {name: value for name, value in options.items() if value is not None})


def _schema(choices: Sequence[str]) -> Json:
    fields = {ANSWER: {"type": "string", "enum": list(choices)}}
    body = {"type": "object", "properties": fields, "required": [ANSWER], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "closed_answer", "strict": True, "schema": body}}


def unwrap(request: Request, text: str) -> str:
    """The answer inside the object that our schema asked for; any other text as it is."""
    if "response_format" not in request.options:
        return text
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return (
        value[ANSWER]
        if isinstance(value, dict) and list(value) == [ANSWER] and isinstance(value[ANSWER], str)
        else text
    )


def worked(train: Sequence[Example], labels: Sequence[str], number: int) -> tuple[Example, ...]:
    """Worked examples from training: one label after the other, in the order of a hash of the id."""
    piles: dict[str, list[Example]] = {label: [] for label in labels}
    for example in sorted(train, key=lambda one: hashlib.sha256(one.id.encode()).hexdigest()):
        piles.setdefault(example.target, []).append(example)
    found = [pile[depth] for depth in range(number) for pile in piles.values() if depth < len(pile)]
    return tuple(found[:number])
