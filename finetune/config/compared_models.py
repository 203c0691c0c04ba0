"""Who is compared: the names in `evaluate.models`, what each is asked through, and which adapter stands for `tuned`."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from finetune.config.schema import EVALUATED, RIVALS, Config
from finetune.errors import ConfigError
from finetune.rundir import Part

FILE = "predictions:"
"""What stands before the path of answers that were made elsewhere, in `evaluate.models`."""

LINEAR = ("classify",)
"""Tasks whose question is the same for every image, so that a linear model on the picture alone can answer it."""

LOCAL = ("base", "tuned")
"""Models that run on this machine from one copy of the weights; both are judged in two answering modes."""


@dataclass(frozen=True)
class Rival:
    """One model of a comparison.

    Attributes:
        who: its name in files and tables.
        predictor: the file in `finetune/predictors/` that knows how to ask it.
        path: of its answers, where they were made elsewhere.
    """

    who: str
    predictor: str
    path: Path | None = None


def rivals(config: Config) -> list[Rival]:
    """Everyone who is compared, in the order of `evaluate.models`.

    A baseline joins the models that are compared by default, and `linear` leaves them where it cannot answer; a list of
    one's own stands as it is.

    Raises:
        ConfigError: two of them would have the same name.
    """
    baseline = config.baseline.name if config.baseline.kind != "none" else None
    wanted = list(config.evaluate.models)
    if config.evaluate.models == EVALUATED:
        wanted = [name for name in EVALUATED if name != "linear" or config.task.kind in LINEAR]
        wanted += [baseline] if baseline is not None else []
    found = [_rival(config, name) for name in wanted]
    double = [who for who, count in Counter(rival.who for rival in found).items() if count > 1]
    taken = [rival.who for rival in found if rival.path is not None and rival.who in (*RIVALS, baseline)]
    if double or taken:
        raise ConfigError(
            f"evaluate.models: {(double + taken)[0]!r} would name two models in [{', '.join(wanted)}]; the name of "
            "predictions:PATH is that of the file, so rename the file."
        )
    return found


def replaced(config: Config) -> str | None:
    """Name of the model that the tuned one would replace: `evaluate.primary_baseline`, else the baseline, or None."""
    primary = config.evaluate.primary_baseline
    if primary is not None:
        return name_of(Path(primary.removeprefix(FILE))) if primary.startswith(FILE) else primary
    return config.baseline.name if config.baseline.kind != "none" else None


def names(config: Config) -> list[str]:
    """Name of everyone who is compared, in order."""
    return [rival.who for rival in rivals(config)]


def _rival(config: Config, name: str) -> Rival:
    if name.startswith(FILE):
        path = Path(name.removeprefix(FILE)).expanduser()
        return Rival(name_of(path), "predictions", path)
    if name in LOCAL:
        return Rival(name, "local")
    return Rival(name, name if name in RIVALS else config.baseline.kind)


def name_of(path: Path) -> str:
    """What answers from a file are called: the file's name in [a-z0-9_], without `.predictions.jsonl`.

    Raises:
        ConfigError: nothing of the name is left.
    """
    stem = path.name.partition(".")[0].lower()
    found = re.sub(r"[^a-z0-9]+", "_", stem).strip("_")
    if not found:
        raise ConfigError(f"predictions:{path}: the name of the file has no letter or digit to call these answers by.")
    return found


def adapter_of(config: Config, part: Part) -> Path:
    """Folder of the adapter that is evaluated as `tuned`: `model.adapter`, else the one trained in this run."""
    return Path(config.model.adapter).expanduser() if config.model.adapter is not None else part.adapter
