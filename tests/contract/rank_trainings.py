"""Short trainings of the small model of every family whose folder is given; runs alone, or under torchrun in two ranks.

Arguments: ROOT FORM FOLDER...; each run is ROOT/FAMILY/FORM, prepared before. Two examples of eight have an image, so
that of two ranks one sees none in a step, where the family allows samples without.
"""

import sys
from dataclasses import replace
from pathlib import Path

from training import micro_run

from finetune.config.schema import Config, ModelConfig, TargetsConfig
from finetune.families import _base as families
from finetune.pipeline import train as stage
from finetune.rundir import RunDir

STEPS = 2


def config(folder: Path, form: str) -> Config:
    """Two steps of four examples."""
    made = micro_run.config(
        folder, epochs=1.0, batch_size=4, accumulate=1, augment="none", validate="never", checkpoint=100
    )
    return replace(
        made,
        model=ModelConfig(family=folder.name, path=str(folder)),
        method=replace(made.method, dropout=0.0, targets=TargetsConfig("none", "none", "attention")),
        hardware=replace(made.hardware, deepspeed=None if form == "one" else form),
    )


def prepare(root: Path, family: str) -> RunDir:
    """A prepared run; the first of each four examples has an image."""
    run = micro_run.prepare(root, train=4 * STEPS, val=0)
    rows = micro_run.lines(run.data / "train.jsonl")
    if "text_only" not in families.load(family).gaps:
        rows = [row if index % 4 == 0 else row | {"images": []} for index, row in enumerate(rows)]
    run.write_jsonl(run.data / "train.jsonl", rows)
    return run


if __name__ == "__main__":
    root, form, *folders = sys.argv[1:]
    for folder in map(Path, folders):
        print(folder.name, form, file=sys.stderr)  # the last such line before an error names the family
        stage.run(config(folder, form), RunDir(Path(root) / folder.name / form))
