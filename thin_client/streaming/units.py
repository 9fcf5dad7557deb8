"""Access units: what one packet of H.264, H.265 or Motion JPEG is to whoever must drop some."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from thin_client.contract import Codec
from thin_client.streaming.orientation import UPRIGHT, Orientation

__all__ = ["Contents", "Unit", "contents", "is_key", "parameter_sets"]

# ITU-T H.264 table 7-1 and H.265 table 7-1.
_H264_IDR, _H264_SEI, _H264_SPS = 5, 6, 7
_H265_KEYS = range(16, 22)  # BLA, IDR and CRA pictures
_H265_VPS = 32
_H265_FIRST_KEY_TYPE = 16
_START_CODE = b"\x00\x00\x01"
# H.264, D.1.8. Encoders with open groups of pictures, or that refresh a picture in strips, have
# recovery points in place of IDR pictures; they come among the first messages.
_RECOVERY_POINT = 6
_SEI_BYTES = 512


@dataclass(frozen=True)
class Unit:
    """One access unit, ready to be sent.

    Attributes:
        data: Annex B for H.264 and H.265, a JPEG file for Motion JPEG.
        codec: of the data.
        timestamp_us: of its frame on the source's clock, microseconds; no other unit has the same.
        key: decoding can begin here.
        disposable: no other unit is decoded from it, so it alone may be left out.
        taken_at: when the source gave it, or the picture it was encoded from; monotonic seconds.
        recovery: of a key, frames from it on until pictures are whole.
        shown: whether ``timestamp_us`` is when its frame is shown; else it is when the unit is
            decoded, as the source says no more.
        frame: whether a frame is to come of it. Of parameter sets alone none comes, and what a file
            has cut away is only there for others to be decoded from.
        orientation: how its frame has to be turned to be upright.
    """

    data: bytes
    codec: Codec
    timestamp_us: int
    key: bool
    disposable: bool
    taken_at: float
    recovery: int = 0
    shown: bool = True
    frame: bool = True
    orientation: Orientation = UPRIGHT


@dataclass(frozen=True)
class Contents:
    """What is in an access unit, told by its bits: what a container calls a key may be any picture.

    Attributes:
        recovery: frames after this unit until pictures are whole, where decoding can begin with it
            as docs/protocol.md has it: 0 for a key frame, more for a recovery point of H.264 from
            which a picture is refreshed bit by bit. None where it cannot.
        disposable: no other picture is predicted from this one. H.264 says so with ``nal_ref_idc``
            0 in every slice; H.265 with an even type below 16, which is exact where the stream has
            one temporal layer and otherwise for its highest. Taken at their word only where all
            slices agree.
        has_picture: there is anything of a picture in it.
        has_sets: it brings parameter sets of its own.
    """

    recovery: int | None
    disposable: bool
    has_picture: bool
    has_sets: bool


def contents(data: bytes, codec: Codec) -> Contents:
    """Return what is in an access unit of H.264 or H.265 (Annex B), or in a JPEG file.

    The bytes are looked through once: key frames are large, and a source gives many a second.
    """
    if codec is Codec.MJPEG:
        return Contents(recovery=0, disposable=True, has_picture=True, has_sets=True)
    found = [(at, data[at], _type(data[at], codec)) for at in _headers(data)]
    kinds = [kind for _, _, kind in found]
    if codec is Codec.H264:
        slices = [header for _, header, kind in found if 1 <= kind <= _H264_IDR]
        return Contents(
            recovery=_h264_recovery(data, found),
            disposable=bool(slices) and not any(header >> 5 & 3 for header in slices),
            has_picture=bool(slices),
            has_sets=_H264_SPS in kinds,
        )
    slices = [kind for kind in kinds if kind < _H265_VPS]
    return Contents(
        recovery=0 if any(kind in _H265_KEYS for kind in slices) else None,
        disposable=bool(slices) and all(k < _H265_FIRST_KEY_TYPE and k % 2 == 0 for k in slices),
        has_picture=bool(slices),
        has_sets=_H265_VPS in kinds,
    )


def is_key(data: bytes, codec: Codec) -> bool:
    """Return whether a decoder can begin with this unit; see Contents.recovery."""
    return contents(data, codec).recovery is not None


def parameter_sets(extradata: bytes | None, codec: Codec) -> bytes:
    """Return the parameter sets that a source gives apart from its packets, as Annex B.

    Args:
        extradata: of the source's codec: Annex B already, or an avcC box as MP4 and FLV have it
            (ISO/IEC 14496-15, 5.3.3.1). H.265's hvcC is left to FFmpeg's filter, which puts the
            sets before everything that begins a stream.
        codec: of the source.
    """
    if not extradata or codec is Codec.MJPEG:
        return b""
    if extradata.startswith((b"\x00\x00\x01", b"\x00\x00\x00\x01")):
        return extradata
    if codec is not Codec.H264 or len(extradata) < 7:
        return b""
    sets, at = b"", 5
    for mask in (0x1F, 0xFF):  # SPS, and then PPS
        if at >= len(extradata):
            break
        count, at = extradata[at] & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            sets += b"\x00" + _START_CODE + extradata[at + 2 : at + 2 + size]
            at += 2 + size
    return sets


def _headers(data: bytes) -> Iterator[int]:
    """Yield where each NAL unit begins, behind its start code."""
    position = data.find(_START_CODE)
    while 0 <= position < len(data) - 3:
        yield position + 3
        position = data.find(_START_CODE, position + 3)


def _type(header: int, codec: Codec) -> int:
    return header & 0x1F if codec is Codec.H264 else header >> 1 & 0x3F


def _h264_recovery(data: bytes, found: Sequence[tuple[int, int, int]]) -> int | None:
    """Return Contents.recovery of a unit with these NAL units: place, header byte, type."""
    if any(kind == _H264_IDR for _, _, kind in found):
        return 0
    for at, _, kind in found:
        if kind == _H264_SEI:
            end = data.find(_START_CODE, at, at + _SEI_BYTES)
            frames = _recovery_frames(data[at + 1 : at + _SEI_BYTES if end < 0 else end])
            if frames is not None:
                return frames
    return None


def _recovery_frames(messages: bytes) -> int | None:
    """Return ``recovery_frame_cnt`` of the recovery point among SEI messages; None without one."""
    payload = messages.replace(b"\x00\x00\x03", b"\x00\x00")  # emulation prevention
    at = 0
    while at + 2 < len(payload):
        numbers = []
        for _ in range(2):  # type and size, each a byte, or 255s and a byte
            value = 0
            while at < len(payload) and payload[at] == 0xFF:
                value, at = value + 255, at + 1
            if at >= len(payload):
                return None
            numbers.append(value + payload[at])
            at += 1
        if numbers[0] == _RECOVERY_POINT:
            return _exponential_golomb(payload[at : at + numbers[1]])
        at += numbers[1]
    return None


def _exponential_golomb(data: bytes) -> int:
    """Return the number that a bit string begins with, ue(v) of H.264's 9.1; 0 where it is cut."""
    bits = int.from_bytes(data, "big")
    zeros = 8 * len(data) - bits.bit_length()
    left = 8 * len(data) - 2 * zeros - 1
    return (bits >> left) - 1 if bits and left >= 0 else 0
