"""How a stream is doing: the last seconds, and all of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Counts", "Meter", "StreamStatistics", "percentile"]

WINDOW_S = 5.0
# A stream may run for months.
_MOST_LATENCIES = 100_000


@dataclass(frozen=True)
class Counts:
    """What became of a stream's frames; see StreamStatistics."""

    sent: int = 0
    dropped: int = 0
    thinned_out: int = 0


@dataclass(frozen=True)
class StreamStatistics:
    """Numbers of a stream.

    Attributes:
        frames: answered with detections.
        sent: packets or JPEGs that left, those apart that were sent once more.
        dropped: frames that nobody wanted to lose: left out before they were sent, because they
            were late; damaged; or lost with a connection or a decoder.
        thinned_out: frames that were left out so that no more a second are sent than are wanted,
            or than the link carries.
        looked_at: of the frames, those that the network saw; the boxes of the others are the
            tracker's, or there are none.
        frames_per_s: answered.
        looked_at_per_s: likewise, and looked at.
        dropped_per_s: frames.
        latency_p50_ms: from when the source gave a frame to its boxes; None before the first.
        latency_p95_ms: likewise.
        bytes_per_s: of packets or JPEGs that left.
        bytes: in all.
        elapsed_s: since the first frame left.
    """

    frames: int
    sent: int
    dropped: int
    thinned_out: int
    looked_at: int
    frames_per_s: float
    looked_at_per_s: float
    dropped_per_s: float
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    bytes_per_s: float
    bytes: int
    elapsed_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON types."""
        return {
            name: round(value, 2) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }

    def text(self) -> str:
        """Return the numbers as a line for a person."""
        latency = (
            "no answer yet"
            if self.latency_p50_ms is None
            else f"latency p50 {self.latency_p50_ms:.0f} p95 {self.latency_p95_ms:.0f} ms"
        )
        return (
            f"{self.frames} frames  answered {self.frames_per_s:.1f}/s, looked at"
            f" {self.looked_at_per_s:.1f}/s, dropped {self.dropped_per_s:.1f}/s  {latency}"
            f"  {self.bytes_per_s / 1e3:.0f} KB/s  {self.sent} sent, {self.dropped} dropped,"
            f" {self.thinned_out} thinned out"
        )


class Meter:
    """Counts what leaves and what is answered; told the time, as it has no clock."""

    def __init__(self) -> None:
        self._answers: deque[tuple[float, float, bool]] = deque()  # at, latency, looked at
        self._dropped: deque[tuple[float, int]] = deque()  # at, how many more
        self._dropped_in_all = 0
        self._looked_at = 0
        self._sent: deque[tuple[float, float]] = deque()
        self._latencies_s: deque[float] = deque(maxlen=_MOST_LATENCIES)
        self._frames = 0
        self._bytes = 0
        self._first: float | None = None
        self._last_sent = 0.0
        self._first_answer: float | None = None
        self._last: float | None = None

    def sent(self, now: float, size: int) -> None:
        """Count a packet of ``size`` bytes."""
        self._first = now if self._first is None else self._first
        self._last_sent = now
        self._sent.append((now, size))
        self._forget(now)
        self._bytes += size

    def dropped(self, now: float, in_all: int) -> None:
        """Take how many frames have been dropped by now."""
        if in_all != self._dropped_in_all:
            self._dropped.append((now, in_all - self._dropped_in_all))
            self._dropped_in_all = in_all
            self._forget(now)

    def answered(self, now: float, latency_s: float, *, looked_at: bool = True) -> None:
        """Count a frame that came back after ``latency_s``."""
        self._frames += 1
        self._looked_at += looked_at
        self._first_answer = now if self._first_answer is None else self._first_answer
        self._last = now
        self._answers.append((now, latency_s, looked_at))
        self._forget(now)
        self._latencies_s.append(latency_s)

    def recent(self, now: float, counts: Counts) -> StreamStatistics:
        """Return the numbers of the last five seconds; frames, bytes and counts are of all."""
        self.dropped(now, counts.dropped)
        self._forget(now)
        elapsed_s = 0.0 if self._first is None else now - self._first
        span_s = max(1e-3, min(WINDOW_S, elapsed_s))
        return StreamStatistics(
            frames=self._frames,
            **asdict(counts),
            looked_at=self._looked_at,
            frames_per_s=len(self._answers) / span_s,
            looked_at_per_s=sum(looked_at for *_, looked_at in self._answers) / span_s,
            dropped_per_s=sum(more for _, more in self._dropped) / span_s,
            latency_p50_ms=_ms([latency for _, latency, _ in self._answers], 0.5),
            latency_p95_ms=_ms([latency for _, latency, _ in self._answers], 0.95),
            bytes_per_s=sum(size for _, size in self._sent) / span_s,
            bytes=self._bytes,
            elapsed_s=elapsed_s,
        )

    def whole(self, counts: Counts) -> StreamStatistics:
        """Return the numbers from the first frame that left to the last answer."""
        elapsed_s = 0.0 if self._first is None or self._last is None else self._last - self._first
        span_s = max(1e-3, elapsed_s)
        frames_per_s = self._answers_per_s(span_s)
        return StreamStatistics(
            frames=self._frames,
            **asdict(counts),
            looked_at=self._looked_at,
            frames_per_s=frames_per_s,
            looked_at_per_s=frames_per_s * self._looked_at / max(1, self._frames),
            dropped_per_s=counts.dropped / span_s,
            latency_p50_ms=_ms(self._latencies_s, 0.5),
            latency_p95_ms=_ms(self._latencies_s, 0.95),
            bytes_per_s=self._bytes / span_s,
            bytes=self._bytes,
            elapsed_s=elapsed_s,
        )

    def _forget(self, now: float) -> None:
        """Forget what is older than ``recent`` tells of; nobody may ever ask for that."""
        while self._answers and now - self._answers[0][0] > WINDOW_S:
            self._answers.popleft()
        while self._sent and now - self._sent[0][0] > WINDOW_S:
            self._sent.popleft()
        while self._dropped and now - self._dropped[0][0] > WINDOW_S:
            self._dropped.popleft()

    def _answers_per_s(self, span_s: float) -> float:
        if self._first_answer is None or self._last is None or self._last <= self._first_answer:
            return self._frames / span_s
        # Answers that wait for the first one come in a bunch; what left tells the pace then.
        sending_s = self._last_sent - (self._first or 0.0)
        return (self._frames - 1) / max(sending_s, self._last - self._first_answer)


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that ``share`` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _ms(values_s: Collection[float], share: float) -> float | None:
    return 1e3 * percentile(values_s, share) if values_s else None
