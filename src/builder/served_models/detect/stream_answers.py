"""The answers of one stream, in the order of its packets, and its tracker.

The network may finish frames in any order. A packet is answered when all before it are, so that the
tracker has the frames in their order, and the client the answers.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from byte_track import ByteTracker, TrackSettings
from detections import Rows, no_rows
from frame_steps import FrameSteps
from nms import select_detections, to_source_pixels
from stream_frames import Note, StreamFrame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from nms import Thresholds


@dataclass
class Packet:
    """A packet that is to be answered.

    Attributes:
        request: Triton's.
        frame: what the decode step said of it.
        thresholds: of the request.
        geometry: float32 ``[6]``.
        ticket: int64 ``[4]``.
        pixels: uint8 ``[1, height, width, 3]``, where the network is to look.
        taken: when it came to this step, of ``time.monotonic``.
        sender: of its response, where it is not answered at once.
        candidates: float32 ``[K, 6]``, once the network has looked.
        error: a response in place of an answer.
        done: whether nothing is waited for but the packets before it.
        stream: whose it is, where it is not answered at once.
    """

    request: Any
    frame: StreamFrame
    thresholds: Thresholds
    geometry: NDArray[np.float32]
    ticket: NDArray[np.int64]
    pixels: NDArray[np.uint8] | None
    taken: float
    sender: Any = None
    candidates: NDArray[np.float32] | None = None
    error: Any = None
    done: bool = False
    stream: StreamAnswers | None = None


@dataclass
class StreamAnswers:
    """One stream.

    Attributes:
        tracker: or None.
        max_det: rows of the outputs.
        last_packet: when one came, of ``time.monotonic``.
    """

    tracker: ByteTracker | None
    buffer: int
    max_det: int
    last_packet: float = 0.0
    _waiting: deque[Packet] = field(default_factory=deque)
    _steps: FrameSteps = field(default_factory=FrameSteps)
    _size: tuple[int, int] | None = None

    def add(self, packet: Packet) -> None:
        """Have a packet answered after those that came before."""
        self._waiting.append(packet)
        self.last_packet = packet.taken

    @property
    def tracks_begun(self) -> int:
        """How many tracks there have been."""
        return 0 if self.tracker is None else self.tracker.begun

    @property
    def idle(self) -> bool:
        """Whether no packet waits."""
        return not self._waiting

    def ready(self) -> Iterator[tuple[Packet, Rows]]:
        """Yield the packets that can be answered now, with what is in their frames."""
        while self._waiting and self._waiting[0].done:
            packet = self._waiting.popleft()
            yield packet, self._answer(packet)

    def _answer(self, packet: Packet) -> Rows:
        if Note.LOST in packet.frame.notes:
            self._steps.lost()
        if Note.FRAME not in packet.frame.notes:
            return no_rows()
        if self.tracker is None:
            return no_rows() if packet.candidates is None else _found(packet, packet.thresholds)
        self._go_on(self.tracker, packet.frame)
        if packet.candidates is None:
            return self._predicted(self.tracker, packet)
        return self._tracked(self.tracker, packet)

    def _go_on(self, tracker: ByteTracker, frame: StreamFrame) -> None:
        """Have the tracker go on to the frame before this one."""
        size = frame.width, frame.height
        steps = self._steps.step(frame.time_us)
        if size != self._size or steps > self.buffer + 1:
            tracker.end()
        else:
            for _ in range(steps - 1):
                tracker.predict(*size)
        self._size = size

    def _predicted(self, tracker: ByteTracker, packet: Packet) -> Rows:
        shown = tracker.predict(packet.frame.width, packet.frame.height)
        best = np.argsort(-shown.scores, kind="stable")[: packet.thresholds.max_det]
        return Rows(
            shown.boxes_xyxy[best], shown.scores[best], shown.classes[best], shown.ids[best]
        )

    def _tracked(self, tracker: ByteTracker, packet: Packet) -> Rows:
        """Track what was found; boxes below the threshold are shown where they go on with a track.

        NMS takes boxes by their score, so those that are above the threshold are the same as
        without the others.
        """
        asked = packet.thresholds
        low = min(asked.conf, tracker.settings.low)
        rows = _found(packet, replace(asked, conf=low, max_det=self.max_det))
        ids = tracker.look(rows.boxes_xyxy, rows.scores, rows.classes, begin=asked.conf)
        above = rows.scores > np.float32(asked.conf)
        shown = np.flatnonzero(above | (ids > 0))[: asked.max_det]
        return Rows(rows.boxes_xyxy[shown], rows.scores[shown], rows.classes[shown], ids[shown])


def new_stream(frame: StreamFrame, tracking: NDArray[np.float32], max_det: int) -> StreamAnswers:
    """Return a stream that begins with this packet.

    Args:
        frame: what the decode step said of it.
        tracking: float32 ``[4]``: scores of the two stages, buffer, hits.
        max_det: rows of the outputs.
    """
    # Two decimals more than float32 keeps of what was sent.
    high, low, buffer, hits = (round(float(value), 6) for value in tracking)
    settings = TrackSettings(high, low, int(buffer), int(hits))
    tracker = ByteTracker(settings) if Note.TRACKED in frame.notes else None
    return StreamAnswers(tracker, settings.buffer, max_det)


def _found(packet: Packet, thresholds: Thresholds) -> Rows:
    assert packet.candidates is not None  # noqa: S101 - the caller looked
    chosen = select_detections(packet.candidates, thresholds)
    boxes = to_source_pixels(chosen[:, :4], packet.geometry)
    ids = np.zeros(len(chosen), np.int64)
    return Rows(boxes, chosen[:, 4], chosen[:, 5].astype(np.int32), ids)
