"""What the rewrites of one head after another pass on: boxes and scores in the graph."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GraphBoxes:
    """Names of float32 tensors in a graph; boxes in pixels of the network's input.

    Attributes:
        boxes: ``[N, A, 4]``.
        scores: ``[N, A, classes]``.
        classes: how many.
        count: A, or the fewest there can be where the graph does not say.
        corners: whether a box is x1, y1, x2, y2; else it is centre x, centre y, width, height.
    """

    boxes: str
    scores: str
    classes: int
    count: int
    corners: bool


@dataclass(frozen=True)
class GraphRows:
    """Finished detections in a graph.

    Attributes:
        rows: float32 ``[N, K, 6]``: x1, y1, x2, y2 in pixels of the network's input, score, class.
        count: K, or None where the graph does not say.
    """

    rows: str
    count: int | None
