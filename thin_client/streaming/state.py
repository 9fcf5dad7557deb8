"""How a source is doing, in a word."""

from __future__ import annotations

import enum

__all__ = ["SILENT_S", "State"]

# A live source that gives nothing for longer has stalled; cameras of one frame a second have not.
SILENT_S = 3.0


class State(str, enum.Enum):
    """Of a source and its stream."""

    OPENING = "opening"
    STREAMING = "streaming"
    STALLED = "stalled"
    """It is open and gives nothing."""
    WAITING = "waiting"
    """It, or the server, is away, and is asked again and again."""
    ENDED = "ended"
    FAILED = "failed"
    """It is a file that cannot be read, or was refused for good."""
    REMOVED = "removed"
