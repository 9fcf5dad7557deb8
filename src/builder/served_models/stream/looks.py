"""Which frames of a stream the network is to look at: what its client asked for.

Every frame, so many a second, or the newest whenever the network has room (``auto``). Who has room
the detect step says, through memory that the two steps share: a look that it has not allowed is not
taken, and no frame waits until it may be.
"""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from contract import DETECT_FPS, DETECT_FPS_AUTO, TRACK_PARAMETERS

from refusals import NO_TIMESTAMP, RefusedPacketError
from request_parameters import shown
from ticket_memory import ALLOWED, ROOM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

MICROSECONDS = 1e6
MOST_FPS = 1000.0
MOST_BUFFER, MOST_HITS = 10_000, 1000
NUMBER = re.compile(r"\s*(\d+(\.\d*)?|\.\d+)\s*", re.ASCII)
MAX_NUMBER_CHARACTERS = 24
# As ultralytics has them for ByteTrack, and as published.
DEFAULT_TRACKING = (0.25, 0.1, 30.0, 2.0)
# What PipelineSettings call which streams have a tracker.
TRACK_ALL, TRACK_OFF = "all", "off"


@dataclass(frozen=True)
class LookSettings:
    """What the request that begins a stream says.

    Attributes:
        fps: looks a second; infinite for ``auto``, None for every frame.
        tracking: scores of the two stages, buffer in frames, hits; None where nothing is said.
    """

    fps: float | None = None
    tracking: tuple[float, float, float, float] | None = None

    @property
    def asks_for_tracks(self) -> bool:
        """Whether the stream is tracked unless the pipeline tracks none."""
        return self.fps is not None or self.tracking is not None

    def tracked(self, track: str) -> bool:
        """Return whether it is, in a pipeline built with this setting."""
        return track == TRACK_ALL or (track != TRACK_OFF and self.asks_for_tracks)


EVERY_FRAME = LookSettings()


def read_looks(parameters: Mapping[str, object]) -> LookSettings:
    """Return what the request that begins a stream says, each value as a number or its text.

    Raises:
        RefusedPacketError: a value is none that there is.
    """
    given = [name in parameters for name in TRACK_PARAMETERS]
    high, low, buffer, hits = (
        parameters.get(name, default)
        for name, default in zip(TRACK_PARAMETERS, DEFAULT_TRACKING, strict=True)
    )
    name_high, name_low, name_buffer, name_hits = TRACK_PARAMETERS
    tracking = (
        _between(name_high, high, 0, 1),
        _between(name_low, low, 0, 1),
        _whole(name_buffer, buffer, 0, MOST_BUFFER),
        _whole(name_hits, hits, 1, MOST_HITS),
    )
    if tracking[1] > tracking[0]:
        raise RefusedPacketError(
            f"parameter {name_low} must not be above {name_high}, got {tracking[1]:g} and "
            f"{tracking[0]:g}"
        )
    return LookSettings(_fps(parameters.get(DETECT_FPS)), tracking if any(given) else None)


class Looks:
    """Decides for each frame of one stream; one thread at a time.

    Args:
        settings: of the stream.
        memory: of this process, see :mod:`ticket_memory`; None where every frame is looked at.
        place: of the stream in it.
        clock: seconds, for packets without timestamps.

    Attributes:
        settings: as given.
        taken: looks so far.
        wants: whether the next frame should be looked at.
        refused: whether the last one should have been, and there was no room.
    """

    def __init__(
        self,
        settings: LookSettings = EVERY_FRAME,
        memory: NDArray[np.int64] | None = None,
        place: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.place = place
        self.taken = 0
        self.wants = False
        self.refused = False
        self.settings = settings
        self._memory = memory
        self._clock = clock
        self._schedule = Schedule(settings.fps) if settings.fps else None
        self._began = False
        if memory is not None:
            memory[ALLOWED + place] = 0

    @property
    def chosen(self) -> bool:
        """Whether there are to be fewer looks than frames."""
        return self.settings.fps is not None

    def take(self, timestamp: int) -> bool:
        """Return whether the network is to look at the frame of this time, microseconds or -1."""
        if self._schedule is None:
            self.taken += 1
            return True
        now_us = self._clock() * MICROSECONDS if timestamp == NO_TIMESTAMP else float(timestamp)
        due = self._schedule.is_due(now_us)
        look = due and self._has_room()
        self._began = True
        self.refused = due and not look
        if look:
            self.taken += 1
            self._schedule.looked(now_us)
        self.wants = self._schedule.is_next_due(now_us)
        return look

    def _has_room(self) -> bool:
        assert self._memory is not None  # noqa: S101 - for all but every frame
        if self.taken < self._memory[ALLOWED + self.place]:
            return True
        # The detect step does not know the stream yet, and cannot allow anything.
        return not self._began and bool(self._memory[ROOM] > 0)


class Schedule:
    """When looks are due, of so many a second.

    Args:
        fps: of looks; infinite for as many as there are frames.
    """

    def __init__(self, fps: float) -> None:
        self._period_us = 0.0 if math.isinf(fps) else MICROSECONDS / fps
        self._next_us: float | None = None
        self._before_us: float | None = None
        self._gap_us = 0.0

    def is_due(self, now_us: float) -> bool:
        """Return whether the frame of this time is to be looked at."""
        if self._before_us is not None and now_us > self._before_us:
            self._gap_us = now_us - self._before_us
        went_back = self._before_us is not None and now_us < self._before_us - self._period_us
        self._before_us = now_us
        if self._next_us is None or went_back:
            self._next_us = now_us
        return now_us >= self._next_us - self._early_us

    def looked(self, now_us: float) -> None:
        """Have the next look due a period after this one was; late ones are not made up for."""
        assert self._next_us is not None  # noqa: S101 - is_due was called
        self._next_us += self._period_us
        if self._next_us <= now_us - self._early_us:
            self._next_us = now_us + self._period_us

    def is_next_due(self, now_us: float) -> bool:
        """Return whether the frame after that of this time will be due, as far as can be known."""
        assert self._next_us is not None  # noqa: S101 - is_due was called
        return now_us + self._gap_us >= self._next_us - self._early_us

    @property
    def _early_us(self) -> float:
        """How much earlier than due a frame is the nearest one."""
        return min(self._gap_us, self._period_us) / 2


def _fps(value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, str) and value.strip().lower() == DETECT_FPS_AUTO:
        return math.inf
    number = _number(value)
    if number is None or not 0 < number <= MOST_FPS:
        raise RefusedPacketError(
            f"parameter {DETECT_FPS} must be {DETECT_FPS_AUTO} or looks a second, more than 0 and "
            f"at most {MOST_FPS:g}, got {shown(value)}"
        )
    return number


def _between(name: str, value: object, lowest: float, highest: float) -> float:
    number = _number(value)
    if number is None or not lowest <= number <= highest:
        raise RefusedPacketError(
            f"parameter {name} must be between {lowest:g} and {highest:g}, got {shown(value)}"
        )
    return number


def _whole(name: str, value: object, lowest: int, highest: int) -> float:
    number = _number(value)
    if number is None or number != int(number) or not lowest <= number <= highest:
        raise RefusedPacketError(
            f"parameter {name} must be a whole number from {lowest} to {highest}, "
            f"got {shown(value)}"
        )
    return number


def _number(value: object) -> float | None:
    if isinstance(value, str):
        short = len(value) <= MAX_NUMBER_CHARACTERS
        return float(value) if short and NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # More than a float's is no number either.
    return float(value) if abs(value) < 2.0**63 and math.isfinite(value) else None
