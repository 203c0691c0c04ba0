"""A defect of 12 pixels in images of 4,000: found through tiles, and not without them."""

import numpy as np
import pytest
from PIL import Image

from finetune.config import compose
from finetune.pipeline import evaluate, prepare
from finetune.rundir import RunDir, read_json, read_jsonl

SIDE, DEFECT, IMAGES = 4000, 12, 24


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Blotchy surfaces; every second one has a black square of 12 x 12 pixels somewhere."""
    root = tmp_path_factory.mktemp("large")
    generator = np.random.default_rng(0)
    for n in range(IMAGES):
        blotches = generator.integers(90, 170, (SIDE // 40, SIDE // 40), dtype=np.uint8)
        surface = np.asarray(Image.fromarray(blotches).resize((SIDE, SIDE), Image.Resampling.BICUBIC)).copy()
        mask = np.zeros((SIDE, SIDE), np.uint8)
        if n % 2:
            x, y = generator.integers(0, SIDE - DEFECT, 2)
            surface[y : y + DEFECT, x : x + DEFECT] = 0
            mask[y : y + DEFECT, x : x + DEFECT] = 255
        for folder, picture in (("images", surface), ("masks", mask)):
            (root / folder).mkdir(exist_ok=True)
            Image.fromarray(picture).save(root / folder / f"{n:02d}.png", compress_level=1)
    return root


def right(source, run, *more):
    """Share of test images that the frozen tower of the embedded model and a logistic regression tell apart."""
    config = compose.compose(
        [
            f"data.path={source}",
            "data.adapter=masks",
            "task.labels=[good,defect]",
            "data.split={val:0.1,test:0.4,salt:c}",
            "evaluate.models=[majority,linear]",
            "hardware.device=cpu",
            "hardware.threads=1",
            f"run.root={run.root.parent}",
            f"run.dir={run.root}",
            *more,
        ]
    )
    run.make(run.root)
    prepare.run(config, run)
    evaluate.run(config, run)
    found = read_json(run.comparison)
    assert found["n"] == len({row["group"] for row in read_jsonl(run.parts(0)[0].split("test"))})
    return found["models"]["linear"]["accuracy"]["value"], found["models"]["majority"]["accuracy"]["value"]


@pytest.mark.slow
def test_found_through_tiles_and_not_without(source, tmp_path):
    tiles = ["data.tiles={size:400,overlap:40,keep_empty:0.1,empty:good}", "evaluate.aggregate=any"]
    through, chance = right(source, RunDir(tmp_path / "tiles"), *tiles)
    without, _ = right(source, RunDir(tmp_path / "whole"))
    print(f"through tiles {through:.2f}, whole images {without:.2f}, the commonest answer {chance:.2f}")
    assert through >= 0.9
    assert without <= 0.75
