"""Sizes and limits are read from a stream's headers as a decoder reads them."""

from __future__ import annotations

from typing import Any

import av
import numpy as np
import pytest
from contract import Codec

from bits import BitReader, EndOfBitsError
from nal_units import Kind, NotAnnexBError, nal_units
from parameter_sets import BadParameterSetError, SequenceSet, read_sequence_set
from tests import videos


def sequence_set(codec: str, packet: bytes) -> SequenceSet:
    units = nal_units(packet, Codec(codec))
    (unit,) = [unit for unit in units if unit.kind is Kind.SEQUENCE_SET]
    return read_sequence_set(unit, Codec(codec))


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
    units = nal_units(packet, Codec(codec))
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
        nal_units(b"\0\0\1\x09" * 2000, Codec.H264)


class BitWriter:
    """Headers that no encoder writes."""

    def __init__(self) -> None:
        self._text = ""

    def bits(self, count: int, value: int) -> BitWriter:
        self._text += f"{value:0{count}b}"
        return self

    def unsigned(self, *values: int) -> BitWriter:
        for value in values:
            self._text += "0" * ((value + 1).bit_length() - 1) + f"{value + 1:b}"
        return self

    def data(self) -> bytes:
        padded = self._text + "1" + "0" * (-(len(self._text) + 1) % 8)
        return int(padded, 2).to_bytes(len(padded) // 8, "big")
