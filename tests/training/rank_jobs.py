"""Trainings of the micro run in two ranks, one after the other in the same pair of processes; started by torchrun.

Arguments: model, root of the runs, and a job each: NAME=TEMPLATE[@STEP], stopped after STEP.
"""

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from training import micro_run

from finetune.config.schema import Config
from finetune.errors import InterruptedRun
from finetune.pipeline import train as stage
from finetune.rundir import RunDir
from finetune.training import trainer

BLIND = 5
"""Examples without an image at the head of the training split, so that some passes of a rank see none."""


def config(model: Path, template: str | None = None) -> Config:
    """Two examples a pass, two passes a step, no dropout and no augmentation: what is exactly the same on two ranks."""
    made = micro_run.config(model, epochs=2.0, augment="none", learning_rate=1e-3)
    return replace(
        made, method=replace(made.method, dropout=0.0), hardware=replace(made.hardware, deepspeed=template or None)
    )


def prepare(root: Path) -> RunDir:
    """A prepared run whose first examples have no image."""
    run = micro_run.prepare(root, train=9)
    rows = micro_run.lines(run.data / "train.jsonl")
    blind = [row | {"images": []} for row in rows[:BLIND]]
    run.write_jsonl(run.data / "train.jsonl", [*blind, *rows[BLIND:]])
    return run


def stop_after(step: int) -> None:
    """Lets the next training be asked to stop after a step; 0 = not at all."""
    original = trainer.Schedule.on_step_end

    def asked(self, args, state, control, **rest):
        if state.global_step == step:
            self.trainer.interruption.name = "SIGTERM"
        return original(self, args, state, control, **rest)

    trainer.Schedule.on_step_end = asked if step else original


def main(model: str, root: str, *jobs: str) -> None:
    """Runs the jobs."""
    original = trainer.Schedule.on_step_end
    for job in jobs:
        name, _, what = job.partition("=")
        template, _, step = what.partition("@")
        stop_after(int(step or 0))
        with suppress(InterruptedRun):
            stage.run(config(Path(model), template), RunDir(Path(root) / name))
        trainer.Schedule.on_step_end = original


if __name__ == "__main__":
    main(*sys.argv[1:])
