"""What an access unit in Annex B holds: its NAL units, and what their headers say."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from contract import Codec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

START_CODE = b"\0\0\1"
# Beside those of the picture itself, which may be as many as it has blocks.
MOST_OTHER_UNITS = 1024
PIXELS_OF_BLOCK = 256


class Kind(enum.Enum):
    """What a NAL unit is, as far as a stream must know."""

    KEY_SLICE = enum.auto()
    """Of a picture at which decoding can begin."""
    SLICE = enum.auto()
    """Of any other picture."""
    PARTITION = enum.auto()
    """Of a picture in data partitions; H.264 only."""
    VIDEO_SET = enum.auto()
    """VPS; H.265 only."""
    SEQUENCE_SET = enum.auto()
    """SPS."""
    PICTURE_SET = enum.auto()
    """PPS."""
    SUPPLEMENT = enum.auto()
    """SEI."""
    END = enum.auto()
    """Of a sequence: what follows does not refer to anything before."""
    OTHER = enum.auto()


SLICES = frozenset({Kind.KEY_SLICE, Kind.SLICE})


@dataclass(frozen=True)
class NalUnit:
    """One NAL unit.

    Attributes:
        type: ``nal_unit_type`` of its standard.
        kind: what that means.
        data: header and payload, without a start code.
        reference: whether later pictures may refer to it; H.264 only.
    """

    type: int
    kind: Kind
    data: bytes
    reference: bool = False


# nal_unit_type: table 7-1 of H.264, table 7-1 of H.265. Key pictures of H.265 are IDR, CRA and BLA.
H264_KINDS = {
    1: Kind.SLICE,
    **dict.fromkeys((2, 3, 4), Kind.PARTITION),
    5: Kind.KEY_SLICE,
    6: Kind.SUPPLEMENT,
    7: Kind.SEQUENCE_SET,
    8: Kind.PICTURE_SET,
    **dict.fromkeys((10, 11), Kind.END),
}
H265_KINDS = {
    **dict.fromkeys(range(10), Kind.SLICE),
    **dict.fromkeys(range(16, 22), Kind.KEY_SLICE),
    32: Kind.VIDEO_SET,
    33: Kind.SEQUENCE_SET,
    34: Kind.PICTURE_SET,
    **dict.fromkeys((36, 37), Kind.END),
    39: Kind.SUPPLEMENT,
}


class NotAnnexBError(ValueError):
    """The bytes are no access unit in Annex B."""


def nal_units(packet: bytes, codec: Codec, most_pixels: int) -> list[NalUnit]:
    """Return the NAL units of an access unit; those of further layers of H.265 are left out.

    Args:
        packet: the access unit.
        codec: of the stream.
        most_pixels: that its picture may have.

    Raises:
        NotAnnexBError: it does not begin with a start code, or has more units than any picture.
    """
    units = []
    most = MOST_OTHER_UNITS + most_pixels // PIXELS_OF_BLOCK
    for number, data in enumerate(_split(packet)):
        # Those of further layers count too: a packet may hold millions of them.
        if number >= most:
            raise NotAnnexBError("it has too many NAL units")
        unit = _h264_unit(data) if codec is Codec.H264 else _h265_unit(data)
        if unit is not None:
            units.append(unit)
    return units


def annex_b(units: Iterable[NalUnit], behind_slice: bytes = b"") -> bytes:
    """Return NAL units with start codes before them, and something behind each slice."""
    parts: list[bytes] = []
    for unit in units:
        parts += (b"\0" + START_CODE, unit.data)
        if unit.kind in SLICES:
            parts.append(behind_slice)
    return b"".join(parts)


def _split(packet: bytes) -> Iterator[bytes]:
    at = packet.find(START_CODE)
    if at < 0 or packet[:at].strip(b"\0"):
        raise NotAnnexBError("it does not begin with a start code")
    while at >= 0:
        begin = at + len(START_CODE)
        at = packet.find(START_CODE, begin)
        # A start code may have a zero byte before it, and no unit ends with one.
        data = packet[begin : at if at >= 0 else len(packet)].rstrip(b"\0")
        if data:
            yield data


def _h264_unit(data: bytes) -> NalUnit:
    kind = data[0] & 0x1F
    return NalUnit(kind, H264_KINDS.get(kind, Kind.OTHER), data, reference=bool(data[0] & 0x60))


def _h265_unit(data: bytes) -> NalUnit | None:
    if len(data) < 2:
        return NalUnit(-1, Kind.OTHER, data)
    layer = (data[0] & 1) << 5 | data[1] >> 3
    kind = (data[0] >> 1) & 0x3F
    return NalUnit(kind, H265_KINDS.get(kind, Kind.OTHER), data) if layer == 0 else None
