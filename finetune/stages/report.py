"""Writes `report/report.html`, self-contained and without a single outside request, and `report/report.md`."""

import base64
import dataclasses
import hashlib
import re
from importlib import resources
from pathlib import Path
from typing import Any

from finetune import dataset, pixels
from finetune.config import Config
from finetune.errors import DataError
from finetune.example import Example
from finetune.report import content, gallery
from finetune.rundir import RunDir, sha256_file


def reads(config: Config, run: RunDir) -> dict[str, Any]:
    """The whole config is printed in the report; the files are those of the earlier stages."""
    files = [run.comparison, run.metrics, run.summary, run.quarantine]
    files += [run.predictions(who, generated) for who in config.evaluate.models for generated in (False, True)]
    for part in run.parts(config.data.folds):
        files += [part.split("test"), part.train / "trainable.json", part.adapter / "finetune.json"]
        files += [part.train / "log.jsonl", part.train / "validation.jsonl"]
    settings = dataclasses.asdict(config) | {"stages": None, "run": None}
    return settings | {
        file.relative_to(run.root).as_posix(): sha256_file(file) if file.exists() else None for file in files
    }


def sources(config: Config) -> dict[str, Any]:
    """Nothing: pictures come from the images that `prepare` watches."""
    return {}


def run(config: Config, run: RunDir) -> list[Path]:
    """Renders both reports from the files of the run.

    Raises:
        DataError: an image for the gallery cannot be decoded.
    """
    values = content.gather(config, run)
    page = _page(values | {"gallery": _gallery(config, run), "pictures": pictures(config)})
    html = run.write_text(run.report / "report.html", page)
    text = run.write_text(run.report / "report.md", _render("report.md.jinja", values, escape=False))
    return [html, text]


def pictures(config: Config) -> str:
    """`full`, `blurred` or `none`: as asked, else none for restricted data and full otherwise."""
    return config.report.pictures or ("none" if config.data.sensitivity == "restricted" else "full")


def _gallery(config: Config, run: RunDir) -> gallery.Gallery:
    examples = content.test_examples(config, run)
    asked = config.evaluate.models
    who: list[str] = [name for name in ("base", "tuned", "majority") if name in asked]
    deployed = {name: content.rows_of(run, name) for name in who}
    generated = {name: content.rows_of(run, name, True) for name in who if run.predictions(name, True).exists()}
    shown = pictures(config)
    if shown == "none":
        return gallery.build(examples, deployed, generated, None, False)
    root = _image_root(config, run)
    return gallery.build(
        examples, deployed, generated, lambda example: _picture(root, example), blurred=shown == "blurred"
    )


def _image_root(config: Config, run: RunDir) -> Path:
    try:
        return dataset.image_root(config, run)
    except DataError as error:
        raise DataError(f"{error}\nWithout the images, report.pictures=none still makes a report.") from error


def _picture(root: Path, example: Example) -> Any:
    return pixels.load(root, example.images[0])


def _page(values: dict[str, Any]) -> str:
    """The HTML page: style and script inline, each allowed by its digest alone, everything else forbidden."""
    style, script = _asset("style.css"), _asset("gallery.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    found: gallery.Gallery = values["gallery"]
    values |= {"style": style, "script": script, "policy": policy, "items_json": gallery.safe_json(found.items)}
    return _render("template.html", values, escape=True)


def _asset(name: str) -> str:
    return resources.files("finetune.report").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _render(name: str, values: dict[str, Any], escape: bool) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=escape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["md"] = markdown_safe
    return environment.from_string(_asset(name)).render(values) + ("" if escape else "\n")


def markdown_safe(value: object) -> str:
    """Text from data for one Markdown table cell: one line, no markup, no HTML."""
    line = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]<>|#!])", r"\\\1", line)
