"""Plots of what ``accuracy.py --out`` wrote: docs/streaming.svg.

.venv/bin/python benchmarks/stream/plot.py docs/streaming.svg "demo detector=a.json" ...
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from builder.benchmark.svg import HEIGHT, LEGEND_WIDTH, WIDTH, Line, line_plot

STYLE = (
    "<style>svg{fill:#333}text{font:11px sans-serif}.grid{stroke:#ddd}"
    "@media(prefers-color-scheme:dark){svg{background:#fff}}</style>"
)


def lines(results: list[dict[str, float | str]]) -> list[Line]:
    """Return what is lost against bytes, a line for each codec and width."""
    best = float(results[0]["map50_95"])
    points: dict[str, list[tuple[float, float]]] = {}
    for each in results[1:]:
        lost = max(0.0, 100 * (best - float(each["map50_95"])))
        kilobytes = round(float(each["bytes_a_frame"]) / 1e3, 1)
        points.setdefault(str(each["kind"]), []).append((kilobytes, lost))
    return [Line(f"{name} px", sorted(found)) for name, found in points.items()]


def main() -> None:
    """Write one file, the plots below each other."""
    out, *inputs = sys.argv[1:]
    parts = []
    for number, each in enumerate(inputs):
        title, _, file = each.partition("=")
        plot = line_plot(
            f"{title}: what is lost of mAP50-95",
            "KB a frame",
            "points lost",
            lines(json.loads(Path(file).read_text())),
        )
        place = f'<svg y="{number * HEIGHT}" width="{WIDTH + LEGEND_WIDTH}" height="{HEIGHT}" '
        parts.append(re.sub(r"^<svg ", place, plot))
    size = f"0 0 {WIDTH + LEGEND_WIDTH} {HEIGHT * len(inputs)}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}">'
    Path(out).write_text("\n".join([head, STYLE, *parts, "</svg>"]) + "\n")


if __name__ == "__main__":
    main()
