"""What the decode step says to the detect step of each packet: the tensor STREAM_FRAME."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Note(enum.IntFlag):
    """What holds of a packet and its stream."""

    FRAME = 1
    """There is a frame."""
    LOOK = 2
    """The network is to look at it: it is in the tensor FRAME, which is empty otherwise."""
    LOST = 4
    """There is none, because a packet was lost or damaged."""
    CHOSEN = 8
    """The stream has fewer looks than frames."""
    WANTS = 16
    """It would like one at its next frame."""
    REFUSED = 32
    """The frame should have been looked at, and there was no room."""
    TRACKED = 64
    """The stream has a tracker."""
    END = 128
    """The stream ends with this packet."""


@dataclass(frozen=True)
class StreamFrame:
    """One packet of a stream, as the decode step saw it.

    Attributes:
        stream: a number that no other stream of the process has had.
        place: of the stream in the process' memory, see :mod:`ticket_memory`.
        notes: what holds of it.
        looks: that the stream has taken, this one included.
        width: of the upright frame in pixels; 0 where there is none.
        height: likewise.
        time_us: of the frame, of the client's clock, or -1.
    """

    stream: int
    place: int
    notes: Note
    looks: int
    width: int
    height: int
    time_us: int

    def to_array(self) -> NDArray[np.int64]:
        """Return int64 ``[8]``."""
        return np.array(
            [
                self.stream,
                self.place,
                self.notes,
                self.looks,
                self.width,
                self.height,
                self.time_us,
                0,
            ],
            np.int64,
        )

    @classmethod
    def from_array(cls, values: NDArray[np.int64]) -> StreamFrame:
        """Read int64 ``[8]``."""
        stream, place, notes, looks, width, height, time_us, _ = map(int, values)
        return cls(stream, place, Note(notes & ALL_NOTES), looks, width, height, time_us)


ALL_NOTES = int(sum(Note))
