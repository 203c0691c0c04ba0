"""The model card of a run, made from its files; every field says where it comes from."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import yaml

from finetune import __version__
from finetune.config import compose
from finetune.config.schema import Config
from finetune.rundir import Json, Part, RunDir, read_json, read_jsonl

Source = Literal["measured", "config", "human", "missing"]

FOR_PEOPLE = ("intended use", "uses to avoid", "licence of these weights", "contact")
"""What no program can know; a card without them is a draft and says so first."""


@dataclass(frozen=True)
class Field:
    """One line of the card."""

    name: str
    value: str
    source: Source


def render(config: Config, run: RunDir, part: Part, parity: Json) -> str:
    """Writes the card as Markdown with the front matter that model hubs read.

    Args:
        config: of the run.
        run: with summary, trainable.json and, where it was evaluated, comparison.json.
        part: the training that is exported.
        parity: what `export/parity.json` says.
    """
    sections = {
        "Model": list(_model(config, part)),
        "Data": list(_data(config, run)),
        "Results on held-out data": list(_results(run)),
        "The merged weights": list(_merged(parity)),
        "For people to fill in": [Field(name, "", "missing") for name in FOR_PEOPLE],
    }
    limits = _limits(config)
    missing = [field.name for fields in sections.values() for field in fields if field.source == "missing"]
    missing += [] if limits else ["limits"]
    lines = [
        "---",
        yaml.safe_dump(_front(config), sort_keys=False).strip(),
        "---",
        "",
        f"# {config.recipe or 'A run'}",
        "",
    ]
    lines += [f"**Draft.** {len(missing)} required fields are missing: {', '.join(missing)}.", ""] if missing else []
    lines += ["Each field is *measured* in the run, from its *config*, written by a *human*, or *missing*.", ""]
    for title, fields in sections.items():
        lines += [f"## {title}", "", "| field | value | source |", "|---|---|---|"]
        lines += [f"| {plain(f.name)} | {plain(f.value)} | {f.source} |" for f in fields]
        lines += [""]
    lines += ["## Limits (human)", "", limits or "Missing.", "", *_usage(config)]
    return "\n".join(lines)


def plain(text: str) -> str:
    """Text for a table cell: labels and questions come from data and must neither break the table nor become markup."""
    folded = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_\[\]|])", r"\\\1", folded)


def _front(config: Config) -> Json:
    base = {} if config.model.id == "embedded" or config.model.path else {"base_model": config.model.id}
    return {"library_name": "peft", "pipeline_tag": "image-text-to-text", **base, "tags": ["lora", "onsite-vlm"]}


def _model(config: Config, part: Part) -> Iterator[Field]:
    record = read_json(part.adapter / "finetune.json")
    yield Field("base model", config.model.path or config.model.id, "config")
    embedded = f"as in finetune {__version__}" if config.model.id == "embedded" and not config.model.path else None
    yield Field("revision of the base", embedded or config.model.revision or "not pinned", "config")
    yield Field("sha256 of the base weights", str(record["base_sha256"]), "measured")
    yield Field("family", config.model.family, "config")
    method, targets = config.method, config.method.targets
    bits = "4-bit (nf4) base, " if method.quantise == "nf4" else ""
    yield Field(
        "method", f"{bits}LoRA of rank {method.rank}, alpha {method.alpha:g}, dropout {method.dropout:g}", "config"
    )
    adapted = f"{targets.vision_tower}, {targets.projector}, {targets.language_model}"
    yield Field("adapted: vision tower, projector, language model", adapted, "config")
    if (part.train / "trainable.json").exists():
        counts = read_json(part.train / "trainable.json").values()
        trained, whole = (sum(row[key] for row in counts) for key in ("trained", "parameters"))
        yield Field("trained parameters", f"{trained:,} of {whole:,}", "measured")
    train = config.train
    yield Field(
        "epochs, batch, rate",
        f"{train.epochs:g}, {train.batch_size} x {train.accumulate}, {train.learning_rate:g}",
        "config",
    )
    yield Field("seed", str(config.seed), "config")
    if (part.train / "log.jsonl").exists():
        steps = max((row["step"] for row in read_jsonl(part.train / "log.jsonl")), default=0)
        yield Field("optimiser steps", f"{steps:,}", "measured")


def _data(config: Config, run: RunDir) -> Iterator[Field]:
    summary = read_json(run.summary)
    yield Field("source", f"{config.data.adapter}: {config.data.path or 'made by the adapter'}", "config")
    if config.data.test_path is not None:
        yield Field("external test set", config.data.test_path, "config")
    yield Field("question", config.task.question, "config")
    yield Field("labels", ", ".join(summary["labels"]), "config" if config.task.labels else "measured")
    yield Field("what never spans splits", config.data.group or "groups as the adapter makes them", "config")
    yield Field("groups by split", _counts(summary["groups"]), "measured")
    yield Field(
        "read, kept, quarantined", ", ".join(str(summary[k]) for k in ("read", "kept", "quarantined")), "measured"
    )
    yield Field("by split", _counts(summary["by_split"]), "measured")
    yield Field("by label", _counts(summary["by_label"]), "measured")
    yield Field("images in more than one split", str(len(summary["leaks"])), "measured")


def _counts(counts: Json) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _results(run: RunDir) -> Iterator[Field]:
    found = read_json(run.comparison) if run.comparison.exists() else {"models": {}, "pairs": {}}
    if "tuned" not in found["models"]:
        yield Field("accuracy of the tuned model", "", "missing")
        return
    yield Field("test examples, groups", f"{found['n']:,}, {found['groups']:,}", "measured")
    yield from _verdict(found.get("decision") or {})
    for who, metrics in found["models"].items():
        for metric, score in metrics.items():
            if score is not None and score["value"] is not None:
                yield Field(f"{who}: {metric.replace('_', ' ')}", _interval(score, "value"), "measured")
    for name, pair in found["pairs"].items():
        yield Field(
            f"{name}: difference in {pair['metric'].replace('_', ' ')}", _interval(pair, "difference"), "measured"
        )


def _verdict(decision: Json) -> Iterator[Field]:
    """The verdict on replacing another model, with what it rests on and how long it holds."""
    if not decision.get("verdict"):
        return
    baseline = (decision.get("rule") or {}).get("baseline")
    verdict = str(decision["verdict"]).replace("_", " ")
    qualifier = f", {decision['qualifier'].replace('_', ' ')}" if decision.get("qualifier") else ""
    yield Field(f"verdict on replacing {baseline or 'another model'}", verdict + qualifier, "measured")
    yield Field("reason", str(decision["reason"]), "measured")
    yield Field("rule, sha256", str(decision["rule_sha256"]), "config")
    yield Field("looks at this test", str(decision["looks"]), "measured")
    if decision.get("expires"):
        text = f"{str(decision['expires'])[:10]}, or when anything in its scope changes"
        yield Field("the verdict expires", text, "config")


def _interval(score: Json, key: str) -> str:
    if score["low"] is None:
        return f"{score[key]:.3f}"
    return f"{score[key]:.3f} (95 % interval {score['low']:.3f} to {score['high']:.3f})"


def _merged(parity: Json) -> Iterator[Field]:
    n, evaluated = parity["n"], parity["evaluated"]
    yield Field("same answers as base and adapter", f"{parity['answers_equal']} of {n} held-out examples", "measured")
    largest = f"{parity['max_abs_logit_difference']:.2e}, tolerance {parity['tolerance']:.2e}"
    yield Field("largest difference of a logit", largest, "measured")
    yield Field("number format", parity["dtype"], "measured")
    if evaluated is None:
        yield Field("same answers as in the evaluation", "", "missing")
        return
    base = " (made with a 4-bit base; these weights are not)" if evaluated["quantise"] != "none" else ""
    same = f"{evaluated['answers_equal']} of {evaluated['n']}{base}"
    yield Field("same answers as in the evaluation", same, "measured")


def _limits(config: Config) -> str:
    """What people wrote about limits on the page beside the recipe: its section, or its paragraph, of that name."""
    file = compose.recipes().get(config.recipe)
    page = file.with_suffix(".md") if file else None
    if page is None or not page.is_file():
        return ""
    text = page.read_text(encoding="utf-8")
    found = re.search(r"^#+ Limits\s*\n(.*?)(?=^#+ |\Z)", text, re.MULTILINE | re.DOTALL)
    found = found or re.search(r"^\*\*Limits\.?\*\*(.*?)(?=\n\s*\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1].strip() if found else ""


def _usage(config: Config) -> list[str]:
    base = "BASE" if config.model.id == "embedded" or config.model.path else config.model.id
    return [
        "## Use",
        "",
        "```python",
        "from peft import PeftModel",
        "from transformers import AutoModelForImageTextToText, AutoProcessor",
        "",
        'model = AutoModelForImageTextToText.from_pretrained("merged")  # or the adapter on its base:',
        f'model = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained("{base}"), "adapter")',
        'processor = AutoProcessor.from_pretrained("merged")',
        "```",
        "",
    ]
