"""What must be known of a PNG before it is decoded, read from its chunks (ISO 15948, 5.3)."""

from __future__ import annotations

SIGNATURE_BYTES = 8
# Length and type stand before a chunk's data, a checksum behind it.
HEAD_BYTES, LENGTH_BYTES, CHECKSUM_BYTES = 8, 4, 4
IMAGE_DATA, END = b"IDAT", b"IEND"
# A camera or an editor writes about ten besides the pixels. A chunk of nothing takes 12 bytes, and
# Pillow, which reads the header, a microsecond of Python for each.
MAX_CHUNKS = 500
# Pixels come in pieces of 8 kB and more: those of the largest file are a few thousand.
MAX_PIECES = 2**17


def fault_of_chunks(data: bytes) -> str | None:
    """Return in words what is wrong with the chunks of a PNG, or None when a decoder may have it.

    1. There are more of them than any program writes.
    2. One claims to be longer than the file. OpenCV 4.11 sets aside what a chunk claims, up to
       4 GB, before it looks whether so much is there.
    3. It ends before its pixels. OpenCV looks for them beyond the end, where nothing was checked.
    """
    position, pieces, others = SIGNATURE_BYTES, 0, 0
    for _ in range(MAX_PIECES):
        head = data[position : position + HEAD_BYTES]
        if len(head) < HEAD_BYTES:
            return None  # cut off, which decoders notice
        kind = head[LENGTH_BYTES:]
        position += HEAD_BYTES + int.from_bytes(head[:LENGTH_BYTES], "big") + CHECKSUM_BYTES
        if position > len(data):
            return "a chunk is longer than the file"
        if kind == END:
            return None if pieces else "it ends before its pixels"
        pieces += kind == IMAGE_DATA
        others += kind != IMAGE_DATA
        if others > MAX_CHUNKS:
            break
    return "it has too many chunks"
