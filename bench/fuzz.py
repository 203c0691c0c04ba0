"""Fuzzes what reads foreign files: `fuzz.py SECONDS [SEED]`; `atheris` (LLVM's libFuzzer) guides it by coverage.

Inputs are the bytes of a table (CSV, JSON lines), of COCO and conversation JSON, of YOLO's YAML and label files, of a
DICOM file and its label table: valid ones to begin with, mutated from there. Allowed ends are examples, bad rows, and
our own errors. Anything else is a crash: it is printed with its input and the exit code is 1. Without atheris, bytes
are mutated blindly.
"""

import json
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

GUIDED = __name__ == "__main__" and find_spec("atheris") is not None
if GUIDED:
    import atheris

    with atheris.instrument_imports(include=["data_adapters", "finetune"]):
        from data_adapters import coco, conversations, dicom, table, yolo
else:
    from data_adapters import coco, conversations, dicom, table, yolo

from finetune.errors import UserError  # noqa: E402  # after the instrumentation
from finetune.example import BadRow, Example  # noqa: E402
from finetune.rundir import RunDir  # noqa: E402

Read = Callable[[Path], Iterator[Example | BadRow]]
KEY = "site.key"
STRANGE = (b"-1", b"1e999", b"NaN", b"\0", b"\xff\xfe", b"null", b"{}", b"[[", b'"', b"\n")


def readers(root: Path) -> dict[str, tuple[str, Read]]:
    """Path under test -> the file whose bytes are mutated, and how it is read."""
    site = {"site_key": str(root / KEY), "percentiles": (1.0, 99.0)}
    return {
        "table": ("labels.csv", lambda at: table.read(at, table.Options(), at)),
        "jsonl": ("rows.jsonl", lambda at: table.read(at, table.Options(file="rows.jsonl"), at)),
        "coco": ("annotations.json", lambda at: coco.read(at, coco.Options(), at)),
        "conversations": ("conversations.json", lambda at: conversations.read(at, conversations.Options(), at)),
        "yaml": ("data.yaml", lambda at: yolo.read(at, yolo.Options(), at)),
        "yolo": ("labels/a.txt", lambda at: yolo.read(at, yolo.Options(), at)),
        "dicom": ("a.dcm", lambda at: dicom.read(at, dicom.Options(**site), RunDir(at / "run").make(at / "images"))),
        "dicom_labels": ("labels.csv", lambda at: dicom.read(at, dicom.Options(**site), at / "images")),
    }


def seeds(root: Path) -> dict[str, list[bytes]]:
    """Valid inputs of each path; writes the files that they name below a folder each."""
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A thing."}]
    box = {"id": 1, "image_id": 0, "category_id": 7, "bbox": [1, 2, 3, 4]}
    tree = {"images": [{"id": 0, "file_name": "a.png", "width": 8, "height": 6}], "annotations": [box]}
    tree |= {"categories": [{"id": 7, "name": "scratch"}]}
    found = {
        "table": [b"image,label\na.png,good\nb.png,bad\n", b'image,label\r\n"a.png","x, y"\r\n'],
        "jsonl": [b'{"image": "a.png", "label": "good"}\n{"image": "b.png", "label": "bad"}\n'],
        "coco": [json.dumps(tree).encode()],
        "conversations": [json.dumps([{"id": "0", "image": "a.png", "conversations": turns}]).encode()],
        "yaml": [b"names: [scratch]\n", b"names:\n  0: scratch\n  1: 'no'\n", b"nc: 1\nnames: &a [x]\nb: *a\n"],
        "yolo": [b"0 0.5 0.5 0.25 0.5\n", b"0 0.1 0.1 0.1 0.1\n0 0.9 0.9 0.1 0.1\n"],
        "dicom": _dicoms(),
        "dicom_labels": [b"uid,label\n1.2.3.4,mass\n"],
    }
    for name in found:
        for place in ("a.png", "b.png", "images/a.png", "labels/a.txt", KEY):
            (root / name / place).parent.mkdir(parents=True, exist_ok=True)
        for place in ("a.png", "b.png", "images/a.png"):
            Image.fromarray(np.arange(144, dtype=np.uint8).reshape(6, 8, 3)).save(root / name / place)
        (root / name / "images").mkdir(exist_ok=True)
        (root / name / "data.yaml").write_bytes(found["yaml"][0])
        (root / name / "labels" / "a.txt").write_bytes(found["yolo"][0])
    (root / KEY).write_bytes(b"k" * 32)
    (root / "dicom" / "labels.csv").write_bytes(found["dicom_labels"][0])
    (root / "dicom_labels" / "a.dcm").write_bytes(found["dicom"][0])
    return found


def _dicoms() -> list[bytes]:
    """A CT slice, an inverted one in colour, one of several frames."""
    import io

    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    found = []
    for syntax, more in (
        (ExplicitVRLittleEndian, {"RescaleSlope": "2", "RescaleIntercept": "-1024", "PixelPaddingValue": 0}),
        (ImplicitVRLittleEndian, {"WindowCenter": ["40", "8"], "WindowWidth": ["400", "9"], "NumberOfFrames": "1"}),
        (ExplicitVRLittleEndian, {"PhotometricInterpretation": "MONOCHROME1", "PixelAspectRatio": ["2", "1"]}),
    ):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, "1.2.3.4"
        dataset.SeriesInstanceUID, dataset.StudyInstanceUID = "1.2.3", "1.2"
        dataset.PatientID, dataset.Modality, dataset.SamplesPerPixel = "p", "CT", 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.Rows, dataset.Columns, dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 4, 4, 16, 12, 11
        dataset.PixelRepresentation = 0
        dataset.PixelData = np.arange(16, dtype=np.uint16).tobytes()
        dataset["PixelData"].VR = "OW"
        for name, value in more.items():
            setattr(dataset, name, value)
        buffer = io.BytesIO()
        dataset.save_as(buffer, enforce_file_format=True)
        found.append(buffer.getvalue())
    return found


class Fuzzer:
    """Runs inputs and counts their ends."""

    def __init__(self, root: Path, seconds: float) -> None:
        """Lays out the folders."""
        self.start = time.monotonic()
        self.end = self.start + seconds
        self.root = root
        self.seeds = seeds(root)
        self.readers = readers(root)
        self.names = sorted(self.readers)
        self.ends: Counter[str] = Counter()
        self.crashes: dict[str, bytes] = {}

    def one(self, content: bytes) -> None:
        """The first byte chooses the path, the rest is the file; libFuzzer does not return, so time is kept here."""
        if time.monotonic() > self.end:
            code = self.report()
            sys.stdout.flush()
            os._exit(code)
        name = self.names[content[0] % len(self.names)] if content else self.names[0]
        file, read = self.readers[name]
        (self.root / name / file).write_bytes(content[1:])
        try:
            rows = Counter(type(row).__name__ for row in read(self.root / name))
            self.ends.update({f"{name}: rows": 1} if rows else {f"{name}: nothing": 1})
        except UserError as error:
            self.ends[f"{name}: {type(error).__name__}"] += 1
        except Exception:
            told = traceback.format_exc()
            where = told.splitlines()[-1][:60] + told.splitlines()[-3][:120]
            if where not in self.crashes:
                print(f"CRASH in {name} with {content[1:400]!r}\n{told}", flush=True)
            self.crashes.setdefault(where, content)

    def inputs(self) -> list[bytes]:
        """All seeds in the form of `one`."""
        return [bytes([self.names.index(name)]) + seed for name, own in self.seeds.items() for seed in own]

    def report(self) -> int:
        """Prints the counts; returns the exit code."""
        seconds = time.monotonic() - self.start
        print(f"{self.ends.total():,} inputs in {seconds:.0f} s, {time.process_time():.0f} s of CPU; ends:")
        for end, count in sorted(self.ends.items()):
            print(f"  {end}: {count:,}")
        print(f"{len(self.crashes)} kinds of crash")
        return 1 if self.crashes else 0


def mutated(content: bytes, others: list[bytes], generator: random.Random) -> bytes:
    """A few blind changes: bytes flipped, cut, repeated, spliced with another input, or strange numbers put in."""
    found = bytearray(content)
    for _ in range(generator.randint(1, 4)):
        at = generator.randrange(1, max(2, len(found)))
        end = at + generator.randint(0, 12)
        change: Any = generator.randrange(6)
        if change == 0 and at < len(found):
            found[at] ^= 1 << generator.randrange(8)
        elif change == 1:
            del found[at:end]
        elif change == 2:
            found[at:at] = found[at:end] * generator.randint(1, 50)
        elif change == 3:
            other = generator.choice(others)
            found[at:] = other[generator.randrange(len(other)) :]
        elif change == 4:
            found[at:end] = generator.choice(STRANGE)
        else:
            found[at:end] = generator.randbytes(generator.randint(1, 8))
    return bytes(found)


def main(seconds: int, seed: int) -> int:
    """Fuzzes for so long; returns the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), seconds)
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        if GUIDED:
            for number, content in enumerate(fuzzer.inputs()):
                (corpus / str(number)).write_bytes(content)
            limits = [f"-max_total_time={seconds + 60}", f"-seed={seed or 1}", "-verbosity=0", "-max_len=4096"]
            atheris.Setup([sys.argv[0], str(corpus), *limits], fuzzer.one)
            atheris.Fuzz()
        generator, pool = random.Random(seed), fuzzer.inputs()
        while time.monotonic() < fuzzer.end:
            fuzzer.one(mutated(generator.choice(pool), pool, generator))
        return fuzzer.report()


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
