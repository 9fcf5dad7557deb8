"""What a link can carry, worked out from the answers to a few probes; no I/O here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FAST_BITS_PER_S", "Link", "round_trip_s", "sustained_bits_per_s"]

# More than this makes no difference to any plan, and a probe of bounded size cannot tell.
FAST_BITS_PER_S = 200e6

# What gets through before this share of the answers is the burst that a link lets pass at once.
_BURST_SHARE = 0.4


@dataclass(frozen=True)
class Link:
    """A link to a server as it was measured.

    Attributes:
        rtt_s: round trip of a call that carries nothing, seconds.
        bits_per_s: sustained, towards the server, bits per second.
    """

    rtt_s: float
    bits_per_s: float


def round_trip_s(times_s: Sequence[float]) -> float:
    """Return the round trip: the shortest, because everything that disturbs only adds."""
    return min(times_s)


def sustained_bits_per_s(began: float, answers: Sequence[tuple[float, int]]) -> float:
    """Return the sustained rate of a link, bits per second.

    The slope of bytes over time after the first answers: queues and token buckets let a burst
    through at once, and the round trip is in the first answer only.

    Args:
        began: when the first chunk was sent, seconds.
        answers: when each chunk was answered, seconds, and its bytes; in any order.
    """
    ordered = sorted(answers)
    first = int(len(ordered) * _BURST_SHARE)
    if len(ordered) - first < 3:
        first = -1  # too few to leave any out
    start = ordered[first][0] if first >= 0 else began
    carried = sum(size for _, size in ordered[first + 1 :])
    elapsed_s = ordered[-1][0] - start if ordered else 0.0
    if elapsed_s <= 0:
        return FAST_BITS_PER_S
    return min(FAST_BITS_PER_S, 8 * carried / elapsed_s)
