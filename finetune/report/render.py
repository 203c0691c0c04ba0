"""From blocks to pages: templates, the content policy, and text that stays text."""

import base64
import hashlib
import re
from importlib import resources
from typing import Any

from finetune.report import gallery


def html(values: dict[str, Any]) -> str:
    """The HTML page: style and script inline, each allowed by its digest alone, everything else forbidden."""
    style, script = asset("style.css") + asset("print.css"), asset("gallery.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    found: gallery.Gallery = values["gallery"]
    items = {"items": found.items, "questions": found.questions, "who": found.who}
    values = values | {"style": style, "script": script, "policy": policy, "items_json": gallery.safe_json(items)}
    return _render("template.html", values, escape=True)


def markdown(values: dict[str, Any]) -> str:
    """The same facts for a terminal, a diff or a wiki."""
    lines = _render("report.md.jinja", values, escape=False)
    return re.sub(r"\n{3,}", "\n\n", lines).strip() + "\n"


def asset(name: str) -> str:
    """Text of a file of this folder."""
    return resources.files("finetune.report").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _render(name: str, values: dict[str, Any], escape: bool) -> str:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=escape, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(asset)
    )
    environment.filters["md"] = markdown_safe
    return environment.get_template(name).render(values)


def markdown_safe(value: object) -> str:
    """Text from data for one Markdown table cell: one line, no markup, no HTML."""
    line = " ".join(str(value).split())
    return re.sub(r"([\\`*_{}\[\]<>|#!])", r"\\\1", line)
