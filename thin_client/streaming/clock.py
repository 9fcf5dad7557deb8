"""Frame times that go forward, made of the timestamps that sources have, or do not have.

A recorder's file, a broadcast that was cut, a camera that sets its clock: timestamps jump by hours
and back, wrap (33 bits in MPEG-TS), or are missing. No I/O and no clock of its own here; times are
microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LONGEST_STEP_US", "ShownTimes", "SourceClock", "Stamp"]

# A longer step than this is no frame that stays, but another clock; FFmpeg's -dts_delta_threshold.
LONGEST_STEP_US = 10_000_000
# Between when a frame is decoded and when it is shown, at the most.
_REORDERED_US = 2_000_000


@dataclass(frozen=True)
class Stamp:
    """The times of one packet.

    Attributes:
        due_us: when it is decoded; never before that of the packet before it.
        frame_us: when its frame is shown, where ``shown``; else about ``due_us``. Never before the
            clock began.
        shown: whether the source says when the frame is shown.
    """

    due_us: int
    frame_us: int
    shown: bool


class SourceClock:
    """Gives packets their times, in decoding order.

    Args:
        step_us: of a frame, by the source's rate; counts where its own duration is not known.
        may_jump: whether the source's clock may be set on the way, as in MPEG-TS and live; then a
            step forwards of more than ``LONGEST_STEP_US`` is taken for that. Elsewhere the file
            means it. A step back is never meant.
        start_us: of the source's first frame, on its clock; None where it is not known.
        begin_us: of that frame on ours.
    """

    def __init__(
        self, *, step_us: int, may_jump: bool, start_us: int | None = None, begin_us: int = 0
    ) -> None:
        self._nominal_us = self._step_us = step_us
        self._may_jump = may_jump
        self._start_us = start_us
        self._begin_us = begin_us
        self._offset_us: int | None = None
        self._last_us: int | None = None
        # Whether the last time of decoding was made up: the source's own may lie before it.
        self._estimated = False

    @property
    def last_us(self) -> int:
        """When the last packet was due."""
        return self._begin_us if self._last_us is None else self._last_us

    def stamp(self, pts_us: int | None, dts_us: int | None, duration_us: int = 0) -> Stamp:
        """Return the times of the next packet.

        Args:
            pts_us: when its frame is shown, on the source's clock; None where it does not say.
            dts_us: likewise, when it is decoded.
            duration_us: of its frame; 0 where it is not known.
        """
        step_us = self._step_us
        # A field takes half a frame's time. Far less is what FFmpeg says where it does not know.
        is_known = self._nominal_us <= 4 * duration_us <= 4 * LONGEST_STEP_US
        self._step_us = duration_us if is_known else self._nominal_us
        if pts_us is None and dts_us is None:
            due_us = self._begin_us if self._last_us is None else self._last_us + step_us
            self._last_us = due_us
            return Stamp(due_us, due_us, shown=False)
        given_us = self._expected_us(pts_us, step_us) if dts_us is None else dts_us
        offset_us = self._mended(given_us, pts_us, step_us, estimated=dts_us is None)
        due_us = given_us + offset_us
        self._last_us = due_us if self._last_us is None else max(due_us, self._last_us)
        far = dts_us is not None and pts_us is not None and abs(pts_us - dts_us) > LONGEST_STEP_US
        # What is shown before the first frame has no place on our clock.
        if pts_us is None or far:
            return Stamp(self._last_us, max(self._begin_us, self._last_us), shown=False)
        return Stamp(self._last_us, max(self._begin_us, pts_us + offset_us), shown=True)

    def _expected_us(self, pts_us: int | None, step_us: int) -> int:
        """Return when a packet is decoded of which only the time of showing is known."""
        assert pts_us is not None  # noqa: S101
        if self._offset_us is None:
            return pts_us
        next_us = self.last_us + step_us - self._offset_us
        if not next_us - _REORDERED_US <= pts_us <= next_us + LONGEST_STEP_US:
            return pts_us  # another clock
        return max(min(next_us, pts_us), pts_us - _REORDERED_US)

    def _mended(self, given_us: int, pts_us: int | None, step_us: int, *, estimated: bool) -> int:
        """Return what is to be added to the source's times, after a look at where it stands."""
        if self._offset_us is None:
            first_us = pts_us if pts_us is not None else given_us
            start_us = first_us if self._start_us is None else self._start_us
            if abs(start_us - given_us) > LONGEST_STEP_US:
                start_us = first_us
            self._offset_us = self.last_us - start_us
            self._estimated = estimated
            return self._offset_us
        last_us = self.last_us
        ahead_us = given_us + self._offset_us - last_us
        back_us = _REORDERED_US if estimated or self._estimated else step_us
        if ahead_us < -back_us or (self._may_jump and ahead_us > LONGEST_STEP_US):
            self._offset_us = last_us + step_us - given_us
        self._estimated = estimated or (self._estimated and ahead_us < 0)
        return self._offset_us


class ShownTimes:
    """Gives frames their times, in the order in which they are shown; those go up.

    Where a source says only when packets are decoded, a frame is shown as long after the packet
    that brought it out as the first frame was after its own: what libavcodec calls ``pkt_dts``.
    """

    def __init__(self) -> None:
        self._first_us: int | None = None
        self._delay_us: int | None = None
        self._due_us = 0
        self._step_us = self._packet_us = 0
        self._brought_us: int | None = None
        self._shown_us: int | None = None

    def broken(self) -> None:
        """Say that no frame will come of the packets so far, if none came yet."""
        if self._delay_us is None:
            self._first_us = None

    def decoded(self, due_us: int | None) -> None:
        """Say which packet has been decoded; None for one more frame of those that it held."""
        if due_us is None:
            self._due_us += self._step_us or self._packet_us
            return
        if self._first_us is None:
            self._first_us = due_us
        elif due_us > self._due_us:
            self._packet_us = due_us - self._due_us
        self._due_us = due_us

    def shown(self, frame_us: int | None) -> int:
        """Return the time of a frame that this packet brought out.

        Args:
            frame_us: as its source says; None where it does not.
        """
        if self._delay_us is None:
            self._delay_us = self._due_us - (self._first_us or 0)
        # From one frame to the next: of two packets, where those are fields.
        if self._brought_us is not None and self._due_us > self._brought_us:
            self._step_us = self._due_us - self._brought_us
        self._brought_us = self._due_us
        time_us = self._due_us - self._delay_us if frame_us is None else frame_us
        if self._shown_us is not None:
            time_us = max(time_us, self._shown_us + 1)
        self._shown_us = time_us
        return time_us
