"""Contrast of the colours in the style sheet, as WCAG 2.2 defines it."""

import re

Rgb = tuple[float, float, float]


def parse(css: str) -> dict[str, dict[str, str]]:
    """Theme -> variable -> value, from the `:root` blocks in order: light, dark; the dark one inherits."""
    blocks = re.findall(r":root\s*\{(.*?)\}", css, re.DOTALL)
    light, dark = (dict(re.findall(r"--([\w-]+):\s*([^;]+);", block)) for block in blocks[:2])
    return {"light": light, "dark": light | dark}


def rgb(value: str) -> Rgb:
    """A hex colour, or the three numbers of `rgb()`, as 0..255."""
    if value.startswith("#"):
        digits = value[1:]
        return tuple(int(digits[i : i + 2], 16) for i in (0, 2, 4))  # type: ignore[return-value]
    return tuple(float(part) for part in value.split())  # type: ignore[return-value]


def over(top: Rgb, below: Rgb, alpha: float) -> Rgb:
    """What is seen of a colour with transparency on another."""
    return tuple(alpha * a + (1 - alpha) * b for a, b in zip(top, below, strict=True))  # type: ignore[return-value]


def luminance(colour: Rgb) -> float:
    """Relative luminance, https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = [channel / 255 for channel in colour]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: Rgb, second: Rgb) -> float:
    """Contrast ratio, 1..21."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)
