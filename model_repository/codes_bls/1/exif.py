"""The orientation in an EXIF block (EXIF 2.32, 4.6; the blocks are laid out like TIFF 6.0).

Only the tag that is wanted is looked at: a block of 64 kB may say of five thousand tags that each
holds all of it, and whoever loads them sets aside hundreds of megabytes.
"""

from __future__ import annotations

# Stands before the block in a JPEG; some writers put it into other formats too.
EXIF_HEADER = b"Exif\x00\x00"
BYTE_ORDERS = {b"II*\x00": "little", b"MM\x00*": "big"}
ORIENTATION = 0x0112
# TIFF's types SHORT and LONG, and how many bytes they take.
WHOLE_NUMBERS = {3: 2, 4: 4}
ENTRY_BYTES, VALUE_OFFSET = 12, 8
UPRIGHT = 1


def orientation_of(block: bytes | None) -> int:
    """Return the orientation, 1 to 8; 1 where there is none or none that makes sense.

    Args:
        block: of a JPEG's APP1 segment, a PNG's eXIf chunk or a WebP's EXIF chunk.
    """
    if not block:
        return UPRIGHT
    if block.startswith(EXIF_HEADER):
        block = block[len(EXIF_HEADER) :]
    order = BYTE_ORDERS.get(block[:4])
    if order is None:
        return UPRIGHT

    def number(at: int, size: int) -> int:
        return int.from_bytes(block[at : at + size], order)  # type: ignore[arg-type]

    directory = number(4, 4)
    first = directory + 2
    last = min(first + ENTRY_BYTES * number(directory, 2), len(block) - ENTRY_BYTES + 1)
    for entry in range(first, last, ENTRY_BYTES):
        if number(entry, 2) == ORIENTATION:
            size = WHOLE_NUMBERS.get(number(entry + 2, 2), 0)
            value = number(entry + VALUE_OFFSET, size)
            return value if 1 <= value <= 8 else UPRIGHT
    return UPRIGHT
