"""What a run shows to an experiment tracker: its curves, the comparison and, where permitted, a few pictures.

Everything is read from the files of the run after its stages have ended, so a tracker can influence no result. Nothing
of the configuration is passed on. What goes wrong in a tracker is noted in run.json and ends no run.
"""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune import plugins
from finetune.config.schema import Config
from finetune.rundir import Json, RunDir, read_json, read_jsonl

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES = 4
"""Pictures shown, of the validation examples."""

COLUMNS = ("model", "metric", "value", "low", "high")


@dataclass(frozen=True)
class Shown:
    """All that a tracker gets.

    Attributes:
        name: of the run.
        curves: (name, step, value).
        table: rows of `COLUMNS`, from the comparison.
        pictures: (caption, picture); empty unless `report.pictures` is full.
    """

    name: str
    curves: tuple[tuple[str, int, float], ...]
    table: tuple[tuple[str, str, float, float, float], ...]
    pictures: tuple[tuple[str, "Image"], ...]


def send(config: Config, run: RunDir) -> Json | None:
    """Writes the run for its tracker, in `RUN/tracking`; returns the note for run.json, None without a tracker."""
    if config.tracking.kind == "none":
        return None
    folder = run.root / "tracking" / config.tracking.kind
    try:
        if folder.exists():
            shutil.rmtree(folder)
        plugins.load("tracker", config.tracking.kind).write(collected(config, run), run.make(folder), config.tracking)
    except Exception as error:
        print(f"tracking: {config.tracking.kind} failed ({error}); the run is not touched by that", file=sys.stderr)
        return {"kind": config.tracking.kind, "error": f"{type(error).__name__}: {error}"}
    return {"kind": config.tracking.kind, "error": None}


def collected(config: Config, run: RunDir) -> Shown:
    """Reads what is shown from the files of the run."""
    pictures = tuple(_pictures(config, run)) if permits_pictures(config) else ()
    return Shown(run.root.name, tuple(_curves(config, run)), tuple(_table(run)), pictures)


def permits_pictures(config: Config) -> bool:
    """Whether pictures may be shown as they are."""
    chosen = config.report.pictures or ("none" if config.data.sensitivity == "restricted" else "full")
    return chosen == "full"


def _curves(config: Config, run: RunDir) -> Iterator[tuple[str, int, float]]:
    for part in run.parts(config.data.folds):
        prefix = f"{part.name}/" if part.name else ""
        for file, names in (
            ("log.jsonl", ("loss", "learning_rate", "grad_norm", "samples_per_s", "peak_memory_mib")),
            ("validation.jsonl", ("value", "log_probability")),
        ):
            path = part.train / file
            for row in read_jsonl(path) if path.exists() else ():
                yield from ((f"{prefix}{path.stem}/{name}", row["step"], float(row[name])) for name in names)


def _table(run: RunDir) -> Iterator[tuple[str, str, float, float, float]]:
    models: dict[str, dict[str, Any]] = read_json(run.comparison)["models"] if run.comparison.exists() else {}
    for who, metrics in models.items():
        for metric, score in metrics.items():
            if isinstance(score, dict) and {"value", "low", "high"} <= score.keys():
                yield who, metric, score["value"], score["low"], score["high"]


def _pictures(config: Config, run: RunDir) -> Iterator[tuple[str, "Image"]]:
    from finetune.data import example_files, source
    from finetune.images import decode

    path: Path = run.parts(config.data.folds)[0].split("val")
    examples = [example for example in example_files.read_split(path) if example.images] if path.exists() else []
    root = source.image_root(config, run) if examples else run.root
    for example in examples[:PICTURES]:
        yield example.target, decode.load(root, example.images[0])
