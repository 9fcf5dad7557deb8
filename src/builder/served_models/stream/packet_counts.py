"""What a batch of packets adds to the metrics."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from metrics import Family, Series

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKETS = Family(
    "framewire_packets_total",
    "Packets of streams, by codec and what became of them",
    ("codec", "status"),
)
FRAMES = Family(
    "framewire_stream_frames_total",
    "Frames of streams, by whether they were given to the network",
    ("looked_at",),
)
PACKET_BYTES = Family("framewire_packet_bytes_total", "Bytes of the packets")
PACKET_SECONDS = Family(
    "framewire_packet_decode_seconds_total", "Time that threads spent decoding packets to pixels"
)
STREAMS_OPENED = Family("framewire_streams_opened_total", "Streams that were begun")
STREAMS_CLOSED = Family(
    "framewire_streams_closed_total", "Streams that were closed: ended, or silent", ("reason",)
)
PACKET_COUNTERS = (PACKET_BYTES, PACKET_SECONDS, STREAMS_OPENED)
UNKNOWN_CODEC = "unknown"


class CountedPacket(NamedTuple):
    """A packet that was looked at."""

    codec: str
    status: str
    size: int
    decode_s: float
    looked_at: bool | None = None
    """None where there is no frame."""


def packet_counts(packets: Iterable[CountedPacket]) -> dict[Series, float]:
    """Return what to add for the packets of a batch."""
    found: Counter[tuple[str, str]] = Counter()
    frames: Counter[str] = Counter()
    size, decode_s = 0, 0.0
    for packet in packets:
        found[packet.codec, packet.status] += 1
        if packet.looked_at is not None:
            frames["true" if packet.looked_at else "false"] += 1
        size += packet.size
        decode_s += packet.decode_s
    return {
        **{Series(PACKETS, values): count for values, count in found.items()},
        **{Series(FRAMES, (looked_at,)): count for looked_at, count in frames.items()},
        Series(PACKET_BYTES): size,
        Series(PACKET_SECONDS): decode_s,
    }
