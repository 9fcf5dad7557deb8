"""Plots as inline SVG, so that a report is one file that needs nothing else.

Lines with dots over linear or logarithmic axes are all a report needs; a plotting library would be
larger than the rest of the builder, or have the browser load one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEGEND_WIDTH = 520, 300, 160
LEFT, RIGHT, TOP, BOTTOM = 64, 16, 34, 46
COLOURS = (
    "#1768ac",
    "#d1495b",
    "#2a9d5c",
    "#8a5cc2",
    "#c98a00",
    "#555555",
    "#00a3a3",
    "#e377c2",
    "#8c564b",
)
TICKS = 5
MOST_X_TICKS = 12
# More would touch each other.
MOST_DOTS = 40


@dataclass(frozen=True)
class Line:
    """One line of a plot.

    Attributes:
        name: in the legend.
        points: x and y, x ascending.
    """

    name: str
    points: Sequence[tuple[float, float]]


def line_plot(
    title: str, x_title: str, y_title: str, lines: Sequence[Line], *, log_x: bool = True
) -> str:
    """Return a plot of some lines; y begins at 0, x may be logarithmic.

    A line has a dot at each point, or none where it has very many.
    """
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    if not xs:
        return ""
    top = _round_up(max(ys))
    legend = len(lines) > 1
    low_x, high_x = min(xs), max(xs)

    def x_at(x: float) -> float:
        start, end, value = (
            (math.log2(low_x), math.log2(high_x), math.log2(x)) if log_x else (low_x, high_x, x)
        )
        share = (value - start) / (end - start) if end > start else 0.5
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y_at(y: float) -> float:
        return HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg viewBox="0 0 {WIDTH + LEGEND_WIDTH * legend} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}">',
        _text(LEFT, 16, title, anchor="start", bold=True),
    ]
    for step in range(TICKS + 1):
        value = top * step / TICKS
        y = y_at(value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
        )
        parts.append(_text(LEFT - 6, y + 4, f"{value:g}", anchor="end"))
    ticks = sorted(set(xs))
    if len(ticks) > MOST_X_TICKS:
        ticks = ticks[:: -(-len(ticks) // MOST_X_TICKS)] if log_x else _round_ticks(low_x, high_x)
    parts += [_text(x_at(x), HEIGHT - BOTTOM + 16, f"{x:.4g}") for x in ticks]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_title))
    parts.append(
        f'<text transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_title)}</text>'
    )
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x_at(x):.1f},{y_at(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3" fill="{colour}">'
            f"<title>{escape(line.name)}: {x:g}, {y:.4g}</title></circle>"
            for x, y in line.points
            if len(line.points) <= MOST_DOTS
        ]
        if legend:
            parts.append(
                f'<text x="{WIDTH}" y="{TOP + 8 + 15 * number}" '
                f'fill="{colour}">{escape(line.name)}</text>'
            )
    return "\n".join([*parts, "</svg>"])


def _text(x: float, y: float, text: str, *, anchor: str = "middle", bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{escape(text)}</text>'


def _round_up(value: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten, so that ticks are round."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value)


def _round_ticks(low: float, high: float) -> list[float]:
    step = _round_up((high - low) / MOST_X_TICKS)
    return [step * number for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
