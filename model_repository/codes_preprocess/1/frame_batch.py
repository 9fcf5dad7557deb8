"""The frames of several requests: those of one request, and all of one shape, lie together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Shape = tuple[int, int, int]


class FrameBatch:
    """Memory for frames, not filled yet.

    Args:
        requests: shape and number of the frames of each.

    Attributes:
        by_shape: uint8 ``[n, height, width, 3]`` for each shape: the frames of all requests that
            have it, in order.
    """

    def __init__(self, requests: Sequence[tuple[Shape, int]]) -> None:
        self._places: list[tuple[Shape, slice]] = []
        counts: dict[Shape, int] = {}
        for shape, number in requests:
            first = counts.get(shape, 0)
            counts[shape] = first + number
            self._places.append((shape, slice(first, first + number)))
        self.by_shape: dict[Shape, NDArray[np.uint8]] = {
            shape: np.empty((number, *shape), np.uint8) for shape, number in counts.items()
        }

    def shape_of(self, request: int) -> Shape:
        """Return the shape of a request's frames."""
        return self._places[request][0]

    def rows_of(self, request: int) -> slice:
        """Return which frames of their shape are a request's."""
        return self._places[request][1]

    def of_request(self, request: int) -> NDArray[np.uint8]:
        """Return the frames of a request, uint8 ``[n, height, width, 3]``."""
        shape, rows = self._places[request]
        return self.by_shape[shape][rows]

    def frames(self) -> list[NDArray[np.uint8]]:
        """Return every frame, uint8 ``[height, width, 3]``, request after request."""
        return [frame for request in range(len(self._places)) for frame in self.of_request(request)]
