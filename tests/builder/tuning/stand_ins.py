"""Trials and measurements that nobody measured."""

from __future__ import annotations

from builder.settings import Decoder
from builder.tuning.parameters import Choice
from builder.tuning.trial import Held, Point, Trial, VariantTrial

CHOICE = Choice(decoder=Decoder.EXACT, instances=2, decode_threads=0, max_batch=16)
OTHER = Choice(decoder=Decoder.EXACT, instances=4, decode_threads=0, max_batch=16)


def point(
    images_per_s: float = 100, p99_ms: float = 50, in_flight: int = 4, cpu_ms: float | None = 20
) -> Point:
    return Point(in_flight, images_per_s, p99_ms / 2, p99_ms, cpu_ms)


def trial(
    *images_per_s: float,
    choice: Choice = CHOICE,
    p99_ms: float = 50,
    in_flight: int = 4,
    held: bool = True,
) -> Trial:
    """A trial of one variant; the throughputs are of one load."""
    points = tuple(point(each, p99_ms, in_flight) for each in images_per_s)
    return Trial(choice, (VariantTrial("tiny", points, Held(points) if held else None),))
