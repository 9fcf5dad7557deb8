"""How much may leave: bits per second and frames in flight, learnt from the answers.

Latency says more, and sooner, than loss: a queue on the link or at the server makes answers late
long before anything is lost. So the delay above the smallest one seen lately is held near zero,
much as TCP Vegas does (Brakmo and Peterson, 1995) and as WebRTC's delay-based control does
(draft-ietf-rmcat-gcc). No I/O and no clock here: every method is told the time.
"""

from __future__ import annotations

from collections import deque

from thin_client.streaming.link import FAST_BITS_PER_S, Link

__all__ = ["LinkControl"]

# Answers later than the smallest by more than this many seconds have waited in a queue.
LATE_S = 0.06
# The smallest latency counts for so long: routes and servers change.
_BASELINE_S = 10.0
# Over which the rate of answers is counted; also the longest that a change goes unnoticed.
_WINDOW_S = 0.5
_DOWN_EVERY_S = 0.25
_DOWN = 0.8
# No step down goes below this share of what left lately: a server that pauses for a moment looks
# like a link that broke.
_LARGEST_STEP = 0.6
_CLEAN_BEFORE_UP_S = 2.0
# Up to where it was late the last time; beyond, steps begin small and grow, as whoever is at the
# limit is to notice that with few frames.
_UP_PER_S = 0.08
_STEP_BEYOND = 0.005
_BELOW_LIMIT = 0.9
_FLOOR_BITS_PER_S = 50_000.0


class LinkControl:
    """What a link and the server behind it can take at the moment.

    Args:
        link: as it was measured before the first frame.
        now: monotonic seconds.
        most_in_flight: frames that are never exceeded.

    Attributes:
        bits_per_s: what may leave on average.
        in_flight: frames that may be unanswered at a time, at least 1.
    """

    def __init__(self, link: Link, now: float, most_in_flight: int = 16) -> None:
        self.bits_per_s = link.bits_per_s
        self.in_flight = min(8, most_in_flight)
        self._most_in_flight = most_in_flight
        self._answers: deque[tuple[float, float, int]] = deque()  # answered, latency, bytes
        self._smallest: deque[tuple[float, float]] = deque()  # rising latencies and their times
        self._outstanding: deque[tuple[float, int]] = deque()
        self._left: deque[tuple[float, int]] = deque()
        self._changed = now
        self._late_at = now
        self._grown = now
        self._began = now
        self._limit = link.bits_per_s
        self._steps_beyond = 0

    def sent(self, now: float, size: int) -> None:
        """Count a frame of ``size`` bytes that leaves."""
        self._outstanding.append((now, size))
        self._left.append((now, size))

    def answered(self, now: float) -> None:
        """Count the answer to the oldest unanswered frame."""
        if not self._outstanding:
            return
        sent_at, size = self._outstanding.popleft()
        latency_s = now - sent_at
        self._answers.append((now, latency_s, size))
        # What the frame's own bytes take is no queue: a key frame is no congestion.
        self._remember(now, latency_s - self._own_s(size))
        self._in_flight_after(now, latency_s - self._own_s(size))
        self._forget(now)

    def lost(self) -> None:
        """Forget what will never be answered, as the connection is gone."""
        self._outstanding.clear()

    def has_room(self, size: int) -> bool:
        """Return whether a frame of ``size`` bytes may leave now."""
        if len(self._outstanding) >= self.in_flight:
            return False
        unanswered = sum(each for _, each in self._outstanding)
        room_s = self._baseline_s() + 2 * LATE_S
        # One frame always may, however large.
        return not unanswered or 8 * (unanswered + size) <= self.bits_per_s * room_s + 8 * size

    def update(self, now: float) -> float:
        """Look at the last answers and return ``bits_per_s``; call it several times a second."""
        self._forget(now)
        if self._is_late(now):
            self._late_at = now
            if now - self._changed >= _DOWN_EVERY_S:
                carried = self._carried(now)
                left = 8 * sum(size for _, size in self._left)
                lower = max(_DOWN * carried, _LARGEST_STEP * min(left, self.bits_per_s))
                self._limit, self._steps_beyond = carried or self._limit, 0
                self.bits_per_s = max(_FLOOR_BITS_PER_S, min(self.bits_per_s * _DOWN, lower))
                self._changed = now
        elif now - self._late_at >= _CLEAN_BEFORE_UP_S and now - self._changed >= 1.0:
            # Not far above what is in use: what nobody tried is not known to be there.
            if 2 * self._carried(now) > self.bits_per_s:
                self._step_up()
            self._changed = now
        return self.bits_per_s

    def _step_up(self) -> None:
        step = _UP_PER_S
        if self.bits_per_s > _BELOW_LIMIT * self._limit:
            self._steps_beyond += 1
            step = min(_UP_PER_S, _STEP_BEYOND * self._steps_beyond)
        self.bits_per_s = min(FAST_BITS_PER_S, self.bits_per_s * (1 + step))

    def _is_late(self, now: float) -> bool:
        limit = self._baseline_s() + LATE_S
        if self._outstanding:
            sent_at, size = self._outstanding[0]
            if now - sent_at > limit + self._own_s(size) + LATE_S:
                return True
        recent = [each for each in self._answers if now - each[0] <= _WINDOW_S / 2]
        # More than half of them: one late answer may be the server's own affair.
        late = sum(latency - self._own_s(size) > limit for _, latency, size in recent)
        return len(recent) >= 2 and 2 * late > len(recent)

    def _own_s(self, size: int) -> float:
        return 8 * size / self.bits_per_s

    def _baseline_s(self) -> float:
        return max(0.0, self._smallest[0][1]) if self._smallest else 0.25

    def _carried(self, now: float) -> float:
        """Return the bits per second that were answered lately."""
        window_s = min(_WINDOW_S, max(now - self._began, 1e-3))
        return 8 * sum(size for at, _, size in self._answers if now - at <= window_s) / window_s

    def _in_flight_after(self, now: float, latency_s: float) -> None:
        """Fewer at a time while answers are late, one more while they are not and it matters."""
        # Sooner than that the rate goes down, which costs no frames.
        late = latency_s > self._baseline_s() + 2 * LATE_S
        if late and now - self._grown >= latency_s / 2:
            self.in_flight = max(1, self.in_flight - 1)
            self._grown = now
        elif not late and len(self._outstanding) + 1 >= self.in_flight:
            self.in_flight = min(self._most_in_flight, self.in_flight + 1)

    def _remember(self, now: float, latency_s: float) -> None:
        while self._smallest and self._smallest[-1][1] >= latency_s:
            self._smallest.pop()
        self._smallest.append((now, latency_s))

    def _forget(self, now: float) -> None:
        while self._left and now - self._left[0][0] > 1.0:
            self._left.popleft()
        while self._answers and now - self._answers[0][0] > 1.0:
            self._answers.popleft()
        while len(self._smallest) > 1 and now - self._smallest[0][0] > _BASELINE_S:
            self._smallest.popleft()
