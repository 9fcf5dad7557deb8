"""What must be known of a PNG before a parser looks at it, read from its chunks (ISO 15948, 5.3)."""

from __future__ import annotations

SIGNATURE_BYTES = 8
# Length, type and checksum of a chunk, around its data.
LENGTH_BYTES, TYPE_BYTES, CHECKSUM_BYTES = 4, 4, 4
IMAGE_DATA = b"IDAT"
# A camera or an editor writes about ten. A chunk of nothing takes 12 bytes, and Pillow, which reads
# the header, a microsecond of Python for each.
MAX_CHUNKS = 500


def has_too_many_chunks(data: bytes) -> bool:
    """Return whether more chunks than any program writes stand before a PNG's pixels."""
    position = SIGNATURE_BYTES
    for _ in range(MAX_CHUNKS):
        head = data[position : position + LENGTH_BYTES + TYPE_BYTES]
        if len(head) < LENGTH_BYTES + TYPE_BYTES or head[LENGTH_BYTES:] == IMAGE_DATA:
            return False
        position += len(head) + int.from_bytes(head[:LENGTH_BYTES], "big") + CHECKSUM_BYTES
    return True
