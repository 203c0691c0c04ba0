"""What a change of settings means for stages that are done."""

from pathlib import Path

from finetune.config.compose import compose
from finetune.pipeline import train
from finetune.rundir import RunDir


def test_a_model_trained_on_one_device_is_evaluated_on_another(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    reads = [train.reads(compose(["recipe=defects", f"hardware={name}"]), run) for name in ("gpu", "cpu")]
    assert reads[0] == reads[1]
    assert train.reads(compose(["recipe=defects", "train.epochs=77"]), run) != reads[0]
