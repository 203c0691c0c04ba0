"""The commands that are compared, the data that they share, and what is read from their records."""

import argparse
import csv
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).resolve().parent
QUESTION = "Is the cell functional or defective?"
LABELS = ("functional", "defective")
SIDES = {"smolvlm": None, "embedded": None, "qwen2_vl": 336}
SWIFT = "--model_type qwen2_vl --template qwen2_vl --tuner_type lora --lora_rank 8 --lora_alpha 16 "
SWIFT += "--per_device_train_batch_size 4 --gradient_accumulation_steps 1 --learning_rate 1e-4 "
SWIFT += "--lr_scheduler_type constant --warmup_ratio 0 --logging_steps 1 --save_strategy no --eval_strategy no "
SWIFT += "--split_dataset_ratio 0 --gradient_checkpointing false --dataloader_num_workers 0 --dataset_num_proc 1 "
SWIFT += "--use_cpu true --check_model false --report_to none --train_dataloader_shuffle false --dataset_shuffle false"
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


@dataclass
class Seen:
    """Losses step by step, seconds from loaded weights to the first step's end, samples a second after it."""

    losses: list[float] = field(default_factory=list)
    first_s: float | None = None
    rate: float | None = None


def shape(part: str) -> str:
    """The model of a part."""
    return {"tower": "qwen2_vl", "bf16": "qwen2_vl"}.get(part, part)


def prepare(work: Path, data: Path, parts: set[str], images: int) -> None:
    """Makes the models and the folders of images that are not there yet; none of it is timed."""
    for name in sorted({shape(part) for part in parts}):
        model, job = work / "models" / name, work / "jobs" / name
        if name != "embedded" and not (model / "config.json").exists():
            subprocess.run([sys.executable, str(ROOT / "reference_models.py"), name, str(model)], check=True)
        _job(data, job, SIDES[name], images)


def _job(data: Path, job: Path, side: int | None, images: int) -> None:
    (job / "images").mkdir(parents=True, exist_ok=True)
    with (data / "labels.csv").open(newline="") as handle:
        cells = list(csv.DictReader(handle))
    halves = [[cell for cell in cells if cell["condition"] == label] for label in LABELS]
    rows = [cell for pair in zip(*halves, strict=False) for cell in pair][: images + 4]
    items, mirrored = [], []
    for number, row in enumerate(rows):
        image = Image.open(data / "images" / row["filename"]).convert("RGB")
        image = image.resize((side, side), Image.Resampling.BICUBIC) if side else image
        image.save(job / "images" / row["filename"])
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(job / "images" / f"mirror_{row['filename']}")
        for found, prefix in ((items, ""), (mirrored, "mirror_")) if number < images else ():
            found.append(_swift_item(job / "images" / f"{prefix}{row['filename']}", row["condition"]))
    with (job / "labels.csv").open("w", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["filename", "condition", "split"])
        splits = ["train"] * images + ["val"] * 2 + ["test"] * 2  # every label must be in each
        writer.writerows([row["filename"], row["condition"], s] for row, s in zip(rows, splits, strict=True))
    for name, found in (("cells", items), ("mirrored", mirrored)):
        (job / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in found))


def _swift_item(path: Path, answer: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": f"<image>{QUESTION}"}, {"role": "assistant", "content": answer}]
    return {"messages": turns, "images": [str(path)]}


def ours(line: Any, args: argparse.Namespace, out: Path) -> list[str]:
    """The command of this project: prepare and train."""
    name, tower = shape(line.part), line.part == "tower"
    model = [] if name == "embedded" else [f"model.family={name}", f"model.path={args.work / 'models' / name}"]
    return [
        *(sys.executable, "-m", "finetune", "stages=[prepare,train]", f"run.dir={out / 'run'}"),
        *("data.adapter=table", f"data.path={args.work / 'jobs' / name}", "data.options.file=labels.csv"),
        *("data.options.images=images", "data.options.image=filename", "data.options.label=condition"),
        *("data.split.column=split", "task.labels=[functional,defective]", f"task.question={QUESTION}"),
        *(*model, "method.rank=8", "method.alpha=16", "method.targets.language_model=attention"),
        *(f"train.epochs={line.epochs}", "train.batch_size=4", "train.learning_rate=1e-4", "train.shuffle=false"),
        *("train.validate=never", "train.checkpoint=100000", f"train.precision={line.precision}"),
        *("train.trainer.lr_scheduler_type=constant", "train.trainer.warmup_steps=0"),
        *(("method.targets.vision_tower=attention", "train.augment=flips") if tower else ()),
    ]


def trl(line: Any, args: argparse.Namespace, out: Path) -> list[str]:
    """The script beside this file."""
    name = shape(line.part)
    model = args.work / "models" / name
    if name == "embedded":
        model = ROOT.parent / "finetune" / "embedded" / "tiny"
    command = [sys.executable, str(ROOT / "trl_reference.py"), str(model), str(args.work / "jobs" / name), str(out)]
    return [*command, "--epochs", str(line.epochs), "--precision", line.precision]


def swift(line: Any, args: argparse.Namespace, out: Path) -> list[str]:
    """ms-swift; where images are augmented it reads images that were mirrored beforehand, which costs it nothing."""
    job, tower = args.work / "jobs" / "qwen2_vl", line.part == "tower"
    targets = [*ATTENTION, "qkv", "attn.proj"] if tower else ATTENTION
    bf16 = line.precision == "bf16"
    return [
        *(str(args.swift / "bin" / "swift"), "sft", "--model", str(args.work / "models" / "qwen2_vl")),
        *("--dataset", str(job / ("mirrored.jsonl" if tower else "cells.jsonl")), *SWIFT.split()),
        *("--target_modules", *targets, "--freeze_vit", "false" if tower else "true"),
        *("--torch_dtype", "bfloat16" if bf16 else "float32", "--fp16", "false", "--bf16", str(bf16).lower()),
        *("--num_train_epochs", str(line.epochs), "--output_dir", str(out)),
    ]


def reading(line: Any, out: Path, began: float) -> Seen:
    """What the record of a finished command says."""
    if line.tool == "trl":
        told = json.loads((out / "result.json").read_text())
        gaps = [b - a for a, b in zip(told["steps"], told["steps"][1:], strict=False)]
        return Seen(told["losses"], told["steps"][0] - told["loaded"], _rate(gaps))
    if line.tool == "swift":
        losses = re.findall(r"'loss': '?([0-9.]+)", (out / "output.txt").read_text(errors="replace"))
        return Seen([float(loss) for loss in losses])
    log = out / "run" / "train" / "log.jsonl"  # written to until the last step ended
    rows = [json.loads(row) for row in log.read_text().splitlines()]
    times = [4 / row["samples_per_s"] for row in rows]
    loaded = (log.parent / "trainable.json").stat().st_mtime
    return Seen([row["loss"] for row in rows], log.stat().st_mtime - loaded - sum(times[1:]), _rate(times[1:]))


def _rate(seconds: list[float]) -> float | None:
    """Samples a second over steps of 4."""
    return 4 * len(seconds) / sum(seconds) if seconds else None
