"""One command for someone with a GPU: does 7B fit into 24 GB, and how fast is it?

    python bench/gpu.py [--model qwen2_5_vl_7b] [--images 64] [--side 512] [--network allow] [KEY=VALUE ...]

Draws pictures and trains three epochs of QLoRA in two modes: tower frozen with the feature cache, tower adapted with
flipped images. Prints what train/log.jsonl says: peak GiB, samples a second, and the 50th and 95th percentile of a step
after the first. Weights come from the hub cache, or with --network allow from the hub. Not yet run on a GPU by us.
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

MODES = {
    "frozen tower, cached": ("method.targets.vision_tower=none", "train.augment=none"),
    "tower adapted, flips": ("method.targets.vision_tower=attention", "train.augment=flips"),
}
BATCH = 4


def command(args: argparse.Namespace, extra: tuple[str, ...], out: Path) -> list[str]:
    """The whole command of one mode."""
    return [
        *(sys.executable, "-m", "finetune", "recipe=defects", "stages=[prepare,train]", f"run.dir={out}"),
        *(f"model={args.model}", "method=qlora", "hardware=gpu", f"network={args.network}"),
        *(f"data.options.parts={args.images // 4}", f"data.options.side_px={args.side}"),
        *("train.validate=never", "train.epochs=3", f"train.batch_size={BATCH}", "train.learning_rate=1e-4"),
        *("method.targets.projector=none", "method.targets.language_model=all", *extra, *args.overrides),
    ]


def reading(log: Path) -> str:
    """One row of the table, from the lines of a training."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    seconds = BATCH / np.array([row["samples_per_s"] for row in rows[1:]])
    peak = max(row["peak_memory_mib"] for row in rows) / 1024
    rate = BATCH * len(seconds) / seconds.sum()
    middle, slow = np.percentile(seconds, [50, 95])
    return f"{peak:.1f} | {rate:.2f} | {middle:.2f} | {slow:.2f}"


def main() -> None:
    """Runs both modes and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--model", default="qwen2_5_vl_7b")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--side", type=int, default=512)
    parser.add_argument("--network", choices=["none", "allow"], default="none")
    parser.add_argument("--work", type=Path, default=Path("bench_out/gpu"))
    args = parser.parse_args()
    print("| mode | peak GiB | samples/s | step p50, s | step p95, s |\n|---|---|---|---|---|")
    for number, (mode, extra) in enumerate(MODES.items()):
        out = args.work / str(number)
        shutil.rmtree(out, ignore_errors=True)
        subprocess.run(command(args, extra, out), check=True, stdout=sys.stderr)
        print(f"| {args.model}, {mode} | {reading(out / 'train' / 'log.jsonl')} |", flush=True)


if __name__ == "__main__":
    main()
