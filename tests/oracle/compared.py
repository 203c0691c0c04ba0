"""Who is compared, and who would be replaced, from the settings."""

import re

from finetune.config.schema import EVALUATED, Config

ELSEWHERE = "predictions:"
"""Stands before the path of answers made elsewhere."""


def names(config: Config) -> list[str]:
    """Everyone who is compared: the models that are named and, where only the usual ones are, the baseline."""
    if config.evaluate.models != EVALUATED:
        return [_name(model) for model in config.evaluate.models]
    fixed = "majority", *(["linear"] * (config.task.kind == "classify")), "base", "tuned"
    return [*fixed, *([config.baseline.name] if config.baseline.kind != "none" else [])]


def replaced(config: Config) -> str | None:
    """The model to be replaced: the one that is named, else the baseline, or None."""
    if config.evaluate.primary_baseline is not None:
        return _name(config.evaluate.primary_baseline)
    return None if config.baseline.kind == "none" else config.baseline.name


def _name(model: str) -> str:
    """A model's name in files; that of answers made elsewhere is their file's, in letters and digits."""
    if not model.startswith(ELSEWHERE):
        return model
    stem = model.removeprefix(ELSEWHERE).rstrip("/").rpartition("/")[2].split(".")[0].lower()
    return "_".join(re.findall("[a-z0-9]+", stem))
