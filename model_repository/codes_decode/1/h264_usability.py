"""What a sequence set of H.264 says of its use: the video usability information of E.1."""

from __future__ import annotations

from bits import BitReader, EndOfBitsError
from parameter_sets import MOST_PICTURES

EXTENDED_ASPECT_RATIO = 255
MOST_BUFFERS = 32


def read_reorder(reader: BitReader) -> int | None:
    """Return ``max_num_reorder_frames``; None where the sequence set does not say.

    Args:
        reader: at ``vui_parameters_present_flag``.
    """
    try:
        if not reader.flag():
            return None
        if reader.flag() and reader.bits(8) == EXTENDED_ASPECT_RATIO:
            reader.skip(32)
        if reader.flag():
            reader.skip(1)  # overscan
        if reader.flag():
            reader.skip(4)  # video format, full range
            if reader.flag():
                reader.skip(24)  # colours
        if reader.flag():
            reader.unsigned()  # places of chroma samples
            reader.unsigned()
        if reader.flag():
            reader.skip(65)  # timing
        buffers = [_skip_buffers(reader) for _ in range(2)]
        reader.skip(1 + any(buffers))
        if not reader.flag():
            return None
        reader.skip(1)
        for _ in range(4):
            reader.unsigned()
        reorder = reader.unsigned()
        reader.unsigned()
    except EndOfBitsError:
        # Some encoders write less than they announce. The decoder makes nothing of it either.
        return None
    return min(reorder, MOST_PICTURES)


def _skip_buffers(reader: BitReader) -> bool:
    """Pass over HRD parameters (E.1.2); return whether there were any."""
    if not reader.flag():
        return False
    count = 1 + reader.unsigned()
    if count > MOST_BUFFERS:
        raise EndOfBitsError("too many buffers")
    reader.skip(8)
    for _ in range(count):
        reader.unsigned()
        reader.unsigned()
        reader.skip(1)
    reader.skip(20)
    return True
