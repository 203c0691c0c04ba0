"""A prepared run of a few tiny pictures, full of what must not leave: names, EXIF, text chunks, labels in names."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image, PngImagePlugin

from finetune.baseline import live
from finetune.baseline.client import Clock
from finetune.config.schema import BaselineConfig, Config, DataConfig, EvaluateConfig, TaskConfig
from finetune.data import example_files
from finetune.example import Example, ImageRef, Message, Prediction
from finetune.rundir import RunDir

LABELS = ("ALPHA", "BETA")
KEY = "canary-3f9c51d27e"
QUESTION = "Which of the two kinds of part is shown?"
PLANTED = ("DOE-JANE", "secret_ward", "Exif", "tEXt", "iTXt")


def picture(number: int, file: Path) -> None:
    """A tiny picture, as PNG with a text chunk or as JPEG with EXIF."""
    grey = np.random.default_rng(number).integers(0, 255, (12, 16, 3), dtype=np.uint8)
    image = Image.fromarray(grey)
    if file.suffix == ".png":
        chunk = PngImagePlugin.PngInfo()
        chunk.add_text("Patient", "DOE-JANE")
        image.save(file, pnginfo=chunk)
        return
    exif = Image.Exif()
    exif[0x010E] = "DOE-JANE"
    image.save(file, exif=exif.tobytes(), quality=90)


def build(root: Path, tests: int = 6) -> RunDir:
    run = RunDir(root)
    run.make(run.images)
    rows, number = [], 0
    for split, count in (("train", 4), ("val", 4), ("test", tests)):
        own = []
        for index in range(count):
            label = LABELS[index % 2]
            path = f"images/secret_ward_{label}_{split}{index}.{'png' if index % 2 else 'jpg'}"
            picture(number, run.data / path)
            number += 1
            messages = (Message("user", QUESTION),)
            own.append(Example(f"{split}{index}", (ImageRef(path),), label, f"g{index}", messages, split=split))
        run.write_jsonl(run.parts(0)[0].split(split), map(example_files.to_row, own))
        rows += own
    run.write_jsonl(run.manifest, [{"id": row.id, "group": row.group} for row in rows])
    run.write_json(run.summary, {"labels": list(LABELS)})
    return run


@dataclass
class Waits:
    """A clock that only says how long was waited."""

    at: float = 1_780_000_000.0
    waited: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.at += seconds

    @property
    def clock(self) -> Clock:
        return Clock(lambda: self.at, self.sleep)


MODELS = {
    "compatible": ("openai_compatible", "gpt-4o", "/v1"),
    "openai": ("any_llm", "openai/gpt-4o", "/v1"),
    "anthropic": ("any_llm", "anthropic/claude-sonnet-4-5", ""),
    "gemini": ("any_llm", "gemini/gemini-2.5-flash", ""),
}
"""Way of asking -> kind of baseline, its model, and what the SDK appends to."""


WAYS = [
    *(pytest.param(way) for way in ("compatible", "anthropic", "gemini")),
    pytest.param("openai", marks=pytest.mark.slow),  # the same wire format and SDK as `compatible`
]


def configured(run: RunDir, url: str, way: str = "compatible", **changes: object) -> Config:
    """A config that may ask the scripted provider, and its policy file beside the run."""
    kind, model, path = MODELS[way]
    baseline = BaselineConfig(
        kind,
        "rival",
        model=model,
        base_url=url + path,
        api_key_env="RIVAL_API_KEY",
        policy=str(run.root / "policy.yaml"),
        retries=2,
        rate_per_min=6000,
    )
    permit(run, endpoint=url)
    return replace(
        Config(),
        recipe="parts",
        network="allow",
        data=DataConfig(adapter="synthetic"),
        task=TaskConfig(question=QUESTION, labels=LABELS),
        evaluate=EvaluateConfig(models=("rival",)),
        baseline=replace(baseline, **changes),
    )


def permit(run: RunDir, **changes: object) -> None:
    given = {
        "endpoint": "http://127.0.0.1",
        "dataset": "parts",
        "fields": ["image", "question"],
        "max_images": 100,
        "max_cost": "unmetered",
        "expires": "2999-12-31",
        "approver": "a test",
    }
    (run.root / "policy.yaml").write_text(yaml.safe_dump(given | changes), encoding="utf-8")


def ask(config: Config, run: RunDir, waits: Waits | None = None) -> list[Prediction]:
    tests = example_files.read_split(run.parts(0)[0].split("test"))
    return list(live.answers(config, run, tests, run.data, LABELS, (waits or Waits()).clock))


def outcomes(rows: Sequence[Prediction]) -> list[str]:
    return [row.outcome for row in rows]
