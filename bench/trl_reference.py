"""The other side: plain TRL SFTTrainer, as a careful user of TRL would write it, on a folder of labelled images.

    python bench/trl_reference.py MODEL JOB OUT [--epochs N] [--precision fp32|bf16] [--tower]

JOB holds `labels.csv` (filename, condition, split) and `images/`. Prompt-completion data, so that TRL's loss falls on
the answer only; LoRA r=8 on the attention of the language model, with --tower also on that of the vision tower and with
mirrored images; source order, constant rate. The adapter begins with the values that `python -m finetune` gives it, so
that the losses of both can be compared step by step. Writes OUT/result.json.
"""

import argparse
import csv
import json
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, Image
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback, set_seed
from trl import SFTConfig, SFTTrainer

QUESTION = "Is the cell functional or defective?"
TEXT = r".*(text_model|language_model).*\.(q_proj|k_proj|v_proj|o_proj)"
BOTH = TEXT + r"|.*(vision_model|visual).*\.(q_proj|k_proj|v_proj|o_proj|out_proj|qkv|proj)"


class Steps(TrainerCallback):
    """Loss and time of each step."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.losses: list[float] = []
        self.times: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Notes the time."""
        self.times.append(time.time())

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Notes the loss."""
        if logs and "loss" in logs:
            self.losses.append(float(logs["loss"]))


class InOrder(SFTTrainer):
    """Takes the examples in the order of the source."""

    def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
        return torch.utils.data.SequentialSampler(self.train_dataset)


def examples(job: Path, flipped: bool) -> Dataset:
    """Prompt, completion and image of each row; with `flipped` a mirror of each, made when it is asked for."""
    with (job / "labels.csv").open(newline="") as handle:
        rows = [row for row in csv.DictReader(handle) if row["split"] == "train"]
    data = Dataset.from_dict(
        {
            "images": [[str(job / "images" / row["filename"])] for row in rows],
            "prompt": [[{"role": "user", "content": QUESTION}] for _ in rows],
            "completion": [[{"role": "assistant", "content": row["condition"]}] for row in rows],
        }
    ).cast_column("images", [Image(mode="RGB")])
    if not flipped:
        return data

    def mirror(batch: dict[str, Any]) -> dict[str, Any]:
        from PIL import ImageOps

        return {**batch, "images": [[ImageOps.mirror(image) for image in own] for own in batch["images"]]}

    return data.map(mirror, batched=True, batch_size=4)


def main() -> None:
    """Trains and writes what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "job", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--tower", action="store_true")
    args = parser.parse_args()
    data = examples(args.job, args.tower)
    model = AutoModelForImageTextToText.from_pretrained(args.model, dtype=torch.float32)
    loaded = time.time()
    set_seed(0)
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=BOTH if args.tower else TEXT))
    steps = Steps()
    trainer = InOrder(
        model=model,
        processing_class=AutoProcessor.from_pretrained(args.model),
        train_dataset=data,
        callbacks=[steps],
        args=SFTConfig(
            output_dir=str(args.out),
            per_device_train_batch_size=args.batch,
            num_train_epochs=args.epochs,
            learning_rate=1e-4,
            lr_scheduler_type="constant",
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            use_cpu=not torch.cuda.is_available(),
            bf16=args.precision == "bf16",
            max_length=None,
            gradient_checkpointing=False,
            completion_only_loss=True,
            disable_tqdm=True,
        ),
    )
    trainer.train()
    trainer.save_model(str(args.out))
    result = {"losses": steps.losses, "loaded": loaded, "steps": steps.times}
    (args.out / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
