"""Which streams may have the network look at their next frame.

Of streams with fewer looks than frames no frame waits for the network to have room: it is decoded,
and then looked at or not. So room is given away beforehand: the stream whose last turn is longest
ago may take one look, and takes it with the newest frame that it decodes. Between the two lies
about half the time between its frames, in which the network has other frames; so a few more are
given away than it runs, by how long both take.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stream_frames import Note, StreamFrame
from ticket_memory import ALLOWED, ROOM

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from network_share import NetworkShare

# One that the network runs, and one that it finds when it is done.
FEWEST = 2
# A look that was not taken for so long is not counted any more: its stream has paused, or has few
# frames a second. It may still take it.
PAUSE_S = 0.1
# A stream that sent nothing for so long is given nothing.
SILENT_S = 2.0
# Of what was measured before, what counts beside the new.
FORGET = 0.8


@dataclass
class _Stream:
    memory: NDArray[np.int64]
    place: int
    taken: int = 0
    wants: bool = False
    last_turn: float = -math.inf
    last_packet: float = 0.0
    # When it was allowed a look that it has not taken.
    allowed: float | None = None


class LookScheduler:
    """Gives away looks; its caller holds a lock.

    Args:
        most: looks given away at once, at most.
        share: that streams have of the network beside pictures; None for all of it.
        clock: seconds.
    """

    def __init__(
        self,
        most: int,
        share: NetworkShare | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = max(most, FEWEST)
        self._share = share
        self._clock = clock
        self._streams: dict[Hashable, _Stream] = {}
        self._memories: dict[int, NDArray[np.int64]] = {}
        # Looks that the network has: all, and those of streams that are given some.
        self._in_network = 0
        self._given = 0
        self._look_s = 0.0
        self._wait_s = 0.0
        # Up to when time was counted, and since then: whether streams wanted looks.
        self._counted = clock()
        self._wanted = False
        self._wanted_s = 0.0
        self._used_s = 0.0

    @property
    def limit(self) -> int:
        """How many looks are given away at once, those included that the network has."""
        between = self._wait_s / self._look_s if self._look_s else 0.0
        return min(self._most, FEWEST + math.ceil(between))

    def wanted_seconds(self) -> tuple[float, float]:
        """Return time since the last call in which streams wanted looks, seconds.

        And of it, in which the network had frames of theirs.
        """
        self._count()
        wanted, used = self._wanted_s, self._used_s
        self._wanted_s = self._used_s = 0.0
        return wanted, used

    def _count(self) -> None:
        now = self._clock()
        if self._wanted:
            # Where nothing came for longer, nobody wants anything any more.
            passed = min(now - self._counted, SILENT_S)
            self._wanted_s += passed
            self._used_s += passed if self._in_network else 0.0
        self._counted = now

    def arrived(self, key: Hashable, frame: StreamFrame, memory: NDArray[np.int64] | None) -> None:
        """Take note of a packet of a stream.

        Args:
            key: of the stream.
            frame: what the decode step said of it.
            memory: of its process, or None where that is gone.
        """
        self._count()
        if memory is not None:
            self._memories[id(memory)] = memory
        chosen = Note.CHOSEN in frame.notes
        # Frames of streams whose every one is looked at wait in the network's queue.
        crowded = Note.REFUSED in frame.notes or self._in_network - self._given > FEWEST
        if crowded and self._share is not None:
            self._share.streams_wait()
        if Note.LOOK in frame.notes:
            self._in_network += 1
            if self._share is not None:
                self._share.streams_looked(1)
            self._given += chosen
        if chosen and memory is not None and 0 <= frame.place < len(memory) - ALLOWED:
            now = self._clock()
            stream = self._streams.get(key)
            if stream is None:
                stream = self._streams[key] = _Stream(memory, frame.place)
            if frame.looks > stream.taken and stream.allowed is not None:
                self._wait_s = _mean(self._wait_s, min(now - stream.allowed, PAUSE_S))
                stream.allowed = None
            if frame.looks > stream.taken:
                stream.last_turn = now
            stream.taken = frame.looks
            stream.wants = Note.WANTS in frame.notes
            stream.last_packet = now
        if Note.END in frame.notes:
            self.forget(key)
        self.give()

    def looked(self, frames: Sequence[StreamFrame], seconds: float) -> None:
        """Take note that the network is done with frames, which took so long together."""
        self._count()
        self._look_s = _mean(self._look_s, seconds / max(self._in_network, 1))
        self._in_network -= len(frames)
        self._given -= sum(Note.CHOSEN in frame.notes for frame in frames)
        self.give()

    def forget(self, key: Hashable) -> None:
        """Forget a stream."""
        self._streams.pop(key, None)

    def give(self) -> None:
        """Allow looks while there is room."""
        now = self._clock()
        given = self._given + sum(
            stream.allowed is not None and now - stream.allowed < PAUSE_S
            for stream in self._streams.values()
        )
        room = max(self.limit - given, 0)
        if self._share is not None and not self._share.streams_may:
            room = 0
        wanting = [
            stream
            for stream in self._streams.values()
            if stream.wants and now - stream.last_packet < SILENT_S
        ]
        self._wanted = bool(wanting)
        waiting = [stream for stream in wanting if stream.allowed is None]
        waiting.sort(key=lambda stream: stream.last_turn)
        for stream in waiting[:room]:
            stream.allowed = stream.last_turn = now
            stream.memory[ALLOWED + stream.place] = stream.taken + 1
        room = max(room - len(waiting), 0)
        for memory in self._memories.values():
            memory[ROOM] = room


def _mean(before: float, new: float) -> float:
    return new if not before else FORGET * before + (1 - FORGET) * new
