"""Windows of grey values: what a recipe may ask for, and the VOI LUT functions of DICOM PS3.3 C.11.2."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finetune.errors import ConfigError, DataError

PRESETS = {
    "lung": (-600.0, 1500.0),
    "mediastinum": (40.0, 400.0),
    "bone": (400.0, 1800.0),
    "brain": (40.0, 80.0),
    "subdural": (75.0, 215.0),
    "stroke": (40.0, 40.0),
    "liver": (60.0, 160.0),
}
"""Usual (centre, width) in Hounsfield units; for CT alone."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Rule:
    """How grey values become black to white.

    Attributes:
        windows: one, or three for the channels of a colour image: `file`, `file:N` (the N-th of the file, from 0), a
            name of `PRESETS`, or `CENTRE,WIDTH`.
        percentiles: (low, high) percentiles that stand in where the file has no window, or nothing.
    """

    windows: tuple[str, ...] = ("file",)
    percentiles: tuple[float, ...] = ()


def check_rule(rule: Rule) -> None:
    """Refuses a rule that no image could be shown by.

    Raises:
        ConfigError: names the key.
    """
    if len(rule.windows) not in (1, 3):
        raise ConfigError(f"data.options.windows: got {len(rule.windows)} windows, expected one, or three for channels")
    for window in rule.windows:
        parse(window)
    ends = rule.percentiles
    if ends and (len(ends) != 2 or not 0 <= ends[0] < ends[1] <= 100):
        raise ConfigError(f"data.options.percentiles: got {list(ends)}, expected [LOW,HIGH] from 0 to 100")


def parse(window: str) -> tuple[float, float] | int:
    """(centre, width), or the index of a window of the file.

    Raises:
        ConfigError: it is neither.
    """
    kind, _, index = window.partition(":")
    if kind == "file" and (not index or index.isdigit()):
        return int(index or 0)
    if window in PRESETS:
        return PRESETS[window]
    try:
        centre, width = map(float, window.split(","))
        if width > 0 and np.isfinite([centre, width]).all():
            return centre, width
    except ValueError:
        pass
    raise ConfigError(
        f"data.options.windows: got {window!r}, expected file, file:N, CENTRE,WIDTH, or one of {', '.join(PRESETS)}"
    )


def linear(values: Values, centre: float, width: float) -> Values:
    """LINEAR (C.11.2.1.2.1): a width of 1 is a threshold."""
    if width < 1:
        raise DataError(f"has a window of width {width:g}; LINEAR needs at least 1.")
    if width == 1:
        return (values > centre - 0.5).astype(np.float64)
    return np.asarray(np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1))


def linear_exact(values: Values, centre: float, width: float) -> Values:
    """LINEAR_EXACT (C.11.2.1.3.2)."""
    if width <= 0:
        raise DataError(f"has a window of width {width:g}; expected more than 0.")
    return np.asarray(np.clip((values - centre) / width + 0.5, 0, 1))


def sigmoid(values: Values, centre: float, width: float) -> Values:
    """SIGMOID (C.11.2.1.3.1)."""
    if width <= 0:
        raise DataError(f"has a window of width {width:g}; expected more than 0.")
    return np.asarray(1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -700, 700))))


FUNCTIONS = {"LINEAR": linear, "LINEAR_EXACT": linear_exact, "SIGMOID": sigmoid}
"""VOI LUT functions by their names in a file."""
