"""A line plot as SVG text: two logarithmic or linear axes, named lines; no plotting library."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 16, 34, 46
_COLOURS = ("#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#b7791f")


@dataclass(frozen=True)
class Line:
    name: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


@dataclass(frozen=True)
class Panel:
    """`x_log`, `y_log`: logarithmic axes; points that have no place there are left out. The lines' names stand at the top
    right, or at the bottom left."""

    title: str
    x_name: str
    y_name: str
    lines: Sequence[Line]
    x_ticks: Sequence[float]
    y_ticks: Sequence[float]
    x_log: bool = True
    y_log: bool = False
    names_below: bool = False


def svg(panels: Sequence[Panel]) -> str:
    """The panels side by side."""
    width = _WIDTH * len(panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{_HEIGHT}" fill="white"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate({number * _WIDTH} 0)">', *_panel(panel), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(panel: Panel) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def x(value: float) -> float:
        return _place(value, panel.x_ticks, panel.x_log, _LEFT, right)

    def y(value: float) -> float:
        return _place(value, panel.y_ticks, panel.y_log, bottom, _TOP)

    parts = [f'<text x="{_LEFT}" y="18" font-weight="bold">{panel.title}</text>']
    for tick in panel.x_ticks:
        parts.append(_rule(x(tick), _TOP, x(tick), bottom))
        parts.append(f'<text x="{x(tick):.1f}" y="{bottom + 14}" text-anchor="middle">{tick:g}</text>')
    for tick in panel.y_ticks:
        parts.append(_rule(_LEFT, y(tick), right, y(tick)))
        parts.append(f'<text x="{_LEFT - 5}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')
    middle = (_LEFT + right) // 2
    parts.append(f'<text x="{middle}" y="{_HEIGHT - 12}" text-anchor="middle">{panel.x_name}</text>')
    up = (_TOP + bottom) // 2
    parts.append(
        f'<text transform="translate(14 {up}) rotate(-90)" text-anchor="middle">{panel.y_name}</text>'
    )
    for number, line in enumerate(panel.lines):
        colour = _COLOURS[number % len(_COLOURS)]
        dash = ' stroke-dasharray="5 3"' if line.dashed else ""
        shown = [point for point in line.points if _has_place(point, panel)]
        points = " ".join(f"{x(px):.1f},{y(py):.1f}" for px, py in shown)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        at = _TOP + 14 + 15 * number
        start = right - 176
        if panel.names_below:
            at, start = bottom - 10 - 15 * (len(panel.lines) - 1 - number), _LEFT + 12
        parts.append(
            f'<line x1="{start}" y1="{at - 4}" x2="{start + 20}" y2="{at - 4}" stroke="{colour}" '
            f'stroke-width="2"{dash}/><text x="{start + 26}" y="{at}">{line.name}</text>'
        )
    return parts


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'


def _has_place(point: tuple[float, float], panel: Panel) -> bool:
    for value, ticks, is_log in (
        (point[0], panel.x_ticks, panel.x_log),
        (point[1], panel.y_ticks, panel.y_log),
    ):
        if not math.isfinite(value) or (is_log and value <= 0) or not min(ticks) <= value <= max(ticks):
            return False
    return True


def _place(value: float, ticks: Sequence[float], is_log: bool, start: float, end: float) -> float:
    scale = math.log if is_log else float
    low, high = scale(min(ticks)), scale(max(ticks))
    return start + (end - start) * (scale(value) - low) / (high - low)
