"""A generated image, and how fast a server answers it."""

from __future__ import annotations

import struct
import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

__all__ = ["LatencySummary", "dummy_image", "summarize"]


def dummy_image(width: int, height: int) -> bytes:
    """Return a PNG, 8-bit RGB, of a smooth gradient; made without any image library."""
    x = np.linspace(0, 255, width, dtype=np.uint8)[None, :]
    y = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = x, y, 127
    # Every row of a PNG begins with its filter; 0 is none.
    rows = np.zeros((height, 1 + width * 3), np.uint8)
    rows[:, 1:] = pixels.reshape(height, width * 3)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows.tobytes()))
        + _chunk(b"IEND", b"")
    )


@dataclass(frozen=True)
class LatencySummary:
    """How fast requests were answered.

    Attributes:
        images: number of answered requests, one image each.
        images_per_s: over the whole time, with the requests that were in flight together.
        mean_ms: time of one request as the client sees it.
        p50_ms: half of the requests were faster.
        p90_ms: nine in ten were.
        p99_ms: 99 in 100 were.
        max_ms: the slowest.
    """

    images: int
    images_per_s: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as JSON types."""
        return asdict(self)


def summarize(latencies_s: list[float], wall_s: float) -> LatencySummary:
    """Return the summary of at least one latency; ``wall_s`` is from the first send to the end."""
    latencies_ms = np.asarray(latencies_s) * 1000
    p50, p90, p99 = np.percentile(latencies_ms, [50, 90, 99])
    return LatencySummary(
        images=len(latencies_s),
        images_per_s=round(len(latencies_s) / wall_s, 1),
        mean_ms=round(float(latencies_ms.mean()), 2),
        p50_ms=round(float(p50), 2),
        p90_ms=round(float(p90), 2),
        p99_ms=round(float(p99), 2),
        max_ms=round(float(latencies_ms.max()), 2),
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
