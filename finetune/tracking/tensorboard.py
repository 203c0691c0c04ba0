"""TensorBoard: event files in the run, looked at with `tensorboard --logdir RUN/tracking`."""

from pathlib import Path

from finetune.config.schema import TrackingConfig
from finetune.tracking import COLUMNS, Shown


def write(shown: Shown, folder: Path, settings: TrackingConfig) -> None:
    """Writes curves as scalars, the comparison as a text table, and pictures."""
    import numpy as np
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for name, step, value in shown.curves:
            writer.add_scalar(name, value, step)
        if shown.table:
            rows = [COLUMNS, ("---",) * len(COLUMNS), *shown.table]
            text = "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
            writer.add_text("comparison", text)
        for number, (caption, picture) in enumerate(shown.pictures):
            tag = f"pictures/{number} {caption}"
            writer.add_image(tag, np.asarray(picture), dataformats="HWC")
