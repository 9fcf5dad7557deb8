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


def packet_counts(packets: Iterable[CountedPacket]) -> dict[Series, float]:
    """Return what to add for the packets of a batch."""
    found: Counter[tuple[str, str]] = Counter()
    size, decode_s = 0, 0.0
    for packet in packets:
        found[packet.codec, packet.status] += 1
        size += packet.size
        decode_s += packet.decode_s
    return {
        **{Series(PACKETS, values): count for values, count in found.items()},
        Series(PACKET_BYTES): size,
        Series(PACKET_SECONDS): decode_s,
    }
