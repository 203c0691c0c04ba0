"""A run as `prepare` and `train` leave it, with a random model and a random adapter: no training, seconds to make."""

import json
from pathlib import Path

from finetune.config import compose
from finetune.config.schema import Config
from finetune.rundir import RunDir

LABELS = ("no defect", "scratch")
TARGETS = ["q_proj", "v_proj", "gate_proj", "down_proj"]


def build(root: Path) -> Path:
    """Writes model, images and run below `root`; returns the run directory."""
    import torch
    from peft import LoraConfig, get_peft_model
    from training import micro

    from finetune.models import load as models
    from finetune.pipeline import prepare

    micro.save(root / "base")
    for number in range(30):
        file = root / "images" / LABELS[number % 2] / f"{number:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        micro.picture(number, size=(40, 24)).save(file)
    run = RunDir(root / "run")
    config = load(run.root)
    run.write_text(run.config_file, compose.to_yaml(config))
    prepare.run(config, run)
    base = models.load(config)
    record = models.record(base)
    within = rf".*text_model.*({'|'.join(TARGETS)})"
    lora = LoraConfig(r=4, lora_alpha=8, target_modules=within, modules_to_save=["connector"])
    torch.manual_seed(1)
    tuned = get_peft_model(base.model, lora)
    for name, weight in tuned.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            torch.nn.init.normal_(weight, std=0.2)
    part = run.parts(0)[0]
    tuned.save_pretrained(run.make(part.adapter))
    run.write_json(part.adapter / models.RECORD, record)
    trained = {"modules": 1, "parameters": 1000, "trained": 10, "quantised": 0}
    run.write_json(part.train / "trainable.json", {"projector": trained, "language_model": trained})
    run.write_jsonl(part.train / "log.jsonl", [{"step": step, "loss": 1.0} for step in (1, 2, 3)])
    return run.root


def load(run: Path, *overrides: str) -> Config:
    """The config of that run, with other values."""
    root = run.parent
    return compose.compose(
        [
            f"data.path={root / 'images'}",
            f"model.path={root / 'base'}",
            f"run.root={root}",
            f"run.dir={run}",
            "data.split.test=0.4",
            "evaluate.batch_size=4",
            "hardware.device=cpu",
            "task.question='What is it, {labels}?'",
            *overrides,
        ]
    )


def evaluated(run: RunDir, answers: dict[str, str]) -> None:
    """Writes what `evaluate` would leave of the tuned model, with these answers by id."""
    rows = [{"id": key, "answer": answer} for key, answer in answers.items()]
    run.write_jsonl(run.predictions("tuned"), rows)
    score = {"value": 0.75, "low": 0.5, "high": 0.875}
    pair = {"metric": "accuracy", "difference": 0.25, "low": 0.125, "high": 0.375}
    found = {"n": len(rows), "groups": 3, "models": {"tuned": {"accuracy": score}}, "pairs": {"tuned-base": pair}}
    run.comparison.parent.mkdir(exist_ok=True)
    run.comparison.write_text(json.dumps(found), encoding="utf-8")
