"""Which notation boxes are asked for, trained and read in: by the run's model, and by a provider."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from finetune.config.schema import Config, TaskConfig
from finetune.example import Example
from finetune.families import _base as families
from finetune.families._base import Family
from finetune.scoring import box_notations as notations
from finetune.scoring.box_notations import Form, Frame
from finetune.scoring.box_text import from_json

KIND = "detect"
OURS = ("embedded", "small")
"""Bases of this package, which know no notation and write the shortest."""


def settled(config: Config) -> TaskConfig:
    """The task section with `boxes: native` replaced by the name of a notation; others as they are.

    Raises:
        ConfigError: there is no such family.
    """
    task = config.task
    if task.kind != KIND or task.options.get("boxes", "native") != "native":
        return task
    native = families.load(config.model.family).boxes
    return replace(
        task, options={**task.options, "boxes": native or ("compact" if config.model.id in OURS else "json")}
    )


def of_model(config: Config, processor: Any, family: Family) -> Callable[[Example], Form] | None:
    """Example -> the form of its answer, by the processor that will resize it; None without boxes."""
    task = settled(config)
    if task.kind != KIND:
        return None
    notation = notations.of(str(task.options["boxes"]))

    def form(example: Example) -> Form:
        size = example.size
        known = size is not None and family.resized is not None
        return Form(notation, Frame(size, family.resized(processor, *size) if known else None))  # type: ignore[misc]

    return form


def of_provider(task: TaskConfig, model: str, max_side: int | None = None) -> Callable[[Example], Form] | None:
    """The same for a provider, by the name of its model; `max_side` of the picture that is sent."""
    if task.kind != KIND:
        return None
    name = model.casefold()
    pixels = "claude" in name or "gpt-" in name
    notation = notations.of("box_2d" if "gemini" in name else "pixels" if pixels else "json")

    def form(example: Example) -> Form:
        size = example.size
        if size is None or max_side is None or max(size) <= max_side:
            return Form(notation, Frame(size))
        share = max_side / max(size)
        return Form(notation, Frame(size, (max(1, round(size[0] * share)), max(1, round(size[1] * share)))))

    return form


def written(examples: Sequence[Example], form: Callable[[Example], Form] | None) -> list[Example]:
    """The examples with their targets as a model writes them, for training; gold stays canonical."""
    if form is None:
        return list(examples)
    return [replace(example, target=form(example).write(from_json(example.target))) for example in examples]


def marks(task: TaskConfig) -> tuple[str, ...]:
    """Special tokens of the notation of a settled task."""
    return notations.of(str(task.options["boxes"])).marks if task.kind == KIND else ()


def of_parser(task: TaskConfig, parser: str) -> Callable[[Example], Form] | None:
    """The form that the field `parser` of a recorded reply names."""
    spelled = parser.partition(" ")[2]
    if task.kind != KIND or not spelled:
        return None
    found = notations.spelled(spelled)
    return lambda example: found


def reworded(question: str, form: Form, labels: Sequence[str]) -> str:
    """A question of the run with the sentence of another notation in the place of its own."""
    for other in notations.NOTATIONS.values():
        if other.prompt and question == other.prompt.replace("{labels}", " ; ".join(labels)):
            return f"Find every {', '.join(labels)}. {form.notation.sentence}"
        if other.sentence in question:
            return question.replace(other.sentence, form.notation.sentence)
    return question
