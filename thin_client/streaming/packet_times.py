"""The times of a container's packets, on our own clock, each different from the others."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Any

from thin_client.streaming.clock import SourceClock, Stamp

__all__ = ["PacketTimes"]

# AVFMT_TS_DISCONT of libavformat/avformat.h: timestamps may jump.
_MAY_JUMP = 0x0200
# AVI has one time for each packet, in the order in which they are decoded, which FFmpeg gives as
# that of showing too.
_WITHOUT_SHOWN_TIMES = ("avi",)
_REMEMBERED = 1024


class PacketTimes:
    """Times the packets of one video stream.

    Args:
        container: open.
        stream: of it.
        fps: frames per second.
        live: whether it is read as it comes.
        begin_us: time of its first frame.
    """

    def __init__(
        self, container: Any, stream: Any, *, fps: float, live: bool, begin_us: int
    ) -> None:
        self._time_base = stream.time_base
        self._without_shown_times = container.format.name in _WITHOUT_SHOWN_TIMES
        self._live = live
        # Whether packets have no times but those at which they arrive; None before the first.
        self._by_arrival: bool | None = None
        self._clock = SourceClock(
            step_us=round(1e6 / fps),
            may_jump=live or bool(int(container.format.flags) & _MAY_JUMP),
            start_us=self._microseconds(stream.start_time),
            begin_us=begin_us,
        )
        self._given: OrderedDict[int, bool] = OrderedDict()

    @property
    def last_us(self) -> int:
        """When the last packet was due."""
        return self._clock.last_us

    @property
    def by_arrival(self) -> bool:
        """Whether packets have no times but those at which they arrive."""
        return bool(self._by_arrival)

    def stamp(self, packet: Any) -> tuple[int, Stamp]:
        """Return a timestamp that no other packet of late has, and the packet's times.

        Answers are told apart by the first, which is ``frame_us`` where nothing else has that.
        """
        pts_us, dts_us = map(self._microseconds, (packet.pts, packet.dts))
        if self._without_shown_times:
            pts_us = None
        if self._by_arrival is None:
            self._by_arrival = self._live and pts_us is None and dts_us is None
        if self._by_arrival:
            dts_us = time.monotonic_ns() // 1000
        stamp = self._clock.stamp(pts_us, dts_us, self._microseconds(packet.duration) or 0)
        own_us = stamp.frame_us
        while own_us in self._given:
            own_us += 1
        self._given[own_us] = stamp.shown
        while len(self._given) > _REMEMBERED:
            self._given.popitem(last=False)
        return own_us, stamp

    def shown_us(self, own_us: int | None) -> int | None:
        """Return when the frame of a packet is shown; None where the source does not say."""
        return own_us if own_us is not None and self._given.get(own_us) else None

    def _microseconds(self, ticks: int | None) -> int | None:
        return None if ticks is None else round(ticks * self._time_base * 1_000_000)
