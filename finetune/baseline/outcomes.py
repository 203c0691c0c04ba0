"""From a reply to a row: one parser judges every model; what the provider itself withheld stays what it is."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import get_args

from finetune.config.schema import TaskConfig
from finetune.example import Example, Outcome, Prediction
from finetune.rundir import Json
from finetune.scoring.box_notations import Form
from finetune.tasks import Judge

WITHHELD: tuple[Outcome, ...] = ("refused", "filtered", "api_error", "truncated")
"""Outcomes that the reply's own envelope decides; no text is looked at."""

OUTCOMES: tuple[str, ...] = get_args(Outcome)


def prediction(
    task: TaskConfig,
    labels: Sequence[str],
    example: Example,
    image_sha256: str,
    *,
    text: str,
    withheld: Outcome | None,
    seconds: float,
    model: str,
    usage: dict[str, float] | None,
    form: Callable[[Example], Form] | None = None,
) -> Prediction:
    """The row of one reply.

    Args:
        task: the run's, whose parser reads the text.
        labels: the closed answers of the run.
        example: what was asked.
        image_sha256: digest of the decoded pixels.
        text: the reply.
        withheld: one of `WITHHELD` where the provider gave no (whole) answer, else None.
        seconds: until the reply was there.
        model: id that the reply names.
        usage: tokens and cost, or None.
        form: example -> the notation that its boxes were asked for in.
    """
    judge = Judge(task, tuple(labels), form)
    answer = judge.parse(text, example) if withheld is None else None
    row = judge.prediction(
        example, text, answer, image_sha256=image_sha256, seconds=seconds, model=model, outcome=withheld
    )
    return replace(row, usage=usage)


def withheld(row: Json) -> Outcome | None:
    """The outcome of a recorded row where its provider decided it, else None: the text is judged again."""
    return next((outcome for outcome in WITHHELD if outcome == row["outcome"]), None)
