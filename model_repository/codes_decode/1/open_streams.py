"""The streams that this process has open: how many, how much memory, since when silent."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from freed_memory import return_memory
from looks import EVERY_FRAME, Looks, LookSettings
from orientation import UPRIGHT, Orientation
from refusals import RefusedPacketError, StreamId
from stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    from contract import Codec
    from numpy.typing import NDArray

    from frames import FrameFormat

MIB = 2**20
# How often silent streams are looked for, as a part of the time that they may be silent.
LOOKS = 4
LONGEST_LOOK_S = 5.0
# Triton forgets a silent stream itself; ours is closed a little later, when it cannot come back.
GRACE_S = 1.0


@dataclass(frozen=True)
class StreamLimits:
    """What this process allows.

    Attributes:
        streams: open at once.
        memory_bytes: of all their decoders.
        idle_s: a stream without packets for longer is closed.
    """

    streams: int
    memory_bytes: int
    idle_s: float


class _Entry:
    def __init__(self, place: int) -> None:
        self.place = place
        self.stream: Stream | None = None
        self.memory_bytes = 0
        self.busy = False
        self.last_packet = 0.0


class OpenStreams:
    """The table of open streams; a thread closes those that are silent for too long.

    Args:
        limits: of this process.
        wanted: what frames are to be like.
        closed: called with how many streams were closed because they were silent.
        clock: seconds.
        memory: of this process, with a place for each stream that may be open, see
            :mod:`ticket_memory`; None where every frame is looked at.
    """

    def __init__(
        self,
        limits: StreamLimits,
        wanted: FrameFormat,
        closed: Callable[[int], None],
        clock: Callable[[], float] = time.monotonic,
        memory: NDArray[np.int64] | None = None,
    ) -> None:
        self._memory = memory
        self._places = list(range(limits.streams - 1, -1, -1))
        self._opened = 0
        self._limits = limits
        self._wanted = wanted
        self._closed = closed
        self._clock = clock
        self._entries: dict[StreamId, _Entry] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._reaper = threading.Thread(target=self._run, name="idle streams", daemon=True)
        self._reaper.start()

    def __len__(self) -> int:
        """Return how many are open."""
        return len(self._entries)

    @property
    def some_chosen(self) -> bool:
        """Whether a stream is open that has fewer looks than frames."""
        with self._lock:
            streams = [entry.stream for entry in self._entries.values()]
        return any(stream is not None and stream.looks.chosen for stream in streams)

    def open(
        self,
        name: StreamId,
        codec: Codec,
        orientation: Orientation = UPRIGHT,
        looks: LookSettings = EVERY_FRAME,
    ) -> None:
        """Open a stream; one of that name that is open begins anew.

        Raises:
            RefusedPacketError: as many are open as may be.
        """
        self.close(name)
        with self._lock:
            if len(self._entries) >= self._limits.streams:
                raise RefusedPacketError(
                    "this server has as many streams open as it may have: end one with "
                    "sequence_end, or build the pipeline with a larger --max-streams",
                    elsewhere=True,
                )
            entry = self._entries[name] = _Entry(self._places.pop())
            entry.last_packet = self._clock()
            self._opened += 1
            serial = self._opened
        entry.stream = Stream(
            codec,
            self._wanted,
            lambda size: self._reserve(entry, size),
            orientation,
            looks=Looks(looks, self._memory, entry.place),
            serial=serial,
        )

    @contextmanager
    def using(self, name: StreamId) -> Iterator[Stream]:
        """Lend a stream for one packet.

        Raises:
            RefusedPacketError: it is not open.
        """
        with self._lock:
            entry = self._entries.get(name)
            if entry is None or entry.stream is None:
                raise RefusedPacketError(
                    "the stream is not open: begin it with sequence_start (it is closed after "
                    f"{self._limits.idle_s:g} s without packets)"
                )
            entry.busy = True
        try:
            yield entry.stream
        finally:
            entry.last_packet = self._clock()
            entry.busy = False

    def close(self, name: StreamId) -> bool:
        """Close a stream; return whether it was open."""
        with self._lock:
            entry = self._entries.pop(name, None)
            if entry is not None:
                self._places.append(entry.place)
        if entry is not None and entry.stream is not None:
            entry.stream.close()
        return entry is not None

    def close_idle(self) -> int:
        """Close the streams that are silent for too long; return how many."""
        limit = self._clock() - self._limits.idle_s - GRACE_S
        with self._lock:
            silent = [
                name
                for name, entry in self._entries.items()
                if not entry.busy and entry.last_packet < limit
            ]
        for name in silent:
            self.close(name)
        return len(silent)

    def end(self) -> None:
        """Close all streams and end the thread."""
        self._ending.set()
        self._reaper.join()
        for name in list(self._entries):
            self.close(name)

    def _reserve(self, entry: _Entry, size: int) -> None:
        with self._lock:
            others = sum(each.memory_bytes for each in self._entries.values()) - entry.memory_bytes
            if others + size > self._limits.memory_bytes:
                raise RefusedPacketError(
                    f"the stream's decoder may need {size / MIB:.0f} MiB where "
                    f"{max(self._limits.memory_bytes - others, 0) / MIB:.0f} are left: end other "
                    "streams, or build the pipeline with a larger --max-stream-memory",
                    elsewhere=True,
                )
            entry.memory_bytes = size

    def _run(self) -> None:
        pause_s = min(self._limits.idle_s / LOOKS, LONGEST_LOOK_S)
        while not self._ending.wait(pause_s):
            if closed := self.close_idle():
                return_memory()
                self._closed(closed)
