"""What it costs to let another process have a core: a pass of the embedded model, alone and beside a busy process.

    python bench/spinning.py [--seconds 6]

libgomp's threads wait busily for one another. As it comes they wait long; `finetune.cpu.share` has them wait 3,000
rounds; OMP_WAIT_POLICY=passive sends them to sleep at once. Each figure is from a process of its own.
"""

import argparse
import os
import subprocess
import sys

from finetune import cpu

SETTINGS = {
    "as it comes": {},
    "share()": {"GOMP_SPINCOUNT": cpu.SPINS},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}
BUSY = "while True: pass"
PASS = """
import sys, time
import torch
from transformers import AutoModelForImageTextToText
model = AutoModelForImageTextToText.from_pretrained(sys.argv[1], dtype=torch.float32)
ids = torch.randint(0, 500, (4, 96))
def one():
    model(input_ids=ids, use_cache=False).logits.sum().backward()
    model.zero_grad()
one()
start, done = time.perf_counter(), 0
while time.perf_counter() - start < float(sys.argv[2]):
    one()
    done += 1
print(1000 * (time.perf_counter() - start) / done)
"""


def milliseconds(setting: dict[str, str], seconds: float) -> float:
    """Of one pass forward and backward."""
    from finetune.embedded.pretrain import PACKAGED

    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", PASS, str(PACKAGED), str(seconds)]
    done = subprocess.run(command, env=kept | setting, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each figure")
    seconds = parser.parse_args().seconds
    print("| waiting | alone, ms a pass | beside a busy process | slower by |\n|---|---|---|---|")
    for name, setting in SETTINGS.items():
        alone = milliseconds(setting, seconds)
        with subprocess.Popen([sys.executable, "-c", BUSY]) as other:
            beside = milliseconds(setting, seconds)
            other.kill()
        print(f"| {name} | {alone:.0f} | {beside:.0f} | {beside / alone:.1f} |")


if __name__ == "__main__":
    main()
