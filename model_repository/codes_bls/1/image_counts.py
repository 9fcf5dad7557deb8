"""What a batch of images adds to the metrics."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from frames import UNKNOWN_FORMAT, LoadedFrame
from metrics import Family, Series

if TYPE_CHECKING:
    from collections.abc import Iterable

IMAGES = Family(
    "framewire_images_total",
    "Images that were looked at, by format and what became of them",
    ("format", "status"),
)
IMAGE_BYTES = Family("framewire_image_bytes_total", "Bytes of the images' files")
SOURCE_PIXELS = Family("framewire_source_pixels_total", "Pixels of the images that were read")
DECODE_SECONDS = Family(
    "framewire_decode_seconds_total", "Time that threads spent decoding, from bytes to pixels"
)
IMAGE_COUNTERS = (IMAGE_BYTES, SOURCE_PIXELS, DECODE_SECONDS)

# The status of an image that a fault of ours kept from being read.
FAILED = "failed"


def image_counts(loaded: Iterable[LoadedFrame | Exception]) -> dict[Series, float]:
    """Return what to add for the images of a batch."""
    images: Counter[tuple[str, str]] = Counter()
    size, pixels, decode_s = 0, 0, 0.0
    for frame in loaded:
        if isinstance(frame, Exception):
            images[UNKNOWN_FORMAT, FAILED] += 1
            continue
        images[frame.file_format, frame.status.name.lower()] += 1
        size += frame.file_bytes
        pixels += frame.size[0] * frame.size[1]
        decode_s += frame.decode_s
    return {
        **{Series(IMAGES, values): count for values, count in images.items()},
        Series(IMAGE_BYTES): size,
        Series(SOURCE_PIXELS): pixels,
        Series(DECODE_SECONDS): decode_s,
    }
