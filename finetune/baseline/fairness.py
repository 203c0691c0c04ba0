"""Was the baseline given a fair chance? A replacement that only beats a handicapped rival proves nothing."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from finetune.config.schema import BaselineConfig, Config, ModelConfig
from finetune.data import example_files
from finetune.example import Prediction
from finetune.images import decode
from finetune.models import weight_files
from finetune.rundir import Json, RunDir, now, read_json

Status = Literal["pass", "fail", "unknown"]
RECENT_DAYS = 180
"""Within which an answer shows that a model can still be had."""
LOW_DETAIL_PX = 512
"""What OpenAI's `detail: low` leaves of an image (https://platform.openai.com/docs/guides/images-vision)."""
SCHEMA_PARAMETERS = ("response_format", "response_schema", "json_schema", "output_config", "output_format", "schema")
"""Parameters by which the providers' APIs take a closed list of answers."""


def check(
    config: Config,
    pack: Mapping[str, Any] | None,
    *,
    seen_px: int | None = None,
    unanswered: int | None = None,
    texts: Sequence[str] | None = None,
    closed: bool = True,
    labels: Sequence[str] = (),
    on: str | None = None,
) -> list[Json]:
    """The rows `{check, status, detail}` of comparison.json `fairness`; empty where there is no baseline.

    Args:
        config: `baseline` and `task` count.
        pack: what `pack.json` of a recorded baseline says, or what a live one wrote in that form; None = not known.
        seen_px: longest side of the pictures that the tuned model saw (`side_px`), where that is known.
        unanswered: replies of the baseline in which the parser found no answer, where that is known.
        texts: replies of the baseline, where they are known: whether they have the form of a schema is looked at.
        closed: whether questions have closed answers.
        labels: those answers.
        on: the day of the comparison, `YYYY-MM-DD`; today by default.
    """
    if config.baseline.kind == "none":
        return []
    told = pack or {}
    rows = {
        "pixels": _pixels(config.baseline, told, seen_px),
        "prompt": _prompt(config.baseline, told),
        "snapshot": _snapshot(config.baseline, told, on or now()[:10]),
        "schema": _schema(config, told, unanswered, [_formed(text, labels) for text in texts or ()])
        if closed
        else _NO_SCHEMA,
    }
    if told.get("synthetic") is True:
        rows["made up"] = ("fail", "The answers were made up for tests; no model was asked.")
    return [{"check": name, "status": status, "detail": detail} for name, (status, detail) in rows.items()]


def of_run(config: Config, run: RunDir, answers: Sequence[Prediction], root: Path) -> list[Json]:
    """`check` from the files of a run.

    Args:
        config: of the run.
        run: `eval/BASELINE.baseline.json` is read where it is there.
        answers: the baseline's predictions of the test split.
        root: folder of the test images, whose headers are read.
    """
    path = run.eval / f"{config.baseline.name}.baseline.json"
    tests = [row for part in run.parts(config.data.folds) for row in example_files.read_split(part.split("test"))]
    largest = max(max(decode.header(root, ref).size) for example in tests for ref in example.images)
    return check(
        config,
        read_json(path) if path.is_file() else None,
        seen_px=side_px(config.model, largest),
        unanswered=sum(row.outcome == "unparsed" for row in answers),
        texts=[row.text for row in answers if row.outcome in ("correct", "wrong", "unparsed")],
        closed=bool(example_files.labels(run)),
        labels=example_files.labels(run),
    )


def side_px(model: ModelConfig, largest_px: int | None = None) -> int | None:
    """Longest side, in pixels, of what a local model is shown of one picture; None where its files do not say.

    Args:
        model: whose processor's files are read, with `model.pixels` on top.
        largest_px: longest side among the pictures of the test split: enlarging adds nothing to them.
    """
    folder = weight_files.locate(model, offline=True)
    settings: Json = {}
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            found = read_json(folder / name)
            settings |= found.get("image_processor", found if name.startswith("pre") else {})
    side = _side((settings | (model.pixels or {})).get("size"))
    return None if side is None else min(side, largest_px or side)


def _side(size: Any) -> int | None:
    """The largest side that `size` of an image processor lets through.

    Qwen's processors say `longest_edge` and mean the number of pixels, whose square root is the side of a square.
    """
    if isinstance(size, int):
        return size
    named = size if isinstance(size, dict) else {}
    sides = [int(named[key]) for key in ("longest_edge", "height", "width", "shortest_edge") if key in named]
    if not sides:
        return None
    return math.isqrt(sides[0]) if sides[0] > decode.MAX_SIDE_PX else sides[0]


def _pixels(baseline: BaselineConfig, pack: Mapping[str, Any], seen: int | None) -> tuple[Status, str]:
    """Fewer pixels sent than the tuned model saw?"""
    sent, known = _sent_px(baseline, pack)
    if not known:
        return "unknown", "The pack does not say how large the pictures were that the baseline got."
    if sent is None:
        return "pass", "The baseline got the pictures as they are."
    if seen is None:
        return "unknown", f"The baseline got at most {sent} px a side; what the tuned model saw is not known."
    told = f"The baseline got at most {sent} px a side, the tuned model saw {seen} px."
    return ("pass" if sent >= seen else "fail"), told


def _sent_px(baseline: BaselineConfig, pack: Mapping[str, Any]) -> tuple[int | None, bool]:
    """(longest side sent or None = as it is, whether that is known)."""
    policy = pack.get("pixel_policy", {"max_side": baseline.max_side} if baseline.kind != "recorded" else None)
    detail = _value(pack.get("parameters", baseline.parameters), ("detail", "image_detail"))
    limits = [LOW_DETAIL_PX] if detail == "low" else []
    if isinstance(policy, dict) and any(key in policy for key in ("max_side", "max_side_px")):
        side = policy.get("max_side", policy.get("max_side_px"))
        limits += [int(side)] if side is not None else []
        return min(limits, default=None), True
    return (limits[0], True) if limits else (None, False)


def _value(parameters: Any, names: Sequence[str]) -> Any:
    """A parameter's value, whether it stands bare or as `{value, status}`."""
    for name in names:
        if isinstance(parameters, dict) and name in parameters:
            given = parameters[name]
            return given.get("value") if isinstance(given, dict) and "value" in given else given
    return None


def _prompt(baseline: BaselineConfig, pack: Mapping[str, Any]) -> tuple[Status, str]:
    """A prompt tuned for one model only? Ours was trained on its prompt; the baseline's must have been chosen too."""
    if "prompt_choice" in pack:
        tried = {(row["prompt"], row["shots"]) for row in pack["prompt_choice"]}
    elif baseline.kind == "recorded":
        return "unknown", "The pack does not say whether the baseline's prompt was chosen on validation."
    else:
        tried = {(prompt, shots) for prompt in (None, *baseline.prompts) for shots in baseline.shots}
    ways = len(tried)
    if ways > 1:
        return "pass", f"The baseline was asked in the best of {ways} ways on validation (baseline.prompts, .shots)."
    return "fail", (
        "The baseline got the prompt that our model was trained on, and no other was tried; "
        "give baseline.prompts or baseline.shots."
    )


def _snapshot(baseline: BaselineConfig, pack: Mapping[str, Any], on: str) -> tuple[Status, str]:
    """A snapshot that can no longer be had?"""
    given = pack.get("model_returned") or pack.get("model_requested") or baseline.model or ""
    names = [str(name).rpartition("/")[2] for name in (given if isinstance(given, list) else [given])]
    dates = _retirements()["models"]
    short = min(names, key=lambda name: dates.get(name, {"date": "9999"})["date"])
    recorded = str(pack.get("recorded_to") or "")[:10]
    when = f", recorded {recorded}" if recorded else ""
    entry = dates.get(short)
    if entry is None:
        checked = _retirements()["checked"]
        asked = recorded or ("" if baseline.kind == "recorded" else on)
        age = (date.fromisoformat(on) - date.fromisoformat(asked)).days if asked else -1
        told = f"{short or 'The model'}{when} is not among the retirements known here (as of {checked})"
        if 0 <= age <= RECENT_DAYS:
            return "pass", f"{told}, and answered within the last {RECENT_DAYS} days."
        return "unknown", f"{told}, and nothing says that it answered within the last {RECENT_DAYS} days."
    if entry["date"] <= on:
        return "fail", f"{short}{when} was retired on {entry['date']}: nobody can choose it any more."
    return "pass", f"{short}{when} answers until {entry['date']}."


_NO_SCHEMA: tuple[Status, str] = ("pass", "Answers are open, so there is no enum schema to use.")


def _schema(
    config: Config, pack: Mapping[str, Any], unanswered: int | None, formed: Sequence[bool]
) -> tuple[Status, str]:
    """Closed answers asked for without the API's enum schema, so that the baseline loses on format?

    A gateway may take the parameter and ignore it: "accepted" counts where the replies have the schema's form.
    """
    parameters = pack.get("parameters", config.baseline.parameters)
    given = [name for name in SCHEMA_PARAMETERS if isinstance(parameters, dict) and name in parameters]
    states = [
        str(parameters[n].get("status", "accepted")) if isinstance(parameters[n], dict) else "accepted" for n in given
    ]
    loose = formed.count(False)
    if "accepted" in states and not loose:
        return "pass", "The baseline answered under an enum schema of the labels."
    if unanswered == 0:
        return "pass", (
            f"{'The enum schema was not honoured' if 'accepted' in states else 'No enum schema was used'}, and every "
            "reply of the baseline named one answer all the same."
        )
    if "accepted" in states:
        return "fail", (
            f"An enum schema was sent and not honoured: {loose} of {len(formed)} replies do not have its form, and "
            f"{'some' if unanswered is None else unanswered} of them named no single answer."
        )
    if states:
        return (
            "pass",
            f"The API does not take an enum schema ({given[0]}: {states[0]}); the labels stood in the prompt.",
        )
    if unanswered is None and config.baseline.kind == "recorded":
        return "unknown", "The pack does not say whether an enum schema was used."
    lost = "" if unanswered is None else f", and {unanswered} replies named no single answer"
    return "fail", f"No enum schema of the labels was used{lost}."


def _formed(text: str, labels: Sequence[str]) -> bool:
    """Whether a reply is what a schema of the labels lets through: a label alone, or JSON that is no number."""
    if text.strip() in labels:
        return True
    try:
        return isinstance(json.loads(text), dict | list | str)
    except ValueError:
        return False


@cache
def _retirements() -> Json:
    found: Json = json.loads(Path(__file__).with_name("retired.json").read_text(encoding="utf-8"))
    return found
