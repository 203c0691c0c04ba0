"""A made-up inspection line (leather parts, several photographs each) that runs anywhere: nothing to download."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_adapters._leather import STATES, make_part, photograph
from finetune.errors import ConfigError
from finetune.example import BadRow, Example, ImageRef

WRITES_IMAGES = True
_GOOD_SHARE = 0.38


@dataclass(frozen=True)
class Options:
    """What the line produces.

    Attributes:
        parts: number of parts; each has one state.
        views: photographs a part.
        seed: of the line; independent of the run's `seed`, so that runs with other seeds see the same data.
        side_px: height and width of a photograph.
    """

    parts: int = 380
    views: int = 4
    seed: int = 0
    side_px: int = 128


def locate(path: Path | None, options: Options) -> Path:
    """Nothing is read from a path.

    Raises:
        ConfigError: a path is given all the same, or an option is out of range.
    """
    if path is not None:
        raise ConfigError(f"data.path: got {str(path)!r}, but data.adapter=synthetic makes its images; leave it out")
    for name, value, low, high in (
        ("parts", options.parts, 1, 100_000),
        ("views", options.views, 1, 100),
        ("seed", options.seed, 0, 2**63),
        ("side_px", options.side_px, 32, 512),
    ):
        if not low <= value <= high:
            raise ConfigError(f"data.options.{name}: got {value}, expected {low} to {high}")
    return Path()


def image(relative: str, options: Options) -> ImageRef:
    """How one image is read."""
    return ImageRef(relative)


def read(path: Path | None, options: Options, images: Path) -> Iterator[Example | BadRow]:
    """Draws every part and yields its views in order, writing each as PNG into `images`.

    A part depends on the line's seed and its own number alone, so more parts never change the first ones.

    Raises:
        ConfigError: `path` is given or an option is out of range.
    """
    locate(path, options)
    states = list(STATES)
    rest = (1 - _GOOD_SHARE) / (len(states) - 1)
    for number in range(options.parts):
        rng = np.random.default_rng([options.seed, number])
        state = states[rng.choice(len(states), p=[_GOOD_SHARE, *[rest] * (len(states) - 1)])]
        part, name = make_part(state, rng), f"part{number:04d}"
        for view in range(options.views):
            file = f"{name}_view{view}.png"
            photograph(part, rng, options.side_px).save(images / file, compress_level=1)
            yield Example(
                id=f"{name}/{view}",
                images=(ImageRef(f"images/{file}"),),
                target=state,
                group=name,
                meta={"view": str(view)},
                row=f"part {number} view {view}",
            )
