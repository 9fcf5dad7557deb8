"""What the sequence parameter sets of H.264 and H.265 say of a stream's pictures.

Read before the decoder sees them: a size that is over a limit is refused in words, and what a
decoder will need of memory is known before it takes it.
"""

from __future__ import annotations

from dataclasses import dataclass

from contract import Codec

from bits import BitReader, EndOfBitsError, without_emulation_prevention
from nal_units import NalUnit

H265_VIDEO_SET = 32
# profile_idc of H.264 that tell of chroma format and bit depths: 7.3.2.1.1.
HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
# Samples of both chroma planes to a sample of luma, by chroma_format_idc.
CHROMA_SAMPLES = {0: 0.0, 1: 0.5, 2: 1.0, 3: 2.0}
# Width and height of a luma block to a chroma sample, likewise.
CHROMA_BLOCK = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
# Coded sizes are multiples of a block, up to this large; who crops more away hides a size.
LARGEST_BLOCK = 64
# Pictures that the standards let a decoder keep; the decoder's own, and the one in BGR.
MOST_PICTURES = 16
PICTURES_BESIDE = 3
BGR_BYTES = 3
# Of no use to anybody, and far over every level.
MOST_PIXELS_OF_SIDE = 2**16
# What is read of a set lies in its beginning; the longest part are H.264's scaling lists.
READ_BYTES = 2048


@dataclass(frozen=True)
class SequenceSet:
    """A sequence parameter set.

    Attributes:
        identity: its number; slices name it by way of a picture parameter set.
        width: of the pictures, pixels, as shown.
        height: likewise.
        memory_bytes: the most that a decoder keeps of such pictures.
        frame_num_bits: of ``frame_num`` in H.264's slices; 0 in H.265.
        gaps_allowed: whether H.264's encoder leaves out numbers; elsewhere a gap is a loss.
        separate_planes: whether each colour plane has slices of its own; H.264 only.
    """

    identity: int
    width: int
    height: int
    memory_bytes: int
    frame_num_bits: int = 0
    gaps_allowed: bool = False
    separate_planes: bool = False


class BadParameterSetError(ValueError):
    """A parameter set that cannot be read."""


def read_sequence_set(unit: NalUnit, codec: Codec) -> SequenceSet:
    """Read an SPS.

    Raises:
        BadParameterSetError: it is damaged.
    """
    try:
        reader = _reader(unit, codec)
        return _h264_sequence_set(reader) if codec is Codec.H264 else _h265_sequence_set(reader)
    except (EndOfBitsError, KeyError) as error:
        raise BadParameterSetError("the sequence parameter set is damaged") from error


def set_number(unit: NalUnit, codec: Codec) -> int:
    """Return the number of a PPS or VPS.

    Raises:
        BadParameterSetError: it is damaged.
    """
    try:
        reader = _reader(unit, codec)
        return reader.bits(4) if unit.type == H265_VIDEO_SET else reader.unsigned()
    except EndOfBitsError as error:
        raise BadParameterSetError("the parameter set is damaged") from error


def _reader(unit: NalUnit, codec: Codec) -> BitReader:
    header = 1 if codec is Codec.H264 else 2
    return BitReader(without_emulation_prevention(unit.data[header : header + READ_BYTES]))


def _h264_sequence_set(reader: BitReader) -> SequenceSet:
    profile = reader.bits(8)
    reader.skip(16)  # constraint flags, level
    identity = reader.unsigned()
    chroma, depth, separate = 1, 8, False
    if profile in HIGH_PROFILES:
        chroma = reader.unsigned()
        separate = chroma == 3 and reader.flag()
        depth = 8 + max(reader.unsigned(), reader.unsigned())
        reader.skip(1)
        if reader.flag():
            for index in range(8 if chroma != 3 else 12):
                if reader.flag():
                    _skip_scaling_list(reader, 16 if index < 6 else 64)
    frame_num_bits = 4 + reader.unsigned()
    _skip_picture_order(reader)
    references = reader.unsigned()
    gaps_allowed = reader.flag()
    columns, rows = 1 + reader.unsigned(), 1 + reader.unsigned()
    fields = 1 if reader.flag() else 2
    if fields == 2:
        reader.skip(1)
    reader.skip(1)
    coded = 16 * columns, 16 * rows * fields
    block = CHROMA_BLOCK[0 if separate else chroma]
    width, height = _shown(reader, coded, (block[0], block[1] * fields))
    if frame_num_bits > 16:
        raise EndOfBitsError("frame_num is too long")
    return SequenceSet(
        identity,
        width,
        height,
        _memory(coded, chroma, depth, references),
        frame_num_bits,
        gaps_allowed,
        separate,
    )


def _skip_scaling_list(reader: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + reader.signed()) % 256
        last = following or last


def _skip_picture_order(reader: BitReader) -> None:
    kind = reader.unsigned()
    if kind == 0:
        reader.unsigned()
    elif kind == 1:
        reader.skip(1)
        reader.signed()
        reader.signed()
        count = reader.unsigned()
        if count > 255:
            raise EndOfBitsError("too many offsets")
        for _ in range(count):
            reader.signed()


def _h265_sequence_set(reader: BitReader) -> SequenceSet:
    reader.skip(4)
    sub_layers = reader.bits(3)
    reader.skip(1)
    _skip_profile_tier_level(reader, sub_layers)
    identity = reader.unsigned()
    chroma = reader.unsigned()
    if chroma == 3:
        reader.skip(1)
    coded = reader.unsigned(), reader.unsigned()
    width, height = _shown(reader, coded, CHROMA_BLOCK[chroma])
    depth = 8 + max(reader.unsigned(), reader.unsigned())
    reader.unsigned()
    pictures = 0
    for _ in range(sub_layers + 1 if reader.flag() else 1):
        pictures = max(pictures, 1 + reader.unsigned())
        reader.unsigned()
        reader.unsigned()
    return SequenceSet(identity, width, height, _memory(coded, chroma, depth, pictures))


def _skip_profile_tier_level(reader: BitReader, sub_layers: int) -> None:
    reader.skip(96)
    present = [(reader.flag(), reader.flag()) for _ in range(sub_layers)]
    if sub_layers:
        reader.skip(2 * (8 - sub_layers))
    for profile, level in present:
        reader.skip(88 * profile + 8 * level)


def _shown(reader: BitReader, coded: tuple[int, int], block: tuple[int, int]) -> tuple[int, int]:
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


def _memory(coded: tuple[int, int], chroma: int, depth: int, pictures: int) -> int:
    pixels = coded[0] * coded[1]
    of_pixel = (1 + CHROMA_SAMPLES[chroma]) * (1 if depth <= 8 else 2)
    kept = min(pictures, MOST_PICTURES) + PICTURES_BESIDE
    return int(pixels * (of_pixel * kept + BGR_BYTES))
