"""Sizes and limits are read from a stream's headers as a decoder reads them."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest
from contract import Codec

import h264_sets
import h265_sets
from bits import BitReader, EndOfBitsError
from nal_units import Kind, NotAnnexBError, nal_units
from parameter_sets import BadParameterSetError, SequenceSet
from tests import videos
from tests.bit_writer import BitWriter
from tests.h264_writer import Writer

READERS = {"h264": h264_sets.read_sequence_set, "h265": h265_sets.read_sequence_set}
MOST_PIXELS = 2**24


def sequence_set(codec: str, packet: bytes) -> SequenceSet:
    units = nal_units(packet, Codec(codec), MOST_PIXELS)
    (unit,) = [unit for unit in units if unit.kind is Kind.SEQUENCE_SET]
    return READERS[codec](unit.data)


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize("size", [(64, 64), (130, 98), (1920, 1080), (642, 482)])
def test_sizes_are_those_of_the_decoded_frame(
    codec: str, pix_fmt: str, size: tuple[int, int]
) -> None:
    picture = np.full((size[1], size[0], 3), 90, np.uint8)
    (packet,) = videos.encoded(codec, [picture], pix_fmt=pix_fmt)
    found = sequence_set(codec, packet)
    context: Any = av.CodecContext.create(videos.DECODERS[codec], "r")
    (frame,) = [*context.decode(av.Packet(packet)), *context.decode(None)]
    assert (found.width, found.height) == (frame.width, frame.height) == size


@pytest.mark.parametrize(
    "options",
    [
        {"x264-params": "interlaced=1"},
        {"profile": "high", "x264-params": "cqm=jvt"},
        {"profile": "baseline"},
        {"preset": "veryslow", "refs": "16", "level": "5.1"},
    ],
    ids=str,
)
def test_every_kind_of_h264_header_is_read(options: dict[str, str]) -> None:
    picture = np.full((244, 402, 3), 90, np.uint8)
    (packet,) = videos.encoded("h264", [picture], **options)
    found = sequence_set("h264", packet)
    assert (found.width, found.height) == (402, 244)


def test_memory_grows_with_size_and_references() -> None:
    def memory(side: int, references: int, pix_fmt: str = "yuv420p") -> int:
        picture = np.full((side, side, 3), 90, np.uint8)
        options = {"refs": str(references), "preset": "medium", "level": "5.1"}
        (packet,) = videos.encoded("h264", [picture], pix_fmt=pix_fmt, **options)
        return sequence_set("h264", packet).memory_bytes

    assert memory(128, 4) == 128 * 128 * (1.5 * (4 + 3) + 3)
    assert memory(256, 4) == 4 * memory(128, 4)
    assert memory(128, 16) == 128 * 128 * (1.5 * (16 + 3) + 3)
    assert memory(128, 4, "yuv444p10le") == 128 * 128 * (6 * (4 + 3) + 3)


def test_a_size_that_is_cropped_away_counts() -> None:
    writer = BitWriter()
    writer.bits(8, 66).bits(16, 30).unsigned(0, 0, 2, 1).bits(1, 0)
    # 4096 x 4096, of which all but 64 x 64 is cropped.
    writer.unsigned(255, 255).bits(3, 0b111).unsigned(0, 2016, 0, 2016).bits(2, 0b01)
    found = sequence_set("h264", b"\0\0\1\x67" + writer.data())
    assert (found.width, found.height) == (4096, 4096)


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("kept", [2, 3, 6])
def test_a_header_that_was_cut_is_damaged(codec: str, kept: int) -> None:
    picture = np.full((64, 64, 3), 90, np.uint8)
    (packet,) = videos.encoded(codec, [picture])
    units = nal_units(packet, Codec(codec), MOST_PIXELS)
    (unit,) = [unit for unit in units if unit.kind is Kind.SEQUENCE_SET]
    with pytest.raises(BadParameterSetError):
        sequence_set(codec, b"\0\0\1" + unit.data[:kept])


def test_codes_of_any_length_are_read_and_longer_ones_are_not() -> None:
    writer = BitWriter().unsigned(0, 1, 2, 7, 255, 2**31)
    reader = BitReader(writer.data())
    assert [reader.unsigned() for _ in range(6)] == [0, 1, 2, 7, 255, 2**31]
    signed = BitReader(BitWriter().unsigned(0, 1, 2, 3, 4).data())
    assert [signed.signed() for _ in range(5)] == [0, 1, -1, 2, -2]
    with pytest.raises(EndOfBitsError):
        BitReader(bytes(10)).unsigned()
    with pytest.raises(EndOfBitsError):
        BitReader(b"\1").bits(9)


def test_a_flood_of_units_is_no_access_unit() -> None:
    with pytest.raises(NotAnnexBError):
        nal_units(b"\0\0\1\x09" * 2000, Codec.H264, 640 * 480 // 4)


@pytest.mark.parametrize(
    ("b_frames", "parameters"),
    [
        (0, ""),
        (1, "b-adapt=0"),
        (3, "b-adapt=0:b-pyramid=normal"),
        (3, "b-adapt=0:b-pyramid=none:nal-hrd=cbr:filler=1:overscan=show:colorprim=bt709"),
        (3, "b-adapt=0:b-pyramid=strict:transfer=bt709:videoformat=pal:sar=4/3:chromaloc=1"),
    ],
)
def test_how_many_pictures_are_held_back_is_read_as_the_decoder_reads_it(
    b_frames: int, parameters: str
) -> None:
    pictures = [np.full((64, 64, 3), 9 * number, np.uint8) for number in range(12)]
    options = {"preset": "medium", "b": "200k", "maxrate": "200k", "bufsize": "200k"}
    packets = videos.encoded(
        "h264", pictures, b_frames=b_frames, **options, **{"x264-params": parameters}
    )
    context: Any = av.CodecContext.create("h264", "r")
    for packet in packets:
        context.decode(av.Packet(packet))
    found = sequence_set("h264", packets[0])
    assert found.reorder == found.most_reorder == context.reorder_depth
    assert (context.reorder_depth > 0) == (b_frames > 0)


def test_where_nothing_is_said_the_level_tells_how_many_may_be_held_back() -> None:
    def found(**options: Any) -> SequenceSet:
        return sequence_set("h264", Writer(**{"reorder": None, **options}).sets())

    # 32768 macroblocks of level 4.0, of pictures of 8160 and of 16; 16 pictures at the most.
    assert found(columns=120, rows=68).most_reorder == 4
    assert found().most_reorder == 16
    # An encoder that is wrong about its level keeps its references at least.
    assert found(columns=120, rows=68, level=10, references=3).most_reorder == 3
    # Here the standard says it.
    assert found(order_type=2).reorder == 0
    assert found().reorder is None
    assert found(reorder=3).reorder == 3


def test_a_set_whose_end_is_missing_says_nothing_of_its_use() -> None:
    whole = Writer(reorder=2).sequence_set()
    assert sequence_set("h264", whole).reorder == 2
    assert sequence_set("h264", whole[:-3] + b"\x80").reorder is None
