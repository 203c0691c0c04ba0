"""A training of one step learns: the warm-up is not all of it."""

import torch
from safetensors.torch import load_file
from training import micro, micro_run

from finetune.pipeline import train


def test_one_step_is_not_spent_on_warming_up(tmp_path):
    run = micro_run.prepare(tmp_path / "run", train=2, val=2)
    config = micro_run.config(micro.save(tmp_path / "model"), epochs=1.0, accumulate=1, validate="never")
    train.run(config, run)
    assert [line["step"] for line in micro_run.lines(run.train / "log.jsonl")] == [1]
    grown = {name: weight for name, weight in load_file(run.parts(0)[0].weights).items() if "lora_B" in name}
    assert any(bool(torch.count_nonzero(weight)) for weight in grown.values())  # they start at 0
