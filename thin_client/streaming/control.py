"""How much may leave: bits per second and frames in flight, learnt from delays.

Delay says more, and sooner, than loss: a queue makes answers late long before anything is lost. So
what exceeds the smallest delay seen lately is held near zero, much as TCP Vegas does (Brakmo and
Peterson, 1995) and WebRTC's delay-based control (draft-ietf-rmcat-gcc). Two delays tell the link
from the server: a ping that no model sees waits only on the link, and sets the bits per second; an
answer waits at the server too, and sets how many frames are in flight. Fewer bits would not help a
server that is slow. No I/O and no clock here: every method is told the time.
"""

from __future__ import annotations

from collections import deque

from thin_client.streaming.link import FAST_BITS_PER_S, Link

__all__ = ["LinkControl"]

# Later than the smallest by more than this many seconds has waited in a queue.
LATE_S = 0.06
# What an answer may wait for a look, in which packets go on leaving.
LOOK_S = 0.5
# The smallest delay counts for so long: routes and servers change.
_BASELINE_S = 10.0
# Over which the rate of answers is counted.
_WINDOW_S = 0.5
_PINGS = 3
# After so many steps down without a ping in time it is not our bytes that make them late: the route
# has become longer, or a machine is busy.
_STEPS_IN_VAIN = 4
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
        looks_spared: whether the server answers every packet and looks at as many frames as it can.
            Then an answer that is late waited for a look, which fewer in flight would not shorten:
            they would only make the packets behind it late. Only the link is controlled.

    Attributes:
        bits_per_s: what may leave on average.
        in_flight: frames that may be unanswered at a time, at least 1.
    """

    def __init__(
        self, link: Link, now: float, most_in_flight: int = 16, *, looks_spared: bool = False
    ) -> None:
        self.bits_per_s = link.bits_per_s
        self.in_flight = most_in_flight if looks_spared else min(8, most_in_flight)
        self._looks_spared = looks_spared
        self._most_in_flight = most_in_flight
        self._answers: deque[tuple[float, int]] = deque()  # answered, bytes
        self._latencies = _Smallest()
        self._round_trips = _Smallest()
        self._round_trips.add(now, link.rtt_s)
        self._alone = False
        self._pings: deque[tuple[bool, float]] = deque(maxlen=_PINGS)  # late, seconds
        self._in_vain = 0
        self._overslept: deque[tuple[float, float]] = deque()
        self._ping: tuple[float, float] | None = None  # sent, seconds that it may take
        self._outstanding: deque[tuple[float, int]] = deque()
        self._left: deque[tuple[float, int]] = deque()
        self._changed = now
        self._late_at = now
        self._was_late = False
        self._shrunk = now
        self._began = now
        self._limit = link.bits_per_s
        self._limit_before = self._limit
        self._steps_beyond = 0

    def sent(self, now: float, size: int) -> None:
        """Count a frame of ``size`` bytes that leaves."""
        waited_long = self._latencies.is_old and not self._looks_spared
        self._alone = self._alone or (waited_long and not self._outstanding)
        self._outstanding.append((now, size))
        self._left.append((now, size))

    def answered(self, now: float) -> None:
        """Count the answer to the oldest unanswered frame."""
        if not self._outstanding:
            return
        sent_at, size = self._outstanding.popleft()
        self._answers.append((now, size))
        # What the frame's own bytes take is no queue: a key frame is no congestion.
        latency_s = now - sent_at - self._own_s(size)
        if self._alone:
            # Nothing was before it: this is what an answer takes, whatever it took before.
            self._latencies.reset()
            self._alone = False
        self._latencies.add(now, latency_s)
        if not self._looks_spared:
            self._in_flight_after(now, latency_s)

    def pinged(self, now: float) -> None:
        """Count a ping that leaves; the next may only leave when this one is answered."""
        # It may come to stand behind one large frame, which is no queue.
        largest = max((size for _, size in self._outstanding), default=0)
        allowed_s = self._round_trips.smallest + LATE_S + self._own_s(largest)
        self._ping = now, allowed_s + 2 * self._busy_s(now)

    def ping_answered(self, now: float) -> None:
        """Count the answer to the ping."""
        if self._ping is not None:
            sent_at, allowed_s = self._ping
            self._ping = None
            self._round_trips.add(now, now - sent_at)
            late = now - sent_at > allowed_s
            self._pings.append((late, now - sent_at))
            self._in_vain = self._in_vain if late else 0

    @property
    def ping_is_out(self) -> bool:
        """Whether a ping is unanswered."""
        return self._ping is not None

    def link_was_late(self, now: float) -> bool:
        """Return whether the link was late within the last two seconds."""
        return self._was_late and now - self._late_at < _CLEAN_BEFORE_UP_S

    def overslept(self, now: float, late_s: float) -> None:
        """Count that this process was woken so much too late: its machine is busy, not the link."""
        self._overslept.append((now, late_s))

    def lost(self) -> None:
        """Forget what will never be answered, as the connection is gone."""
        self._outstanding.clear()
        self._pings.clear()
        self._ping, self._alone = None, False

    def has_room(self, size: int) -> bool:
        """Return whether a frame of ``size`` bytes may leave now."""
        waited_long = self._latencies.is_old and not self._looks_spared
        if self._outstanding and (self._alone or waited_long):
            # All answers of the last seconds may have waited for each other: let one go alone.
            return False
        if len(self._outstanding) >= self.in_flight:
            return False
        unanswered = sum(each for _, each in self._outstanding)
        room_s = self._latencies.smallest + (LOOK_S if self._looks_spared else 0) + 2 * LATE_S
        # One frame always may, however large.
        return not unanswered or 8 * (unanswered + size) <= self.bits_per_s * room_s + 8 * size

    def update(self, now: float) -> float:
        """Look at the last answers and return ``bits_per_s``; call it several times a second."""
        self._forget_bytes(now)
        if self._is_late(now):
            self._late_at, self._was_late = now, True
            if now - self._changed >= _DOWN_EVERY_S:
                carried = self._carried(now)
                left = 8 * sum(size for _, size in self._left)
                lower = max(_DOWN * carried, _LARGEST_STEP * min(left, self.bits_per_s))
                if not self._in_vain:
                    self._limit_before = self._limit
                self._limit, self._steps_beyond = carried or self._limit, 0
                self.bits_per_s = max(_FLOOR_BITS_PER_S, min(self.bits_per_s * _DOWN, lower))
                self._changed = now
                self._in_vain += 1
                if self._in_vain > _STEPS_IN_VAIN:
                    self._take_for_the_smallest(now)
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
        if self._ping is not None and now - self._ping[0] > self._ping[1] + LATE_S:
            return True
        # More than half of them: one may be late by chance.
        return 2 * sum(late for late, _ in self._pings) > _PINGS

    def _take_for_the_smallest(self, now: float) -> None:
        """Measure from the present round trip; should it become shorter, that counts at once."""
        if self._pings:
            shortest = min(took for _, took in self._pings)
            self._latencies.shift(max(0.0, shortest - self._round_trips.smallest))
            self._round_trips.reset()
            self._round_trips.add(now, shortest)
            self._pings.clear()
            self._limit = self._limit_before
        self._in_vain = 0

    def _busy_s(self, now: float) -> float:
        while self._overslept and now - self._overslept[0][0] > 1.0:
            self._overslept.popleft()
        return max((late_s for _, late_s in self._overslept), default=0.0)

    def _own_s(self, size: int) -> float:
        return 8 * size / self.bits_per_s

    def _carried(self, now: float) -> float:
        """Return the bits per second that were answered lately."""
        window_s = min(_WINDOW_S, max(now - self._began, 1e-3))
        return 8 * sum(size for at, size in self._answers if now - at <= window_s) / window_s

    def _in_flight_after(self, now: float, latency_s: float) -> None:
        """Fewer at a time while answers are late, one more while they are not and it matters."""
        smallest = self._latencies.smallest
        if latency_s > smallest + 2 * LATE_S:
            # Once a latency: what is on its way already is late whatever is done now.
            if now - self._shrunk >= latency_s:
                far = latency_s > 2 * smallest + 4 * LATE_S
                self.in_flight = max(1, self.in_flight // 2 if far else self.in_flight - 1)
                self._shrunk = now
        elif len(self._outstanding) + 1 >= self.in_flight:
            self.in_flight = min(self._most_in_flight, self.in_flight + 1)

    def _forget_bytes(self, now: float) -> None:
        for queue in (self._left, self._answers):
            while queue and now - queue[0][0] > 1.0:
                queue.popleft()


class _Smallest:
    """The smallest of the values of the last seconds."""

    def __init__(self) -> None:
        self._values: deque[tuple[float, float]] = deque()  # rising
        self._near = 0.0  # when a value was last near the smallest
        self._last = 0.0

    def add(self, now: float, value: float) -> None:
        while self._values and self._values[-1][1] >= value:
            self._values.pop()
        self._values.append((now, value))
        self._last = now
        if value <= 1.25 * self.smallest + LATE_S / 2:
            self._near = now
        while len(self._values) > 1 and now - self._values[0][0] > _BASELINE_S:
            self._values.popleft()

    def shift(self, more: float) -> None:
        self._values = deque((at, value + more) for at, value in self._values)

    def reset(self) -> None:
        self._values.clear()

    @property
    def is_old(self) -> bool:
        """Whether the values have stayed well above the smallest for seconds."""
        return bool(self._values) and self._last - self._near > _BASELINE_S / 2

    @property
    def smallest(self) -> float:
        # Before the first, what a link and a server are likely to take.
        return max(0.0, self._values[0][1]) if self._values else 0.25
