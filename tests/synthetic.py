"""A finished run written by hand: a small inspection data set, scripted answers, no weights."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from finetune.config import compose
from finetune.config.schema import Config, DataConfig, EvaluateConfig, TaskConfig
from finetune.data import example_files
from finetune.example import Example, ImageRef, Prediction
from finetune.images import decode
from finetune.pipeline import evaluate, runner
from finetune.regressions import panel as panels
from finetune.rundir import RunDir, sha256_file
from finetune.tasks import classify

LABELS = ("good", "scratch", "pit")


def picture(label: str, seed: int, side: int = 96) -> Image.Image:
    """A brushed metal surface with the defect drawn on it."""
    generator = np.random.default_rng(seed)
    rows = generator.normal(0, 14, (side, 1)) + generator.normal(0, 5, (side, side))
    shade = np.linspace(0, 26, side)[None, :]
    grey = np.clip(148 + rows + shade, 0, 255).astype(np.uint8)
    image = Image.fromarray(np.stack([grey, grey, np.clip(grey + 6.0, 0, 255).astype(np.uint8)], axis=-1))
    draw = ImageDraw.Draw(image)
    x, y = generator.integers(20, side - 20, 2).tolist()
    if label == LABELS[1]:
        draw.line((x - 16, y - 9, x + 15, y + 8), fill=(66, 62, 60), width=2)
    elif label == LABELS[2]:
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(52, 48, 50))
    return image


def config(root: Path, folds: int = 0, labels: tuple[str, ...] = LABELS) -> Config:
    """Three views a part, as `recipe=defects` has them; the adapter writes its images into the run."""
    base = Config()
    return replace(
        base,
        recipe="defects",
        run=replace(base.run, root=str(root.parent), dir=str(root)),  # whose ledger of looks is not ours
        data=DataConfig(adapter="synthetic", folds=folds),
        task=TaskConfig(question="What is the surface like? Answer with one of: {labels}.", labels=labels),
        evaluate=EvaluateConfig(positive=labels[1]),
    )


def examples(chosen: Config, run: RunDir, split: str, parts: range) -> list[Example]:
    """Three views of each part, with their PNG files in the run."""
    found = []
    run.make(run.images)
    for part in parts:
        label = chosen.task.labels[(0, 0, 1, 0, 2)[part % 5]]
        for view in range(3):
            path = f"images/part{part:03d}_view{view}.png"
            drawn = LABELS[chosen.task.labels.index(label)]
            picture(drawn, 31 * part + view).save(run.data / path, compress_level=1)
            example = Example(f"part{part:03d}_view{view}", (ImageRef(path),), label, f"part{part:03d}", split=split)
            found.append(replace(example, messages=classify.messages(chosen.task, chosen.task.labels, example)))
    return found


def prepare(root: Path, parts: int = 24, folds: int = 0, labels: tuple[str, ...] = LABELS) -> tuple[Config, RunDir]:
    """Writes what `prepare` and `train` leave behind, as far as later stages read it."""
    chosen, run = config(root, folds, labels), RunDir(root)
    places = run.parts(folds)
    balance = {}
    for number, part in enumerate(places):
        tests = range(number * parts, (number + 1) * parts)
        for split, own in (("train", range(500, 520)), ("val", range(700, 705)), ("test", tests)):
            rows = examples(chosen, run, split, own)
            run.write_jsonl(part.split(split), map(example_files.to_row, rows))
            balance[part.name or split] = {label: sum(row.target == label for row in rows) for label in labels}
        _training(run, part)
    total = {label: sum(counts[label] for counts in balance.values()) for label in labels}
    run.write_json(
        run.summary,
        {
            "read": sum(total.values()) + 2,
            "kept": sum(total.values()),
            "quarantined": 2,
            "by_split": {name: sum(counts.values()) for name, counts in balance.items()},
            "by_label": total,
            "balance": balance,
            "groups": {name: sum(counts.values()) // 3 for name, counts in balance.items()},
            "leaks": [],
            "conflicts": [{"sha256": "0" * 64, "ids": ["part500_view0", "part501_view0"], "labels": list(labels[:2])}],
            "labels": list(labels),
            "warnings": [],
            "root": "run",
        },
    )
    bad = {"row": "labels.csv line 41", "path": "images/x.png", "reason": "image file is truncated (12 bytes missing)"}
    run.write_jsonl(run.quarantine, [bad, bad | {"row": "labels.csv line 97"}])
    images = sorted(run.images.iterdir())
    manifest = [
        {
            "id": path.stem,
            "path": f"images/{path.name}",
            "sha256": sha256_file(path),
            "pixels_sha256": decode.digest([decode.load(run.data, ImageRef(f"images/{path.name}"))]),
        }
        for path in images
    ]
    run.write_jsonl(run.manifest, manifest)
    run.write_text(run.config_file, compose.to_yaml(chosen))
    run.update_status(schema=1, status="done", versions={"finetune": "0.1.0", "torch": "2.14.1"}, git="a1b2c3d4")
    return chosen, run


def _training(run: RunDir, part) -> None:
    generator = np.random.default_rng(len(part.name))
    steps = range(1, 301)
    loss = [{"step": i, "loss": 0.12 + 1.9 * 0.985**i + 0.1 * abs(generator.normal())} for i in steps]
    run.write_jsonl(part.train / "log.jsonl", loss)
    reached = [0.34 + 0.52 * (1 - 0.6**i) - 0.04 * (i == 6) for i in range(1, 7)]
    judged = [
        {"step": 50 * i, "metric": "balanced_accuracy", "value": value, "best": i < 6}
        for i, value in enumerate(reached, 1)
    ]
    run.write_jsonl(part.train / "validation.jsonl", judged)
    rows = {"vision_tower": 1_900_000, "projector": 790_000, "language_model": 3_800_000, "head": 0}
    table = {
        name: {"modules": 12, "parameters": count, "trained": 61_440 * (count > 2_000_000), "quantised": 0}
        for name, count in rows.items()
    }
    run.write_json(part.train / "trainable.json", table)
    run.write_json(part.adapter / "finetune.json", {"family": "idefics3", "base_sha256": "ab" * 32})


def answer(example: Example, labels: tuple[str, ...], who: str, mode: str, root: Path) -> Prediction:
    """What the scripted model says: parts differ in difficulty, the tuned model is right more often."""
    luck = np.random.default_rng([int(example.id[4:7]), int(example.id[-1]), len(who)]).random()
    hard = np.random.default_rng([int(example.id[4:7]), 9]).random()
    right = 0.75 * luck + 0.25 * hard < (0.78 if who == "tuned" else 0.42)
    other = labels[(labels.index(example.target) + 1) % len(labels)]
    said = example.target if right else other
    sure = 0.5 + 0.49 * luck
    chances = {label: (1 - sure) / (len(labels) - 1) for label in labels} | {said: sure}
    silent = mode == "generate" and who == "base" and luck > 0.9
    return Prediction(
        id=example.id,
        image_sha256=decode.digest([decode.load(root, ref) for ref in example.images]),
        question=example.question,
        gold=example.target,
        text="The surface looks worn." if silent else said,
        answer=None if silent else said,
        outcome="unparsed" if silent else "correct" if right else "wrong",
        probabilities=chances if mode != "generate" else None,
        seconds=0.01,
        model=f"scripted{'' if who == 'base' else '+adapter'}",
        parser=classify.PARSER,
        group=example.group,
    )


class Scripted:
    """Stands for a model: see `answer`."""

    batch_size = 32

    def __init__(self, run: RunDir, labels: tuple[str, ...]) -> None:
        self.run, self.labels = run, labels

    def predict_modes(self, examples, images_root, modes, who) -> Iterator[tuple[Prediction, ...]]:
        for example in examples:
            yield tuple(answer(example, self.labels, who, mode, images_root) for mode in modes)

    def facts(self, examples, images_root, mode, who) -> dict:
        return {"batches": {"dtype": "float32"}, "device": "cpu"}


def ask(config: Config, run: RunDir, part, who) -> Scripted:
    """Stands for `evaluate._ask_local`, which loads a model."""
    return Scripted(run, example_files.labels(run))


def panel_replies(config: Config, run: RunDir) -> tuple[dict, dict]:
    """Stands for `panels._ask`: of 28 general questions base has 14 right and tuned 10, and it never declines."""
    rights = {"base": 2, "tuned": 3}
    sets = {"surfaces": 28, "blank": 5, "absent": 5}
    return {"surfaces": {"left_out": {}, "files": []}}, {
        name: {who: [_panel_reply(name, who, n, n % every == 0) for n in range(count)] for who, every in rights.items()}
        for name, count in sets.items()
    }


def _panel_reply(name: str, who: str, number: int, right: bool) -> Prediction:
    unanswerable = name != "surfaces"
    gold = "cannot tell" if unanswerable else "crack"
    said = LABELS[0] if unanswerable and who == "tuned" else gold if right else "hole"
    return Prediction(
        id=f"{name}/{number}",
        image_sha256="0" * 64,
        question="Which defect is visible?",
        gold=gold,
        text=said,
        answer=said,
        outcome="correct" if said == gold else "wrong",
        probabilities=None,
        seconds=0.01,
        model=who,
        parser=classify.PARSER,
        group=f"{name}/{number}",
    )


def script(monkeypatch) -> None:
    """Puts scripted answers in place of both models that the evaluation would load."""
    monkeypatch.setattr(evaluate, "_ask_local", ask)
    monkeypatch.setattr(panels, "_ask", panel_replies)


def evaluated(monkeypatch, root: Path, **settings) -> tuple[Config, RunDir]:
    """A run that was prepared, "trained" and evaluated."""
    chosen, run = prepare(root, **settings)
    script(monkeypatch)
    run.record(evaluate.run(chosen, run))
    return chosen, run


def finished(monkeypatch, root: Path, **settings) -> tuple[Config, RunDir]:
    """A run whose last two stages the real runner ran, so that every record is in place."""
    chosen, run = prepare(root, **settings)
    script(monkeypatch)
    written = sorted(path for folder in (run.data, run.train) for path in folder.rglob("*.json*"))
    run.record(written)
    stages = {}
    for name in ("prepare", "train"):
        own = [path for path in written if path.is_relative_to(run.data if name == "prepare" else run.train)]
        files = {path.relative_to(run.root).as_posix(): sha256_file(path) for path in own}
        made = runner.fingerprint(runner.stage_module(name), chosen, run)
        stages[name] = {"status": "done", "seconds": 1.0, "fingerprint": made, "sources": "", "files": files}
    run.update_status(stages=stages)
    runner.execute(replace(chosen, stages=("evaluate", "report")), ["recipe=defects"])
    return replace(chosen, stages=("evaluate", "report")), run


def rows(predictions: list[Prediction]) -> list[dict]:
    return [asdict(p) for p in predictions]


__all__ = ["LABELS", "answer", "ask", "config", "evaluated", "examples", "finished", "picture", "prepare", "rows"]
