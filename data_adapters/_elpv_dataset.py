"""The pip package `elpv-dataset`, given the columns of the prepared `labels.csv` (`recipes/solar_cells.md`).

The package has no header, names no solar module and grades defects as probabilities. Two columns are derived:
`defective` (probability of at least one half) and `pseudo_module`. Modules are inferred: the file order runs in
multiples of 60 cells a module type, so each run of one type is cut into blocks of 60, the remainder joining the last
block where it is under 30. That gives 44 blocks, as many as the paper has modules. It is no official id.
"""

import importlib.util
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from finetune.errors import DataError

_CELLS_A_MODULE = 60


def folder() -> Path:
    """The data folder of the installed package, without importing it.

    Raises:
        DataError: the package is not installed.
    """
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or spec.origin is None:
        raise DataError(
            "data.path is not given and the package elpv-dataset is not installed: give data.path=FOLDER (with "
            "labels.csv and images/), or run `pip install elpv-dataset` (90 MB, CC BY-NC-SA 4.0: non-commercial use)."
        )
    return Path(spec.origin).parent / "data"


def rows(data: Path) -> Iterator[dict[str, str]]:
    """Yields filename, defect_prob, defective, module_type and pseudo_module, in file order."""
    cells = [line.split() for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines() if line.strip()]
    module = 0
    for kind, run in groupby(cells, key=lambda cell: cell[2]):
        members = list(run)
        blocks = max(1, round(len(members) / _CELLS_A_MODULE))
        for index, (path, probability, _) in enumerate(members):
            block = min(index // _CELLS_A_MODULE, blocks - 1)
            yield {
                "filename": path.removeprefix("images/"),
                "defect_prob": probability,
                "defective": str(int(float(probability) >= 0.5)),
                "module_type": kind,
                "pseudo_module": f"m{module + block:02d}",
            }
        module += blocks
