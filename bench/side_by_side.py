"""Whole commands side by side: ours, plain TRL, ms-swift; same weights, data, order, precision.

    python bench/side_by_side.py DATA --all [--swift VENV] [--minutes 25] [--repeats 2] [--work FOLDER]
    python bench/side_by_side.py DATA smolvlm qwen2_vl tower embedded

DATA holds `labels.csv` (filename, condition) and `images/`. Every command is a process of its own, timed from its start
to its end with imports, loading, preparing and saving; ms-swift lives in a virtual environment of its own and is left
out without one. Every row gets its first figure before any gets its second; what does not fit into --minutes is left
out and said. Writes WORK/side_by_side.json and .svg, prints a table.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import jobs
import plot

from finetune.models import cpu


@dataclass(frozen=True)
class Line:
    """One row of the table: a job and who does it.

    Attributes:
        part: model and mode.
        tool: ours, ours again (with what the first run left in the cache), trl, swift.
        epochs: passes.
        repeats: how often it is run at most.
        precision: fp32 or bf16.
    """

    part: str
    tool: str
    epochs: int
    repeats: int = 2
    precision: str = "fp32"

    @property
    def name(self) -> str:
        """For files and the table."""
        return f"{self.part}-{self.tool.replace(' ', '_')}-{self.epochs}-{self.precision}"


@dataclass
class Measured:
    """What one line gave.

    Attributes:
        seconds: of each whole command.
        cpu_s: processor time of the last of them, which other work on the machine changes little.
        peak_mib: largest resident size of the process and its children.
        first_s: of each, from loaded weights to the end of the first step, where it is known.
        rates: of each, samples a second after the first step.
        losses: of the first run, step by step.
    """

    seconds: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    peak_mib: float = 0.0
    first_s: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


LINES = (
    Line("qwen2_vl", "ours", 3),
    Line("qwen2_vl", "ours again", 3),
    Line("qwen2_vl", "swift", 3),
    Line("smolvlm", "ours", 3),
    Line("smolvlm", "trl", 3),
    *(
        Line("embedded", tool, epochs, 12)  # short, so that chance counts for more
        for epochs in (3, 10)
        for tool in ("ours", "ours again", "trl")
    ),
    Line("qwen2_vl", "ours", 10),
    Line("qwen2_vl", "swift", 10),
    Line("tower", "ours", 1, 1),
    Line("tower", "swift", 1, 1),
    Line("smolvlm", "ours", 10),
    Line("smolvlm", "trl", 10),
    Line("bf16", "ours", 3, 1, "bf16"),
    Line("bf16", "swift", 3, 1, "bf16"),
)
"""In the order of their first runs. `tower` is qwen2_vl with the tower adapted and flipped images, `bf16` its bf16."""


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(dict.fromkeys(line.part for line in LINES))}")
    parser.add_argument("--all", action="store_true")
    names = [line.name for line in LINES]
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=names, help=f"of those, these: {', '.join(names)}")
    parser.add_argument("--swift", type=Path, help="virtual environment with ms-swift")
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--repeats", type=int, default=2, help="at most: of embedded 12, of others one or two")
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--quick", action="store_true", help="one epoch of everything, to see whether it runs")
    parser.add_argument("--work", type=Path, default=Path("bench_out"))
    args = parser.parse_args()
    args.work = args.work.resolve()
    end = time.monotonic() + 60 * args.minutes
    lines = [line for line in LINES if args.all or line.part in args.parts]
    lines = [line for line in lines if line.tool != "swift" or args.swift]
    lines = [line for line in lines if not args.only or line.name in args.only]
    if not lines:
        parser.error("nothing to run: name parts (see --help) or say --all; ms-swift needs --swift.")
    if not cpu.multiplies_bf16():
        print("bf16: left out, this processor has no such instructions and emulates it slowly", file=sys.stderr)
        lines = [line for line in lines if line.precision != "bf16"]
    lines = list(dict.fromkeys(replace(line, epochs=1) for line in lines)) if args.quick else lines
    jobs.prepare(args.work, args.data.resolve(), {line.part for line in lines}, args.images)
    found = {line: Measured() for line in lines}
    for line in schedule(lines, args.repeats):
        needed = found[line].seconds[0] if found[line].seconds else guess(line, found)
        if time.monotonic() + needed > end:
            print(f"{line.name}: left out, {needed:.0f} s would not fit any more", file=sys.stderr)
            continue
        run(line, args, found[line])
        told = {line.name: asdict(measured) for line, measured in found.items()}
        (args.work / "side_by_side.json").write_text(json.dumps({"images": args.images, "lines": told}, indent=1))
        print(table(found, args.images), flush=True)
    plot.write({line.name: measured.losses for line, measured in found.items()}, args.work / "side_by_side.svg")


def schedule(lines: list[Line], repeats: int) -> Iterator[Line]:
    """Every line once, then again."""
    for turn in range(repeats):
        yield from (line for line in lines if turn < line.repeats)


def guess(line: Line, found: dict[Line, Measured]) -> float:
    """Seconds that a line may need, from one of the same job with other epochs."""
    for other, measured in found.items():
        if measured.seconds and (other.part, other.tool, other.precision) == (line.part, line.tool, line.precision):
            return measured.seconds[0] * line.epochs / other.epochs
    return 60.0


def run(line: Line, args: argparse.Namespace, measured: Measured) -> None:
    """Runs one command and adds what it gave."""
    out = args.work / "out" / line.name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    cache = args.work / "cache" / line.part
    if line.tool == "ours":
        shutil.rmtree(cache, ignore_errors=True)
    makers: dict[str, Callable[..., list[str]]] = {"trl": jobs.trl, "swift": jobs.swift}
    command = makers.get(line.tool, jobs.ours)(line, args, out)
    environment = os.environ | {"FINETUNE_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "USE_HF": "1"}
    environment |= {"MAX_PIXELS": "112896", "TOKENIZERS_PARALLELISM": "false"}
    print(f"{line.name}: {' '.join(command)}", file=sys.stderr, flush=True)
    began = time.time()
    with (out / "output.txt").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=out, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.time() - began
    if status:
        print(f"{line.name} FAILED:\n{(out / 'output.txt').read_text(errors='replace')[-3000:]}", file=sys.stderr)
        return
    measured.seconds.append(seconds)
    measured.cpu_s = usage.ru_utime + usage.ru_stime
    measured.peak_mib = max(measured.peak_mib, usage.ru_maxrss / 1024)
    seen = jobs.reading(line, out, began)
    measured.losses = measured.losses or seen.losses
    measured.first_s += [] if seen.first_s is None else [seen.first_s]
    measured.rates += [] if seen.rate is None else [seen.rate]


def table(found: dict[Line, Measured], images: int) -> str:
    """Markdown; ratios are of whole commands against ours of the same job."""
    heads = "job, tool, epochs, seconds (median), CPU s, samples/s, after step 1, first step s, peak MiB, faster by"
    rows = [f"| {' | '.join(heads.split(', '))} |", "|" + "---|" * 10]
    for line, measured in found.items():
        if not measured.seconds:
            continue
        seconds = statistics.median(measured.seconds)
        rivals = [
            statistics.median(other.seconds)
            for mine, other in found.items()
            if other.seconds and mine.tool == "ours" and (mine.part, mine.epochs) == (line.part, line.epochs)
        ]
        rate, first = (statistics.median(values or [0]) for values in (measured.rates, measured.first_s))
        ratio = f"{seconds / rivals[0]:.2f} x" if rivals and line.tool in ("trl", "swift") else ""
        rows.append(
            f"| {line.part} {line.precision} | {line.tool} | {line.epochs} | {seconds:.1f} (n={len(measured.seconds)}) "
            f"| {measured.cpu_s:.0f} | {images * line.epochs / seconds:.2f} | {rate:.2f}{_range(measured.rates)} "
            f"| {first:.1f} | {measured.peak_mib:.0f} | {ratio} |"
        )
    for mine, own in found.items():
        for other, theirs in found.items():
            same = (mine.part, mine.epochs, mine.tool) == (other.part, other.epochs, "ours")
            if same and other.tool in ("trl", "swift") and own.losses and theirs.losses:
                gap = max(abs(a - b) for a, b in zip(own.losses, theirs.losses, strict=False))
                rows.append(f"\nLosses of {mine.name} and {other.name} differ by at most {gap:.1e}.")
    return "\n".join(rows)


def _range(values: list[float]) -> str:
    """The lowest and the highest of several."""
    return f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""


if __name__ == "__main__":
    main()
