"""What the parameter sets of a stream say of its pictures, whichever standard they are of.

Read before the decoder sees them (h264_sets.py, h265_sets.py): a size that is over a limit is
refused in words, and what a decoder will need of memory is known before it takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from bits import BitReader, EndOfBitsError, without_emulation_prevention

# Samples of both chroma planes to a sample of luma, by chroma_format_idc.
CHROMA_SAMPLES = {0: 0.0, 1: 0.5, 2: 1.0, 3: 2.0}
# Width and height of a luma block to a chroma sample, likewise.
CHROMA_BLOCK = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
# Coded sizes are multiples of a block, up to this large; who crops more away hides a size.
LARGEST_BLOCK = 64
# Pictures that both standards let a decoder keep, at most.
MOST_PICTURES = 16
# Of the decoder beside what it keeps: the one it works on, one that is drawn, one for luck.
PICTURES_BESIDE = 3
BGR_BYTES = 3
# Of no use to anybody, and far over every level.
MOST_PIXELS_OF_SIDE = 2**16
# What is read of a set lies in its beginning; the longest part are H.264's scaling lists.
READ_BYTES = 2048


class BadParameterSetError(ValueError):
    """A parameter set that cannot be read."""


@dataclass(frozen=True, kw_only=True)
class SequenceSet:
    """A sequence parameter set.

    Attributes:
        identity: its number; slices name it by way of a picture parameter set.
        width: of the pictures, pixels, as shown.
        height: likewise.
        coded_pixels: of a picture.
        pixel_bytes: of a decoded pixel, all planes.
        kept: pictures that a decoder keeps for others to refer to.
        reorder: pictures that may come before one that is shown before them; None where the set
            does not say.
        most_reorder: the same, or the most that it may be where the set does not say.
        set_bytes: what the decoder keeps of each picture parameter set of such pictures.
        parent: number of the video parameter set, in H.265.
    """

    identity: int
    width: int
    height: int
    coded_pixels: int
    pixel_bytes: float
    kept: int
    reorder: int | None
    most_reorder: int
    set_bytes: int
    parent: int | None = None

    @property
    def memory_bytes(self) -> int:
        """Return the most that a decoder of such pictures takes, parameter sets aside."""
        frames = min(self.kept, MOST_PICTURES) + self.most_reorder + PICTURES_BESIDE
        return int(self.coded_pixels * (self.pixel_bytes * frames + BGR_BYTES))


@dataclass(frozen=True, kw_only=True)
class PictureSet:
    """A picture parameter set.

    Attributes:
        identity: its number, which slices name.
        sequence: number of its sequence parameter set.
    """

    identity: int
    sequence: int


def payload_of(data: bytes, header_bytes: int) -> BitReader:
    """Return the bits of a set behind its header."""
    return BitReader(
        without_emulation_prevention(data[header_bytes : header_bytes + READ_BYTES]),
    )


def shown_size(
    reader: BitReader, coded: tuple[int, int], block: tuple[int, int]
) -> tuple[int, int]:
    """Read what is cropped of a picture; return its width and height as shown.

    Args:
        reader: at the flag that says whether anything is.
        coded: width and height, pixels.
        block: width and height of a unit of cropping, pixels.

    Raises:
        EndOfBitsError: no picture is that large.
    """
    if not all(0 < side <= MOST_PIXELS_OF_SIDE for side in coded):
        raise EndOfBitsError("no picture is that large")
    if not reader.flag():
        return coded
    left, right, top, bottom = (reader.unsigned() for _ in range(4))
    width = coded[0] - block[0] * (left + right)
    height = coded[1] - block[1] * (top + bottom)
    if coded[0] - width >= LARGEST_BLOCK or coded[1] - height >= LARGEST_BLOCK:
        return coded
    return width, height


def bytes_of_pixel(chroma_format: int, depth: int) -> float:
    """Return the bytes of a decoded pixel.

    Raises:
        KeyError: there is no such ``chroma_format_idc``.
    """
    return (1 + CHROMA_SAMPLES[chroma_format]) * (1 if depth <= 8 else 2)
