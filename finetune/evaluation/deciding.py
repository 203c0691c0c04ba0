"""Which items carry the verdict: exact match on open answers never does, so they are shown beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from finetune import named
from finetune.config import Config, TaskConfig
from finetune.errors import ConfigError
from finetune.evaluation.pairing import Test, counted
from finetune.example import Example, Prediction
from finetune.rundir import Json

Rows = Mapping[str, Sequence[Prediction]]


def ids(task: TaskConfig, labels: Sequence[str], examples: Sequence[Example]) -> set[str]:
    """Ids of the examples that carry the verdict; all of them where none does, so that there is something to show."""
    decides = named.load("task", task.kind).decides
    found = {example.id for example in examples if decides(task, labels, example)}
    return found or {example.id for example in examples}


def narrowed(config: Config, test: Test) -> Test:
    """The test without the items that carry no verdict.

    Raises:
        ConfigError: a margin is declared, but no item can carry a verdict.
    """
    decides = named.load("task", config.task.kind).decides
    if config.evaluate.decision.margin is not None and not any(
        decides(config.task, test.labels, example) for example in test.examples
    ):
        raise ConfigError(
            f"evaluate.decision.margin: no question of this test can carry a verdict (task.kind={config.task.kind}): "
            "a right answer in other words would count as wrong. Ask closed questions, or set the margin to null."
        )
    kept = ids(config.task, test.labels, test.examples)
    pairs = [pair for pair in zip(test.examples, test.folds, strict=True) if pair[0].id in kept]
    return replace(test, examples=tuple(e for e, _ in pairs), folds=tuple(fold for _, fold in pairs))


def rows_of(test: Test, answers: Rows) -> dict[str, list[Prediction]]:
    """The answers to the questions of a narrowed test."""
    kept = {example.id for example in test.examples}
    return {who: [row for row in rows if row.id in kept] for who, rows in answers.items()}


def closed(labels: Sequence[str], answers: Rows) -> dict[str, list[Prediction]]:
    """Answers on validation whose gold is a label; all of them where there are none."""
    return {who: [row for row in rows if not labels or row.gold in labels] for who, rows in answers.items()}


def extras(task: TaskConfig, rows: Sequence[Prediction]) -> dict[str, Json]:
    """Metrics of a task that stand beside those of classes: distances of ordered labels, open answers.

    A reply that never arrived (`api_error`) is missing and no mistake, as in the other metrics.
    """
    module: Any = named.load("task", task.kind)
    rows = [row for row in rows if row.outcome != "api_error"]
    if "extras" not in vars(module) or not rows:
        return {}
    golds, answers, groups = [row.gold for row in rows], [counted(row) for row in rows], [row.group for row in rows]
    return {name: asdict(score) for name, score in module.extras(task, golds, answers, groups).items()}
