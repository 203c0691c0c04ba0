"""Weights & Biases, offline: a folder in the run that `wandb sync` uploads when someone decides to."""

from pathlib import Path

from finetune.config.schema import TrackingConfig
from finetune.tracking import COLUMNS, Shown


def write(shown: Shown, folder: Path, settings: TrackingConfig) -> None:
    """Writes curves, the comparison as a table, pictures; no configuration, code, console or system figures."""
    import wandb

    quiet = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        host="",
        save_code=False,
        silent=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
    run = wandb.init(project=settings.project, name=shown.name, mode="offline", dir=str(folder), settings=quiet)
    try:
        run.define_metric("*", step_metric="step")
        for name, step, value in shown.curves:
            run.log({name: value, "step": step})
        if shown.table:
            run.log({"comparison": wandb.Table(columns=list(COLUMNS), data=[list(row) for row in shown.table])})
        if shown.pictures:
            run.log({"pictures": [wandb.Image(picture, caption=caption) for caption, picture in shown.pictures]})
    finally:
        run.finish()
