"""What was tested: models by their digests, prompts, versions, data; and how the tuned model was made."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path

from finetune.report import charts, wording
from finetune.report.charts import Plot
from finetune.report.run_facts import Facts, document, lines
from finetune.rundir import Json, Part


def models(facts: Facts) -> list[Json]:
    """Per model: what its answers say answered, the parser, the answering mode, and the digest of its answers."""
    audit = facts.run.audit() if facts.run.audit_file.exists() else {}
    told = []
    for who in facts.order:
        rows, path = facts.rows(who), facts.run.predictions(who)
        if not rows:
            continue
        names, parsers = (sorted({str(row[key]) for row in rows}) for key in ("model", "parser"))
        scored = sum(bool(row["probabilities"]) for row in rows)
        mode = "labels scored" if scored == len(rows) else "reply written" if not scored else "both"
        digest = audit.get(path.relative_to(facts.run.root).as_posix(), "")
        told.append(
            {
                "who": who,
                "model": some(names),
                "parser": some(parsers),
                "mode": "no model" if who == "majority" else mode,
                "sha256": digest,
            }
        )
    return told


def some(names: list[str]) -> str:
    """All of a few names, or how many there are."""
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"


def questions(facts: Facts) -> list[tuple[str, int]]:
    """Prompts as the models saw them, commonest first, at most three."""
    return Counter(example.question for example in facts.examples).most_common(3)


def asked_differently(facts: Facts) -> int:
    """How many different questions there are."""
    return len({example.question for example in facts.examples})


def pack(facts: Facts) -> list[tuple[str, str]]:
    """What is known of the recorded or live baseline: provider, versions, dates, parameters."""
    baseline, told = facts.config.baseline, about(facts)
    if baseline.kind == "none":
        return []
    wanted = ("provider", "model_requested", "model_returned", "recorded_from", "recorded_to", "recorded_by")
    rows = [(wording.capital(name.replace("_", " ")), _flat(told[name])) for name in wanted if told.get(name)]
    rows += [("Parameters", _flat(told["parameters"]))] if told.get("parameters") else []
    rows += [("Pictures sent", _flat(told["pixel_policy"]))] if told.get("pixel_policy") else []
    rows = rows or [("Kind", baseline.kind), *([("Model", baseline.model)] if baseline.model else [])]
    return [
        *rows,
        ("Largest side of the pictures sent", f"{baseline.max_side} px" if baseline.max_side else "as they are"),
    ]


def about(facts: Facts) -> Json:
    """What a recorded pack, or a live baseline, says of itself; empty where there is none."""
    baseline = facts.config.baseline
    told = document(facts.run.eval / f"{baseline.name}.baseline.json")
    return told or (document(Path(baseline.path).expanduser() / "pack.json") if baseline.path else {})


def _flat(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(
            f"{name.replace('_', ' ')} {_flat(inner)}" for name, inner in value.items() if inner is not None
        )
    if isinstance(value, list):
        return ", ".join(map(_flat, value))
    return str(value)


def made(facts: Facts) -> list[tuple[str, str]]:
    """How the tuned model was made, and with what, by name."""
    config, method = facts.config, facts.config.method
    targets = ", ".join(f"{name.replace('_', ' ')} {how}" for name, how in asdict(method.targets).items())
    versions = ", ".join(f"{name} {version}" for name, version in facts.status.get("versions", {}).items())
    lora = {"attention", "all"} & set(asdict(method.targets).values())
    adapted = f"LoRA rank {method.rank}, alpha {method.alpha:g}" if lora else "whole weights, no LoRA"
    quantised = "" if method.quantise == "none" else f", base weights in {method.quantise}"
    train = config.train
    rows = [
        ("Run", f"{facts.run.root.name}, started {facts.status.get('started', 'unknown')}, seed {config.seed}"),
        (
            "Base model",
            f"{config.model.id} ({config.model.family}){' from a local folder' if config.model.path else ''}",
        ),
        ("Adaptation", f"{adapted}{quantised}; {targets}"),
        (
            "Training",
            f"{train.epochs:g} epochs, batch {train.batch_size} x {train.accumulate}, "
            f"learning rate {train.learning_rate:g}, precision {train.precision}, augmentation {train.augment}",
        ),
        ("Versions", versions),
        ("Commit", facts.status.get("git") or "not recorded"),
    ]
    record = document(facts.parts[0].adapter / "finetune.json")
    rows += [(wording.capital(name.replace("_", " ")), str(value)) for name, value in record.items()]
    audit = facts.run.audit() if facts.run.audit_file.exists() else {}
    return [*rows, *((f"sha256 of {name}", audit[name]) for name in ("data/manifest.jsonl",) if name in audit)]


def curves(parts: tuple[Part, ...]) -> list[Plot]:
    """Loss and validation metric of each part over optimiser steps; parts without a log are left out."""
    loss: dict[str, list[tuple[float, float]]] = {}
    validation: dict[str, list[tuple[float, float]]] = {}
    metric, best = "", None
    for part in parts:
        name = part.name.replace("_", " ") or "training"
        if rows := lines(part.train / "log.jsonl"):
            steps = [float(row["step"]) for row in rows]
            even = charts.smoothed([float(row["loss"]) for row in rows])
            loss[name] = charts.thinned(list(zip(steps, even, strict=True)))
        if rows := lines(part.train / "validation.jsonl"):
            validation[name] = [(float(row["step"]), 100 * float(row["value"])) for row in rows]
            metric = wording.metric(str(rows[0]["metric"]))
            best = next((float(row["step"]) for row in reversed(rows) if row["best"]), None)
    plots = [charts.curve("Training loss, smoothed", "step", loss)] if loss else []
    if validation:
        plots.append(
            charts.curve(f"Validation {metric}, %", "step", validation, best if len(validation) == 1 else None)
        )
    return plots


def quarantined(facts: Facts) -> list[tuple[str, int]]:
    """Reasons for which rows were set aside, commonest first."""
    return Counter(str(row["reason"]) for row in lines(facts.run.quarantine)).most_common(8)


def components(facts: Facts) -> dict[str, Json]:
    """Component of the model -> modules, parameters, trained, quantised."""
    found = document(facts.parts[0].train / "trainable.json")
    return {name: row for name, row in found.items() if isinstance(row, dict)}


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
