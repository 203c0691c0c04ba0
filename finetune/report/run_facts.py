"""The files of a run that the report speaks about, read once; no model, no torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from finetune.config.schema import Config
from finetune.data import example_files
from finetune.example import Example
from finetune.rundir import Json, Part, RunDir, read_json, read_jsonl


@dataclass(frozen=True)
class Facts:
    """One run, as its files tell it.

    Attributes:
        comparison: `eval/comparison.json`.
        metrics: `eval/metrics.json`.
        panels: `eval/panels.json`, empty where there is none.
        summary: `data/summary.json`.
        status: `run.json`.
        parts: the run itself, or its folds.
        examples: the test split in the order in which it was evaluated, folds pooled.
    """

    config: Config
    run: RunDir
    comparison: Json
    metrics: Json
    panels: Json
    summary: Json
    status: Json
    parts: tuple[Part, ...]
    examples: tuple[Example, ...]

    @cached_property
    def order(self) -> tuple[str, ...]:
        """Everyone compared: the candidate, the one it would replace, then the yardsticks."""
        first = ("tuned", self.rival or "tuned", "base", "linear", "majority")
        known = [who for who in dict.fromkeys(first) if who in self.comparison["models"]]
        return (*known, *(who for who in self.comparison["models"] if who not in known))

    @cached_property
    def rival(self) -> str | None:
        """Name of the model that would be replaced, where it was compared."""
        name = (self.comparison["decision"].get("rule") or {}).get("baseline")
        return name if name in self.comparison["models"] and "tuned" in self.comparison["models"] else None

    def rows(self, who: str, generated: bool = False) -> list[Json]:
        """Lines of a predictions file; empty where there is none."""
        return lines(self.run.predictions(who, generated))

    def detail(self, who: str) -> Json:
        """What `metrics.json` holds of one model."""
        found: Json = self.metrics["models"].get(who, {})
        return found


def gather(config: Config, run: RunDir) -> Facts:
    """Reads the files of the earlier stages."""
    parts = tuple(run.parts(config.data.folds))
    return Facts(
        config=config,
        run=run,
        comparison=read_json(run.comparison),
        metrics=read_json(run.metrics),
        panels=document(run.panels) | {"curve": document(run.curve).get("points")},
        summary=read_json(run.summary),
        status=run.status(),
        parts=parts,
        examples=tuple(row for part in parts for row in example_files.read_split(part.split("test"))),
    )


def document(path: Path) -> Json:
    """A JSON file, or an empty object where there is none."""
    return read_json(path) if path.exists() else {}


def lines(path: Path) -> list[Json]:
    """The rows of a .jsonl file; none where there is no file."""
    return list(read_jsonl(path)) if path.exists() else []


def flat(value: Json, names: Sequence[str] = ()) -> list[tuple[str, str]]:
    """A nested object as (dotted name, text), values that are null or empty left out."""
    found: list[tuple[str, str]] = []
    for name, inner in value.items():
        path = (*names, str(name))
        if isinstance(inner, dict):
            found += flat(inner, path)
        elif isinstance(inner, list):
            found += [(".".join(path), ", ".join(map(str, inner)))] if inner else []
        elif inner is not None and inner != "":
            found.append((".".join(path), f"{inner:g}" if isinstance(inner, float) else str(inner)))
    return found
