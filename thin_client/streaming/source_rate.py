"""How many frames a second a live source really gives.

Cameras say it wrongly, or not at all: many that speak RTSP do not, and then FFmpeg guesses. Packets
pass as they are, all or none, so where a person set a limit the rate has to be known before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

__all__ = ["measured_fps", "read_for_a_while"]

T = TypeVar("T")

# A rate that differs by less may be that which the source says: clocks of cameras are not even.
ABOUT = 1.05
# Of the source's time; of ours at most; and packets, as a live source may be a file of some server.
_ENOUGH_S, _MOST_S, _LEAST, _MOST = 1.0, 2.0, 10, 240
# What FFmpeg read to look at it comes all at once.
_READ_BEFORE_S = 0.25
# Clocks are set while a camera begins; a step so many times as long is no frame's.
_GAP = 3


def read_for_a_while(
    packets: Iterable[T], time_us: Callable[[T], int], clock: Callable[[], float] = time.monotonic
) -> list[T]:
    """Return what a source gives within about a second, and within two whatever it does.

    Args:
        packets: as they come.
        time_us: of one, microseconds.
        clock: seconds.
    """
    began = clock()
    found: list[T] = []
    for packet in packets:
        found.append(packet)
        enough = time_us(packet) - time_us(found[0]) >= 1e6 * _ENOUGH_S and len(found) >= _LEAST
        if enough or len(found) >= _MOST or clock() - began >= _MOST_S:
            break
    return found


def measured_fps(times_us: Sequence[int], said_fps: float, *, by_arrival: bool = False) -> float:
    """Return the rate of frames with these times; what the source says where that is about right.

    Args:
        times_us: going up.
        said_fps: frames per second, as the source says.
        by_arrival: they are when packets came, not when their frames were taken.
    """
    if by_arrival:
        times_us = [at for at in times_us if at - times_us[0] >= 1e6 * _READ_BEFORE_S]
    steps = [later - at for at, later in pairwise(times_us)]
    if not steps:
        return said_fps
    usual = statistics.median(steps)
    steps = [step for step in steps if step <= _GAP * usual]
    if not sum(steps):
        return said_fps
    found = 1e6 * len(steps) / sum(steps)
    return said_fps if said_fps / ABOUT <= found <= said_fps * ABOUT else found
