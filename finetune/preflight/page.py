"""The findings of a check: lines for a terminal, and one HTML page without a request to anywhere."""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.config.schema import Config
from finetune.example import Example
from finetune.images import decode
from finetune.pipeline.report import pictures
from finetune.preflight.data_check import Measured, Prepared, sheets
from finetune.preflight.problems import Problems
from finetune.report import gallery
from finetune.rundir import RunDir

if TYPE_CHECKING:
    from finetune.preflight.memory_check import Fitted

_BARS = 16
_LISTED = 200
"""Rows of a list on the page; the rest is counted."""


@dataclass(frozen=True)
class Checked:
    """All that was found; None where it did not come so far."""

    data: Prepared | None
    measured: Measured | None
    model: "Fitted | None"
    problems: Problems


def lines(checked: Checked) -> list[str]:
    """The findings for a terminal."""
    found, fitted = checked.data, checked.model
    told = []
    if found is not None:
        what = "splits as the run would make them" if found.honest else "not split: see the errors"
        told.append(f"data: {found.summary['kept']:,} examples, {len(found.bad):,} rows unusable; {what}")
    if fitted is not None:
        low, middle, high = fitted.tokens
        told += [
            f"tokens: {low} to {high}, half under {middle}, of {fitted.limit} ({fitted.counted} examples counted)",
            f"supervised: {' | '.join(map(repr, fitted.supervised[:4]))} ({fitted.share:.1%} of the tokens)",
            *_scale(fitted),
            f"trains: {trained(fitted):,} of {parameters(fitted):,} parameters",
            fitted.memory.told(),
            f"time: {fitted.steps:,} steps of {fitted.step_s:.2f} s, measured on one batch: about {duration(fitted)}",
        ]
    told += [f"warning: {warning}" for warning in checked.problems.warnings]
    return [*told, f"next: {after(checked)}"]


def _scale(fitted: "Fitted") -> list[str]:
    cell = fitted.pixels_a_token
    return [] if cell is None else [f"scale: one image token stands for a square of {cell:.0f} px of the source"]


def after(checked: Checked) -> str:
    """What to do next, in one sentence."""
    if checked.problems.errors:
        return "correct what is named as an error and check again; the run would end there."
    if checked.problems.warnings:
        return "look at the warnings and the pictures; then the same command without `check` starts the run."
    return "look at the pictures; then the same command without `check` starts the run."


def trained(fitted: "Fitted") -> int:
    """Parameters that train."""
    return sum(row["trained"] for row in fitted.table.values())


def parameters(fitted: "Fitted") -> int:
    """Parameters of the base."""
    return sum(row["parameters"] for row in fitted.table.values())


def duration(fitted: "Fitted") -> str:
    """Time of the training, without validation and evaluation."""
    seconds = fitted.steps * fitted.step_s
    return f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{max(1, round(seconds / 60))} minutes"


def write(config: Config, run: RunDir, checked: Checked) -> Path:
    """Renders `check.html`."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def asset(name: str) -> str:
        package = "finetune.report" if name == "style.css" else "finetune.preflight"
        return resources.files(package).joinpath(name).read_text(encoding="utf-8")

    style = asset("style.css") + asset("check.css")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    mode = pictures(config)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, loader=FunctionLoader(asset)
    )
    values = {
        "style": style,
        "policy": "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src 'sha256-{digest}'",
        "recipe": config.recipe or "custom configuration",
        "checked": checked,
        "errors": [str(error) for error in checked.problems.errors],
        "next": after(checked),
        "sheets": _sheets(checked.data, mode),
        "charts": _charts(checked),
        "mode": mode,
        "bad": list(checked.data.bad[:_LISTED]) if checked.data else [],
        "leaks": checked.data.summary["leaks"][:_LISTED] if checked.data else [],
        "told": lines(checked),
    }
    return run.write_text(run.root / "check.html", environment.get_template("check.html").render(values))


def _sheets(found: Prepared | None, mode: str) -> list[dict[str, Any]]:
    if found is None:
        return []
    counts = Counter(example.target for example in found.examples)
    return [
        {
            "label": label,
            "count": counts[label] if label else len(found.examples),
            "items": [(example, _thumbnail(found, example, mode)) for example in some],
        }
        for label, some in list(sheets(found.examples).items())[:24]
    ]


def _thumbnail(found: Prepared, example: Example, mode: str) -> str | None:
    if mode == "none":
        return None
    return gallery.thumbnail(decode.load(found.root, example.images[0]), mode == "blurred")


def _charts(checked: Checked) -> list[dict[str, Any]]:
    if checked.measured is None:
        return []
    charts = [
        _chart("Longer side, pixels", checked.measured.sides),
        _chart("Mean brightness, 0 to 255", checked.measured.greys),
    ]
    if checked.measured.defects:
        charts.append(_chart("Shorter side of annotated defects, pixels", checked.measured.defects))
    return charts


def _chart(title: str, values: Sequence[float]) -> dict[str, Any]:
    """A histogram as bars of (x, height), on a field of 320 x 90."""
    low, high = min(values), max(values)
    width = (high - low) / _BARS or 1
    counts = Counter(min(_BARS - 1, int((value - low) / width)) for value in values)
    most = max(counts.values())
    bars = [(20 * place, round(90 * counts[place] / most, 1), counts[place]) for place in range(_BARS)]
    return {"title": title, "bars": bars, "low": f"{low:,.0f}", "high": f"{high:,.0f}", "count": len(values)}
