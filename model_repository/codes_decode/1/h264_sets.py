"""The parameter sets of H.264: 7.3.2.1, 7.3.2.2 and annex E."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bits import BitReader, EndOfBitsError
from h264_usability import read_reorder
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
from refusals import UndecodableError

SEQUENCE_SET, PICTURE_SET = 7, 8
HEADER_BYTES = 1
BASELINE, EXTENDED = 66, 88
# profile_idc that tell of chroma format and bit depths: 7.3.2.1.1.
HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
# With constraint_set3_flag these have intra pictures alone, which are never reordered: E.2.1.
INTRA_PROFILES = frozenset({44, 86, 100, 110, 122, 244})
MOST_SEQUENCE_SETS, MOST_PICTURE_SETS = 32, 256
MOST_REFERENCES = 32
MOST_GROUPS = 8
MOST_OFFSETS = 255
DEPTHS = frozenset({8, 9, 10, 12, 14})
MACROBLOCK = 16
# MaxDpbMbs, macroblocks of all pictures that are kept, by level_idc: table A-1.
KEPT_MACROBLOCKS = {
    9: 396,
    10: 396,
    11: 900,
    12: 2376,
    13: 2376,
    20: 2376,
    21: 4752,
    22: 8100,
    30: 8100,
    31: 18000,
    32: 20480,
    40: 32768,
    41: 32768,
    42: 34816,
    50: 110400,
    51: 184320,
    52: 184320,
    60: 696320,
    61: 696320,
    62: 696320,
}
# libavcodec keeps two tables of every picture parameter set, ready to multiply with.
SET_BYTES = 176 * 2**10


@dataclass(frozen=True, kw_only=True)
class H264SequenceSet(SequenceSet):
    """A sequence parameter set of H.264.

    Attributes:
        profile: ``profile_idc``.
        frame_num_bits: of ``frame_num`` in slices.
        gaps_allowed: whether the encoder leaves out numbers; elsewhere a gap is a loss.
        has_chroma: whether slices tell of the weights of chroma (ChromaArrayType is not 0).
        frames_only: whether no picture is a field.
        order_type: ``pic_order_cnt_type``; of 0 has ``order_bits``, of 1 the rest.
        order_bits: of ``pic_order_cnt_lsb``.
        order_deltas: whether slices tell of differences in order.
        offset_non_reference: in order, of a picture that no other refers to.
        offset_bottom: in order, of a bottom field to its top field.
        offsets: in order, of each picture of a cycle that others refer to.
    """

    profile: int
    frame_num_bits: int
    gaps_allowed: bool
    has_chroma: bool
    frames_only: bool
    order_type: int
    order_bits: int = 0
    order_deltas: bool = False
    offset_non_reference: int = 0
    offset_bottom: int = 0
    offsets: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class H264PictureSet(PictureSet):
    """A picture parameter set of H.264, as far as headers of slices depend on it.

    Attributes:
        bottom_order: whether slices of frames tell of their bottom field's order.
        references: entries of each list of references where a slice does not say.
        weighted: whether P slices have weights.
        weighted_both: whether B slices have.
        redundant: whether slices tell of being redundant.
    """

    bottom_order: bool
    references: tuple[int, int]
    weighted: bool
    weighted_both: bool
    redundant: bool


def read_sequence_set(data: bytes) -> H264SequenceSet:
    """Read an SPS.

    Args:
        data: of the NAL unit, header and all.

    Raises:
        BadParameterSetError: it is damaged.
        UndecodableError: FFmpeg does not decode such pictures.
    """
    try:
        return _sequence_set(payload_of(data, HEADER_BYTES))
    except (EndOfBitsError, KeyError) as error:
        raise BadParameterSetError("the sequence parameter set is damaged") from error


def read_picture_set(data: bytes, sequences: dict[int, SequenceSet]) -> H264PictureSet:
    """Read a PPS.

    Args:
        data: of the NAL unit, header and all.
        sequences: that it may belong to.

    Raises:
        BadParameterSetError: it is damaged.
        UndecodableError: FFmpeg does not decode such pictures.
    """
    reader = payload_of(data, HEADER_BYTES)
    try:
        identity, sequence = reader.unsigned(), reader.unsigned()
        reader.skip(1)  # entropy coding
        bottom_order = reader.flag()
        groups = 1 + reader.unsigned()
        of = sequences.get(sequence)
        has_groups = isinstance(of, H264SequenceSet) and of.profile in {BASELINE, EXTENDED}
        if has_groups and 1 < groups <= MOST_GROUPS:
            raise UndecodableError(f"slices in {groups} groups (FMO)", "the Main or High profile")
        references = 1 + reader.unsigned(), 1 + reader.unsigned()
        weighted, weighted_both = reader.flag(), reader.bits(2) == 1
        for _ in range(3):
            reader.signed()  # quantisers
        reader.skip(2)
        redundant = reader.flag()
    except EndOfBitsError as error:
        raise BadParameterSetError("the picture parameter set is damaged") from error
    if (
        identity >= MOST_PICTURE_SETS
        or sequence >= MOST_SEQUENCE_SETS
        or groups > 1
        or max(references) > MOST_REFERENCES
    ):
        raise BadParameterSetError("the picture parameter set is damaged")
    return H264PictureSet(
        identity=identity,
        sequence=sequence,
        bottom_order=bottom_order,
        references=references,
        weighted=weighted,
        weighted_both=weighted_both,
        redundant=redundant,
    )


def _sequence_set(reader: BitReader) -> H264SequenceSet:
    profile, constraints, level = reader.bits(8), reader.bits(8), reader.bits(8)
    identity = reader.unsigned()
    chroma, depth, separate = 1, 8, False
    if profile in HIGH_PROFILES:
        chroma = reader.unsigned()
        separate = chroma == 3 and reader.flag()
        depths = 8 + reader.unsigned(), 8 + reader.unsigned()
        depth = depths[0]
        if separate:
            raise UndecodableError("separate colour planes", "4:2:0")
        if chroma and depths[0] != depths[1] and max(depths) <= max(DEPTHS):
            raise UndecodableError(f"{depths[0]} bits of luma and {depths[1]} of chroma", "8 bits")
        reader.skip(1)
        if reader.flag():
            for index in range(8 if chroma != 3 else 12):
                if reader.flag():
                    _skip_scaling_list(reader, 16 if index < 6 else 64)
    frame_num_bits = 4 + reader.unsigned()
    order = _picture_order(reader)
    references = reader.unsigned()
    gaps_allowed = reader.flag()
    columns, rows = 1 + reader.unsigned(), 1 + reader.unsigned()
    frames_only = reader.flag()
    fields = 1 if frames_only else 2
    if not frames_only:
        reader.skip(1)
    reader.skip(1)
    coded = MACROBLOCK * columns, MACROBLOCK * rows * fields
    block = CHROMA_BLOCK[chroma]
    width, height = shown_size(reader, coded, (block[0], block[1] * fields))
    if (
        identity >= MOST_SEQUENCE_SETS
        or frame_num_bits > 16
        or references > MOST_PICTURES
        or depth not in DEPTHS
    ):
        raise EndOfBitsError("a number is out of range")
    reorder = read_reorder(reader)
    if reorder is None and (
        order["order_type"] == 2 or (profile in INTRA_PROFILES and constraints & 0x10)
    ):
        reorder = 0
    kept = KEPT_MACROBLOCKS.get(level, 0) // (columns * rows * fields)
    return H264SequenceSet(
        identity=identity,
        width=width,
        height=height,
        coded_pixels=coded[0] * coded[1],
        pixel_bytes=bytes_of_pixel(chroma, depth),
        kept=references,
        reorder=reorder,
        # Who gets the level wrong keeps at least what others refer to.
        most_reorder=min(max(kept, references), MOST_PICTURES) if reorder is None else reorder,
        set_bytes=SET_BYTES,
        profile=profile,
        frame_num_bits=frame_num_bits,
        gaps_allowed=gaps_allowed,
        has_chroma=chroma != 0,
        frames_only=frames_only,
        **order,
    )


def _skip_scaling_list(reader: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + reader.signed()) % 256
        last = following or last


def _picture_order(reader: BitReader) -> dict[str, Any]:
    kind = reader.unsigned()
    if kind == 0:
        bits = 4 + reader.unsigned()
        if bits > 16:
            raise EndOfBitsError("pic_order_cnt_lsb is too long")
        return {"order_type": 0, "order_bits": bits}
    if kind == 2:
        return {"order_type": 2}
    if kind != 1:
        raise EndOfBitsError("there is no such type of order")
    deltas = not reader.flag()
    offset_non_reference, offset_bottom = reader.signed(), reader.signed()
    count = reader.unsigned()
    if count > MOST_OFFSETS:
        raise EndOfBitsError("too many offsets")
    return {
        "order_type": 1,
        "order_deltas": deltas,
        "offset_non_reference": offset_non_reference,
        "offset_bottom": offset_bottom,
        "offsets": tuple(reader.signed() for _ in range(count)),
    }
