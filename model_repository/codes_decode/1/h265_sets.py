"""The parameter sets of H.265: 7.3.2.1 to 7.3.2.3."""

from __future__ import annotations

from dataclasses import dataclass

from bits import BitReader, EndOfBitsError
from parameter_sets import (
    CHROMA_BLOCK,
    MOST_PICTURES,
    BadParameterSetError,
    PictureSet,
    SequenceSet,
    bytes_of_pixel,
    payload_of,
    shown_size,
)

VIDEO_SET, SEQUENCE_SET, PICTURE_SET = 32, 33, 34
HEADER_BYTES = 2
MOST_VIDEO_SETS, MOST_SEQUENCE_SETS, MOST_PICTURE_SETS = 16, 16, 64
# libavcodec keeps tables of the order of blocks with every picture parameter set: four numbers for
# each block of, at the smallest, 16x16 pixels.
SET_BYTES, BLOCKS_OF_PIXEL, BLOCK_BYTES = 16 * 2**10, 1 / 256, 16


@dataclass(frozen=True, kw_only=True)
class H265SequenceSet(SequenceSet):
    """A sequence parameter set of H.265.

    Attributes:
        layered: whether pictures may have several temporal sub-layers.
        order_bits: of ``slice_pic_order_cnt_lsb``.
        separate_planes: whether each colour plane has slices of its own.
    """

    layered: bool
    order_bits: int
    separate_planes: bool


@dataclass(frozen=True, kw_only=True)
class H265PictureSet(PictureSet):
    """A picture parameter set of H.265, as far as the beginning of slices depends on it.

    Attributes:
        extra_bits: in the header of a slice.
        output_flag: whether slices tell of being shown.
    """

    extra_bits: int
    output_flag: bool


def read_video_set(data: bytes) -> int:
    """Return the number of a VPS.

    Raises:
        BadParameterSetError: it is damaged.
    """
    try:
        return payload_of(data, HEADER_BYTES).bits(4)
    except EndOfBitsError as error:
        raise BadParameterSetError("the video parameter set is damaged") from error


def read_sequence_set(data: bytes) -> H265SequenceSet:
    """Read an SPS.

    Args:
        data: of the NAL unit, header and all.

    Raises:
        BadParameterSetError: it is damaged.
    """
    try:
        return _sequence_set(payload_of(data, HEADER_BYTES))
    except (EndOfBitsError, KeyError) as error:
        raise BadParameterSetError("the sequence parameter set is damaged") from error


def read_picture_set(data: bytes) -> H265PictureSet:
    """Read a PPS.

    Args:
        data: of the NAL unit, header and all.

    Raises:
        BadParameterSetError: it is damaged.
    """
    reader = payload_of(data, HEADER_BYTES)
    try:
        identity, sequence = reader.unsigned(), reader.unsigned()
        reader.skip(1)  # dependent slices
        output_flag, extra_bits = reader.flag(), reader.bits(3)
    except EndOfBitsError as error:
        raise BadParameterSetError("the picture parameter set is damaged") from error
    if identity >= MOST_PICTURE_SETS or sequence >= MOST_SEQUENCE_SETS:
        raise BadParameterSetError("the picture parameter set is damaged")
    return H265PictureSet(
        identity=identity, sequence=sequence, extra_bits=extra_bits, output_flag=output_flag
    )


def _sequence_set(reader: BitReader) -> H265SequenceSet:
    parent = reader.bits(4)
    sub_layers = reader.bits(3)
    reader.skip(1)
    _skip_profile_tier_level(reader, sub_layers)
    identity = reader.unsigned()
    chroma = reader.unsigned()
    separate = chroma == 3 and reader.flag()
    coded = reader.unsigned(), reader.unsigned()
    width, height = shown_size(reader, coded, CHROMA_BLOCK[chroma])
    depth = 8 + max(reader.unsigned(), reader.unsigned())
    order_bits = 4 + reader.unsigned()
    pictures = reorder = 0
    for _ in range(sub_layers + 1 if reader.flag() else 1):
        pictures = max(pictures, 1 + reader.unsigned())
        reorder = max(reorder, reader.unsigned())
        reader.unsigned()
    if identity >= MOST_SEQUENCE_SETS or order_bits > 16:
        raise EndOfBitsError("a number is out of range")
    reorder = min(reorder, MOST_PICTURES)
    return H265SequenceSet(
        identity=identity,
        width=width,
        height=height,
        coded_pixels=coded[0] * coded[1],
        pixel_bytes=bytes_of_pixel(chroma, depth),
        kept=pictures,
        reorder=reorder,
        most_reorder=reorder,
        set_bytes=SET_BYTES + int(BLOCK_BYTES * BLOCKS_OF_PIXEL * coded[0] * coded[1]),
        parent=parent,
        layered=sub_layers > 0,
        order_bits=order_bits,
        separate_planes=separate,
    )


def _skip_profile_tier_level(reader: BitReader, sub_layers: int) -> None:
    reader.skip(96)
    present = [(reader.flag(), reader.flag()) for _ in range(sub_layers)]
    if sub_layers:
        reader.skip(2 * (8 - sub_layers))
    for profile, level in present:
        reader.skip(88 * profile + 8 * level)
