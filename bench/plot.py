"""Loss curves of several tools in one SVG, one panel a job; needs nothing but Python."""

from pathlib import Path

WIDE, HIGH, EDGE = 420, 220, 40
COLOURS = {"ours": "#1b6ca8", "ours_again": "#7fb3d5", "trl": "#c0392b", "swift": "#d68910"}


def write(curves: dict[str, list[float]], path: Path) -> None:
    """Draws `JOB-TOOL-EPOCHS-PRECISION` -> losses; curves of one job share a panel."""
    panels: dict[str, dict[str, list[float]]] = {}
    for name, losses in curves.items():
        if losses:
            job, tool, epochs, precision = name.split("-")
            panels.setdefault(f"{job}, {epochs} epochs, {precision}", {})[tool] = losses
    drawn = [_panel(title, own, index) for index, (title, own) in enumerate(panels.items())]
    size = f'width="{WIDE}" height="{HIGH * len(drawn)}"'
    path.write_text(f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif">{"".join(drawn)}</svg>\n')


def _panel(title: str, curves: dict[str, list[float]], index: int) -> str:
    top = max(max(losses) for losses in curves.values()) or 1.0
    last = max(len(losses) for losses in curves.values())
    parts = [f'<g transform="translate(0,{index * HIGH})"><text x="{EDGE}" y="16" font-size="13">loss: {title}</text>']
    for place, (tool, losses) in enumerate(curves.items()):
        wide, high = (WIDE - 2 * EDGE) / max(1, last - 1), (HIGH - 2 * EDGE) / top
        points = " ".join(
            f"{EDGE + wide * step:.1f},{HIGH - EDGE - high * loss:.1f}" for step, loss in enumerate(losses)
        )
        colour = COLOURS.get(tool, "#555")
        dashes = ' stroke-dasharray="6 4"' if place else ""  # equal curves lie on each other: both must be seen
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        parts.append(f'<text x="{WIDE - EDGE - 60}" y="{34 + 15 * place}" font-size="11" fill="{colour}">{tool}</text>')
    floor = HIGH - EDGE
    parts.append(f'<path d="M{EDGE},{EDGE}V{floor}H{WIDE - EDGE}" fill="none" stroke="#888"/>')
    parts.append(
        f'<text x="4" y="{EDGE + 4}" font-size="10">{top:.2f}</text><text x="22" y="{floor}" font-size="10">0</text>'
    )
    parts.append(f'<text x="{WIDE - EDGE - 30}" y="{floor + 16}" font-size="10">step {last}</text></g>')
    return "".join(parts)
