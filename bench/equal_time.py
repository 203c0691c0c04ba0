"""What a frozen tower costs: the task metric of both ways to train, given the same time.

    python bench/equal_time.py [--parts 120] [--epochs 4] [--work FOLDER]

The recipe `defects` on the embedded model: tower adapted and images augmented, as the recipe has it; and tower frozen
with the feature cache, for as many epochs as fit into the same seconds of training. A faster way that learns less is no
gain: read this beside every ratio of docs/benchmarks.md.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

FROZEN = ("method.targets.vision_tower=none", "method.targets.projector=none", "train.augment=none")


def trained(args: argparse.Namespace, name: str, epochs: float, *extra: str) -> dict[str, Any]:
    """Runs the recipe and returns seconds of training, seconds of each step, and the metric of base and tuned."""
    out = args.work / name
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "finetune", "recipe=defects", "stages=[prepare,train,evaluate]", f"run.dir={out}"]
    command += [f"data.options.parts={args.parts}", f"train.epochs={epochs}", "train.validate=never", *extra]
    cache = args.work / "cache" / name
    shutil.rmtree(cache, ignore_errors=True)
    subprocess.run(command, check=True, stdout=sys.stderr, env=os.environ | {"FINETUNE_CACHE": str(cache)})
    rows = [json.loads(row) for row in (out / "train" / "log.jsonl").read_text().splitlines()]
    models = json.loads((out / "eval" / "comparison.json").read_text())["models"]
    return {
        "seconds": json.loads((out / "run.json").read_text())["stages"]["train"]["seconds"],
        "epochs": [(row["epoch"], 1 / row["samples_per_s"]) for row in rows],
        **{who: models[who]["balanced_accuracy"]["value"] for who in ("base", "tuned")},
    }


def main() -> None:
    """Trains the slow way, looks how long the fast way takes, and gives it the same time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=120)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--work", type=Path, default=Path("bench_out/equal_time"))
    args = parser.parse_args()
    whole = trained(args, "tower", args.epochs)
    probe = trained(args, "probe", 2, *FROZEN)
    first, second = (sum(s for epoch, s in probe["epochs"] if low < epoch <= low + 1) for low in (0, 1))
    left = whole["seconds"] - probe["seconds"]
    epochs = max(2, 2 + int(left / (probe["seconds"] * second / (first + second))))
    frozen = trained(args, "frozen", epochs, *FROZEN)
    print("| way | epochs | seconds of training | balanced accuracy, base | tuned |\n|---|---|---|---|---|")
    for name, done, found in (("tower adapted, flips", args.epochs, whole), ("frozen, cached", epochs, frozen)):
        print(f"| {name} | {done} | {found['seconds']:.0f} | {found['base']:.3f} | {found['tuned']:.3f} |")


if __name__ == "__main__":
    main()
