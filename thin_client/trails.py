"""Where the objects of a stream have been lately: what is drawn behind each of them."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from thin_client.detections import Detections

__all__ = ["Trails"]

# As long as those of supervision's TraceAnnotator, at 30 frames a second.
LENGTH_S = 1.0
# A camera may show a crowd for months: a bound for what tracks may take, whatever happens.
_MOST_TRACKS = 1000


class Trails:
    """The way of each track in the last moments; give it every frame's detections, in order.

    Args:
        length_s: how far back a trail goes. A track of which nothing was seen for so long has none.
    """

    def __init__(self, length_s: float = LENGTH_S) -> None:
        self._length_us = round(length_s * 1e6)
        self._points: OrderedDict[int, deque[tuple[int, float, float]]] = OrderedDict()

    def follow(self, detections: Detections, timestamp_us: int) -> None:
        """Take the boxes of a frame: of each with a track, the middle of its lower edge.

        Args:
            detections: without tracks they leave the trails as they are, but for their age.
            timestamp_us: of the frame, microseconds; goes up from frame to frame.
        """
        for detection in detections:
            if detection.track_id is None:
                continue
            left, _, right, bottom = detection.box_xyxy
            points = self._points.setdefault(detection.track_id, deque())
            points.append((timestamp_us, (left + right) / 2, bottom))
            self._points.move_to_end(detection.track_id)
        for track_id, points in list(self._points.items()):
            while points and timestamp_us - points[0][0] > self._length_us:
                points.popleft()
            if not points:
                del self._points[track_id]
        while len(self._points) > _MOST_TRACKS:
            self._points.popitem(last=False)

    def paths(self) -> Iterator[tuple[int, npt.NDArray[np.float64]]]:
        """Yield each track's id and its points, float64 [n, 2], x y in pixels, the oldest first."""
        for track_id, points in self._points.items():
            yield track_id, np.array([(x, y) for _, x, y in points], np.float64)
