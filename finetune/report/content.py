"""Gathers what the report says from the files of a run; no model, no torch."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

from finetune import dataset
from finetune.comparison import ORDER
from finetune.config import Config
from finetune.example import Example
from finetune.report import charts, words
from finetune.report.charts import Plot
from finetune.rundir import Json, Part, RunDir, now, read_json, read_jsonl

PLOTTED = ("balanced_accuracy", "accuracy")


def gather(config: Config, run: RunDir) -> dict[str, Any]:
    """Everything but the gallery, by the names that both templates use."""
    comparison, metrics = read_json(run.comparison), read_json(run.metrics)
    comparison["models"] = {who: comparison["models"][who] for who in ORDER if who in comparison["models"]}
    summary, status = read_json(run.summary), run.status()
    shown = words.columns(comparison)
    parts = run.parts(config.data.folds)
    trained = components(parts[0])
    metric = config.evaluate.decision.metric
    return {
        "words": words,
        "recipe": config.recipe or "custom configuration",
        "date": str(status.get("started", now()))[:10],
        "split_table": split_table,
        "comparison": comparison,
        "metrics": metrics["models"],
        "headline": words.headline(comparison),
        "summary": words.summary(comparison),
        "standing": words.standing(comparison["pairs"]["tuned-base"])
        if "tuned-base" in comparison["pairs"]
        else "open",
        "columns": shown,
        "panels": charts.intervals(comparison, sorted(PLOTTED, key=lambda name: name != metric)),
        "curves": curves(parts),
        "heat": {who: charts.heat(detail["confusion"]["rows"]) for who, detail in metrics["models"].items()},
        "data": summary,
        "quarantined": quarantined(run),
        "components": trained,
        "component_columns": list(next(iter(trained.values()), {})),
        "made": made(config, run, status),
        "limits": limits(config, comparison, summary),
        "config_text": run.config_file.read_text(encoding="utf-8") if run.config_file.exists() else "",
    }


def curves(parts: list[Part]) -> list[Plot]:
    """Loss and validation metric of each part over optimiser steps; parts without a log are left out."""
    loss: dict[str, list[tuple[float, float]]] = {}
    validation: dict[str, list[tuple[float, float]]] = {}
    metric, best = "", None
    for part in parts:
        name = part.name.replace("_", " ") or "training"
        if rows := _rows(part.train / "log.jsonl"):
            steps = [float(row["step"]) for row in rows]
            even = charts.smoothed([float(row["loss"]) for row in rows])
            loss[name] = charts.thinned(list(zip(steps, even, strict=True)))
        if rows := _rows(part.train / "validation.jsonl"):
            validation[name] = [(float(row["step"]), 100 * float(row["value"])) for row in rows]
            metric = words.METRICS.get(rows[0]["metric"], str(rows[0]["metric"]))
            best = next((float(row["step"]) for row in reversed(rows) if row["best"]), None)
    plots = [charts.curve("Training loss, smoothed", "step", loss)] if loss else []
    if validation:
        plots.append(
            charts.curve(f"Validation {metric}, %", "step", validation, best if len(validation) == 1 else None)
        )
    return plots


def _rows(path: Path) -> list[Json]:
    return list(read_jsonl(path)) if path.exists() else []


def quarantined(run: RunDir) -> list[tuple[str, int]]:
    """Reasons for which rows were set aside, commonest first."""
    return Counter(str(row["reason"]) for row in _rows(run.quarantine)).most_common(8)


def components(part: Part) -> dict[str, Json]:
    """Component of the model -> modules, parameters, trained, quantised."""
    path = part.train / "trainable.json"
    return {name: row for name, row in read_json(path).items() if isinstance(row, dict)} if path.exists() else {}


def made(config: Config, run: RunDir, status: Json) -> list[tuple[str, str]]:
    """What it was made with, by name."""
    method = config.method
    targets = ", ".join(f"{name.replace('_', ' ')} {how}" for name, how in asdict(method.targets).items())
    versions = ", ".join(f"{name} {version}" for name, version in status.get("versions", {}).items())
    quantised = "" if method.quantise == "none" else f", base weights in {method.quantise}"
    rows = [
        ("Run", f"{run.root.name}, started {status.get('started', 'unknown')}, seed {config.seed}"),
        ("Question asked", _question(config, run)),
        (
            "Base model",
            f"{config.model.id} ({config.model.family}){' from a local folder' if config.model.path else ''}",
        ),
        ("Adaptation", f"LoRA rank {method.rank}, alpha {method.alpha:g}{quantised}; {targets}"),
        ("Training", _training(config)),
        ("Versions", versions),
        ("Commit", status.get("git") or "not recorded"),
    ]
    adapters = [part.adapter / "finetune.json" for part in run.parts(config.data.folds)[:1]]
    rows += [
        (name.replace("_", " "), str(v)) for path in adapters if path.exists() for name, v in read_json(path).items()
    ]
    audit = run.audit() if run.audit_file.exists() else {}
    wanted = ("data/manifest.jsonl", "eval/tuned.predictions.jsonl", "eval/base.predictions.jsonl")
    return [*rows, *((f"sha256 of {name}", audit[name]) for name in wanted if name in audit)]


def _question(config: Config, run: RunDir) -> str:
    """The question as the models saw it, where it is the same for every image."""
    asked = {example.question for example in test_examples(config, run)}
    return asked.pop() if len(asked) == 1 else f"{len(asked)} different ones, as the source has them"


def _training(config: Config) -> str:
    train = config.train
    return (
        f"{train.epochs:g} epochs, batch {train.batch_size} x {train.accumulate}, "
        f"learning rate {train.learning_rate:g}, precision {train.precision}, augmentation {train.augment}"
    )


def limits(config: Config, comparison: Json, summary: Json) -> list[str]:
    """What this report does not show, in the order in which it should worry the reader."""
    pair = comparison["pairs"].get("tuned-base")
    told = [comparison["decision"]["reason"]]
    groups = comparison["groups"]
    if pair and groups != comparison["n"] and groups < 40:
        told.append(
            f"The test holds {groups} groups; with fewer than 40 the intervals are rough, "
            f"with fewer than {words.ENOUGH_GROUPS} they carry no decision."
        )
    if comparison["groups"] == comparison["n"]:
        told.append(
            "Every image counts as independent. If several images show one part, patient or module, set data.group: "
            "otherwise the intervals are too narrow."
        )
    if summary.get("leaks"):
        told.append(
            f"{words.many(len(summary['leaks']), 'image')} with equal pixels in more than one split: "
            "results may be too good."
        )
    if summary.get("conflicts"):
        told.append(
            f"{words.many(len(summary['conflicts']), 'image')} with equal pixels but different labels: "
            "no model can get all of them right."
        )
    looks = comparison["decision"]["looks"]
    if looks > 1:
        told.append(f"This test split was evaluated {looks} times; each look at it makes a lucky result likelier.")
    told.append(
        "The figures hold for images like those tested: the same site, camera, light and mix of classes. "
        "A change of any of them calls for a new test."
    )
    told.append("Probabilities shown beside answers are not calibrated.")
    if config.model.id == "embedded" and config.model.path is None:
        told.append(
            "The embedded base model has a few million parameters, for first runs and tests; "
            "real work takes a real base."
        )
    return told


def split_table(summary: Json) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the class balance: split x class, with groups."""
    labels = summary["labels"]
    rows = [
        [
            name.replace("_", " "),
            *(f"{count:,}" for count in [*(counts.get(label, 0) for label in labels), summary["by_split"][name]]),
            f"{summary['groups'][name]:,}",
        ]
        for name, counts in summary["balance"].items()
    ]
    return ["", *labels, "images", "groups"], rows


def rows_of(run: RunDir, who: str, generated: bool = False) -> list[Json]:
    """Lines of a predictions file."""
    return list(read_jsonl(run.predictions(who, generated)))


def test_examples(config: Config, run: RunDir) -> list[Example]:
    """The test split in the order in which it was evaluated, folds pooled."""
    return [row for part in run.parts(config.data.folds) for row in dataset.read_split(part.split("test"))]
