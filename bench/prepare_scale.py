"""Memory and time of `prepare` on many rows over few images: `prepare_scale.py ROWS [IMAGES] [headers|full]`.

Makes a Parquet table and JPEG images in a temporary folder, runs the stage alone, and prints peak memory, time to the
first example and rows a second. A second start on the finished run times the check that nothing changed.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from PIL import Image

from finetune import dataset
from finetune.config import Config, DataConfig, RunConfig, TaskConfig
from finetune.rundir import RunDir
from finetune.stages import prepare


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


def measure(root: Path, mode: str) -> None:
    """Runs the stage and prints what it took."""
    options = {"file": "rows.parquet", "question": "question"}
    data = DataConfig(adapter="table", path=str(root), group="part", decode=mode, options=options)
    config = Config(data=data, task=TaskConfig(labels=("good", "bad")), run=RunConfig(dir=str(root / "run")))
    run = RunDir(root / "run")
    run.make(run.root)
    start = time.perf_counter()
    next(dataset.examples(config, root))
    print(f"first example after {time.perf_counter() - start:.2f} s")
    base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, used = time.perf_counter(), time.process_time()
    prepare.run(config, run)
    spent, used = time.perf_counter() - start, time.process_time() - used
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"prepare: {spent:.1f} s, {used:.1f} s of CPU, peak {peak:.0f} MiB (before: {base:.0f} MiB)")
    for word in ("first", "second"):
        used = time.process_time()
        prepare.sources(config)
        print(f"{word} look at the source: {time.process_time() - used:.1f} s of CPU")


if __name__ == "__main__":
    count, pictures = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        source.mkdir()
        make(source, count, pictures)
        measure(source, sys.argv[3] if len(sys.argv) > 3 else "headers")
