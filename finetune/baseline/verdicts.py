"""From a reply to a row: one parser judges every model; what the provider itself withheld stays what it is."""

from collections.abc import Sequence
from typing import get_args

from finetune import named
from finetune.config import TaskConfig
from finetune.example import Example, Outcome, Prediction
from finetune.rundir import Json

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
    """
    module = named.load("task", task.kind)
    answer: str | None = None
    outcome: Outcome
    if withheld is not None:
        outcome = withheld
    else:
        answer = module.parse(text, module.choices(task, labels, example), task.synonyms)
        outcome = module.judge(task)(text, answer, example.target)
    return Prediction(
        id=example.id,
        image_sha256=image_sha256,
        question=example.question,
        gold=example.target,
        text=text,
        answer=answer,
        outcome=outcome,
        probabilities=None,
        seconds=seconds,
        model=model,
        parser=module.PARSER,
        group=example.group,
        usage=usage,
    )


def withheld(row: Json) -> Outcome | None:
    """The outcome of a recorded row where its provider decided it, else None: the text is judged again."""
    return next((outcome for outcome in WITHHELD if outcome == row["outcome"]), None)
