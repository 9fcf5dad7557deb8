"""One source of many: opened, streamed, opened again, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from thin_client.errors import (
    AccessDenied,
    AmbiguousPipeline,
    ContractMismatch,
    DetectorClosed,
    FramewireError,
    InvalidRequestParameter,
    PipelineNotFound,
    PyAVMissing,
    ServerUnreachable,
    SourceUnreadable,
)
from thin_client.streaming.many.names import NamedSource
from thin_client.streaming.meter import StreamStatistics
from thin_client.streaming.state import State
from thin_client.streaming.stream import StreamResult, VideoStream

__all__ = ["FATAL", "Feed", "Totals"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0
# What is no source's fault, and no better with another one.
FATAL = (
    AccessDenied,
    AmbiguousPipeline,
    ContractMismatch,
    DetectorClosed,
    InvalidRequestParameter,
    PipelineNotFound,
    PyAVMissing,
)


@dataclass(frozen=True)
class Totals:
    """What a source has come to since it was added; see StreamStatistics for each."""

    frames: int = 0
    looked_at: int = 0
    sent: int = 0
    dropped: int = 0
    thinned_out: int = 0
    bytes: int = 0

    def plus(self, statistics: StreamStatistics) -> Totals:
        """Return these and those of one more stream."""
        return Totals(
            **{
                each.name: getattr(self, each.name) + getattr(statistics, each.name)
                for each in fields(self)
            }
        )


class Feed:
    """Keeps one source going until it is over or is not wanted any more.

    A live source that cannot be opened, or that the server refuses, is tried again, with pauses
    that double up to ten seconds; a file is not.

    Args:
        source: what to stream.
        open_stream: opens it; raises FramewireError.
        take: called with each result, in this source's thread; returns whether more are wanted.
        told: called when the state has become another.
        fatal: called with an error of FATAL, which ends this source.
        give_up_s: how long the server may be away.
    """

    def __init__(
        self,
        source: NamedSource,
        *,
        open_stream: Callable[[Feed], VideoStream],
        take: Callable[[Feed, VideoStream, StreamResult], bool],
        told: Callable[[Feed], None],
        fatal: Callable[[FramewireError], None],
        give_up_s: float,
    ) -> None:
        self._give_up_s = give_up_s
        self.source = source
        self._open_stream = open_stream
        self._take = take
        self._told = told
        self._fatal = fatal
        self._lock = threading.Lock()
        self._state, self._reason = State.OPENING, ""
        self._told_state: State | None = None
        self._past = Totals()
        self._stream: VideoStream | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"framewire-{source.name}", daemon=True
        )

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Have it end; returns at once."""
        self._stopped.set()
        with self._lock:
            if self._stream is not None:
                self._stream.stop()

    def join(self, timeout_s: float) -> None:
        """Wait until it has ended."""
        self._thread.join(timeout_s)

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self._state in (State.ENDED, State.FAILED, State.REMOVED)

    @property
    def state(self) -> tuple[State, str]:
        """How it is, and why where it does not go on."""
        with self._lock:
            stream, state, reason = self._stream, self._state, self._reason
        if state is State.STREAMING and stream is not None:
            return stream.state
        return state, reason

    @property
    def totals(self) -> Totals:
        """What it has come to."""
        with self._lock:
            stream, past = self._stream, self._past
        return past if stream is None else past.plus(stream.statistics())

    def recent(self) -> StreamStatistics | None:
        """Return the numbers of the last seconds; None while there is no stream."""
        with self._lock:
            stream = self._stream
        return None if stream is None else stream.statistics()

    def look(self) -> None:
        """Tell of a state that has become another by itself: a source stalls, and says nothing."""
        now, _ = self.state
        with self._lock:
            known, self._told_state = self._told_state, now
        if known is not now:
            self._told(self)

    def _become(self, state: State, reason: str = "") -> None:
        with self._lock:
            self._state, self._reason = state, reason
        self.look()

    def _run(self) -> None:
        pause_s, answered_at = _FIRST_PAUSE_S, time.monotonic()
        self.look()
        while not self._stopped.is_set():
            taken = 0
            try:
                taken, wanted = self._stream_once()
            except FramewireError as error:
                if not isinstance(error, ServerUnreachable):
                    answered_at = time.monotonic()
                # A stream has waited for the server by itself; one that is opened has not.
                if isinstance(error, FATAL) or time.monotonic() - answered_at > self._give_up_s:
                    if not self._stopped.is_set():
                        self._become(State.FAILED, str(error))
                        self._fatal(error)
                    break
                if isinstance(error, SourceUnreadable) and "://" not in self.source.address:
                    self._become(State.FAILED, str(error))
                    return
                self._become(State.WAITING, str(error))
            else:
                if not self._stopped.is_set() or not wanted:
                    self._become(State.ENDED)
                    return
                answered_at = time.monotonic()
            pause_s = _FIRST_PAUSE_S if taken else min(_LONGEST_PAUSE_S, 2 * pause_s)
            self._stopped.wait(pause_s)
        if self._state is not State.FAILED:
            self._become(State.REMOVED)

    def _stream_once(self) -> tuple[int, bool]:
        """Stream until it is over; return the results so far, and whether more were wanted."""
        stream, taken = self._open_stream(self), 0
        with self._lock:
            self._stream = stream
        try:
            if self._stopped.is_set():
                return taken, True
            self._become(State.STREAMING)
            for result in stream:
                taken += 1
                if not self._take(self, stream, result):
                    return taken, False
            return taken, True
        finally:
            with self._lock:
                self._past = self._past.plus(stream.statistics())
                self._stream = None
            stream.close()
