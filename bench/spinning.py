"""What it costs to let other processes have a core: work of a training, alone and beside busy processes.

    python bench/spinning.py [--seconds 6] [--busy 1]

Small products are a pass of the embedded model, forward and backward; large ones are a layer of width 2,048 on 512
tokens. libgomp's threads wait busily for one another. As it comes they wait long; `finetune.models.cpu.share` has them
wait 3,000 rounds; OMP_WAIT_POLICY=passive sends them to sleep at once. Each figure is from a process of its own.
"""

import argparse
import os
import subprocess
import sys

from finetune.models import cpu

SETTINGS = {
    "as it comes": {},
    "share()": {"GOMP_SPINCOUNT": cpu.SPINS},
    "passive": {"OMP_WAIT_POLICY": "passive"},
}
BUSY = "while True: pass"
SMALL = """
from transformers import AutoModelForImageTextToText
model = AutoModelForImageTextToText.from_pretrained(sys.argv[1], dtype=torch.float32)
ids = torch.randint(0, 500, (4, 96))
def one():
    model(input_ids=ids, use_cache=False).logits.sum().backward()
    model.zero_grad()
"""
LARGE = """
layer, given = torch.nn.Linear(2048, 2048), torch.randn(512, 2048)
def one():
    layer(given).sum().backward()
    layer.zero_grad()
"""
WORK = {"small products": SMALL, "large products": LARGE}
TIMED = """
one()
start, done = time.perf_counter(), 0
while time.perf_counter() - start < float(sys.argv[2]):
    one()
    done += 1
print(1000 * (time.perf_counter() - start) / done)
"""


def milliseconds(work: str, setting: dict[str, str], seconds: float) -> float:
    """Of one pass forward and backward."""
    from finetune.embedded.pretrain import PACKAGED

    kept = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    code = f"import sys, time\nimport torch\n{work}{TIMED}"
    command = [sys.executable, "-c", code, str(PACKAGED), str(seconds)]
    done = subprocess.run(command, env=kept | setting, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each figure")
    parser.add_argument("--busy", type=int, default=1, help="processes beside it")
    args = parser.parse_args()
    print("| work | waiting | alone, ms | beside others, ms | slower by |\n|---|---|---|---|---|")
    ratios = []
    for work, code in WORK.items():
        found = {}
        for name, setting in SETTINGS.items():
            alone = milliseconds(code, setting, args.seconds)
            others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(args.busy)]
            try:
                found[name] = milliseconds(code, setting, args.seconds)
            finally:
                for other in others:
                    other.kill()
                    other.wait()
            print(f"| {work} | {name} | {alone:.1f} | {found[name]:.1f} | {found[name] / alone:.1f} |")
        ratios.append(f"{found['as it comes'] / found['share()']:.1f} with {work}")
    print(f"\nbeside busy processes ({args.busy}) share() is faster by", " and ".join(ratios))


if __name__ == "__main__":
    main()
