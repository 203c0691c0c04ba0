"""Memory and time of `prepare` on many rows over few images: `prepare_scale.py ROWS IMAGES headers|full WORKERS`.

Makes a Parquet table and JPEG images in a temporary folder, runs the stage alone, and prints the largest memory of this
process and all its workers together, the time to the first example, and CPU seconds. In mode `full` plain Pillow
`load()`, the full decode of each file, the copy of its pixels out of Pillow and their digest, copy included, are
measured first, in turn, in this process, and the shares of plain `load()` that decode and stage reach per second of CPU
are printed. A second start on the finished run times the check that
nothing changed.
"""

import os
import resource
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from finetune.config.schema import Config, DataConfig, HardwareConfig, RunConfig, TaskConfig
from finetune.data import source as dataset
from finetune.example import ImageRef
from finetune.images import decode
from finetune.pipeline import prepare
from finetune.rundir import RunDir

SAMPLED_S = 0.2

REPEATS = 3
"""Each image is decoded as often, and the least counts."""


def make(root: Path, rows: int, images: int) -> None:
    """Writes the table and its pictures."""
    rng = np.random.default_rng(0)
    for number in range(images):
        noise = rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((640, 480)).save(root / f"{number:05d}.jpg", quality=85)
    numbers = np.arange(rows)
    table = {
        "image": [f"{n % images:05d}.jpg" for n in numbers],
        "label": [("good", "bad")[n % 2] for n in numbers],
        "part": [f"part{n % (rows // 4 + 1):07d}" for n in numbers],
        "question": [f"Is view {n} of this part good?" for n in numbers],
    }
    pyarrow.parquet.write_table(pa.table(table), root / "rows.parquet")


class Watch(threading.Thread):
    """Samples the memory of this process and its descendants, pages that they share counted once (Linux's Pss)."""

    def __init__(self) -> None:
        """Starts at once."""
        super().__init__(daemon=True)
        self.peak_mib = 0.0
        self.done = threading.Event()
        self.start()

    def run(self) -> None:
        """Until `done`."""
        while not self.done.wait(SAMPLED_S):
            self.peak_mib = max(self.peak_mib, sum(map(_pss, _family(os.getpid()))) / 1024)


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(each for child in children for each in _family(int(child)))]


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def cpu() -> float:
    """CPU seconds of this process and of the workers that ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def plain(file: Path) -> None:
    """Pillow's `load()` of one image."""
    with Image.open(file) as image:
        image.load()


def full(file: Path) -> Image.Image:
    """The full decode of one image: path judged, header checked, upright, RGB."""
    return decode.load(file.parent, ImageRef(file.name))


def decoding(root: Path) -> list[float]:
    """CPU seconds of `plain`, `full`, copy and digest over every image, in turn on each; of each the least counts."""
    files = sorted(root.glob("*.jpg"))
    least = np.full((4, len(files)), np.inf)
    for _ in range(REPEATS):
        for index, file in enumerate(files):
            image = full(file)
            ways = partial(plain, file), partial(full, file), image.tobytes, partial(decode.fingerprint, image)
            for way, work in enumerate(ways):
                start = time.process_time()
                work()
                least[way, index] = min(least[way, index], time.process_time() - start)
    return [float(seconds) for seconds in least.sum(axis=1)]


def measure(root: Path, mode: str, rows: int, images: int, workers: int) -> None:
    """Runs the stage and prints what it took."""
    options = {"file": "rows.parquet", "question": "question"}
    data = DataConfig(adapter="table", path=str(root), group="part", decode=mode, duplicates="off", options=options)
    config = Config(
        data=data,
        task=TaskConfig(labels=("good", "bad")),
        run=RunConfig(dir=str(root / "run")),
        hardware=HardwareConfig(workers=workers),
    )
    run = RunDir(root / "run")
    run.make(run.root)
    start = time.perf_counter()
    next(dataset.examples(config, root))
    print(f"first example after {time.perf_counter() - start:.2f} s of wall clock")
    alone, decoded, copied, digested = decoding(root) if mode == "full" else [0.0] * 4
    watch = Watch()
    start, used = time.perf_counter(), cpu()
    prepare.run(config, run)
    spent, used = time.perf_counter() - start, cpu() - used
    watch.done.set()
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"prepare: {rows:,} rows, {workers} workers: {used:.1f} s of CPU ({spent:.0f} s of wall clock)")
    print(f"peak memory: {watch.peak_mib:.0f} MiB of all processes, {own:.0f} MiB of the first")
    if mode == "full":
        print(f"plain load() of {images:,} images: {alone:.2f} s of CPU, {alone / images * 1000:.2f} ms each")
        print(f"full decode: {decoded / images * 1000:.2f} ms each: {alone / decoded:.0%} of plain load() per core")
        copy, both = (seconds / images * 1000 for seconds in (copied, digested))
        print(f"digest of the pixels: {both:.2f} ms each, of which copying them out of Pillow takes {copy:.2f} ms")
        print(f"prepare takes {used / images * 1000:.2f} ms each: {alone / used:.0%} of plain load() per core")
    for word in ("first", "second"):
        used = time.process_time()
        prepare.sources(config)
        print(f"{word} look at the source: {time.process_time() - used:.1f} s of CPU")


if __name__ == "__main__":
    count, pictures = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        make(source, count, pictures)
        measure(source, sys.argv[3], count, pictures, int(sys.argv[4]))
