"""Access units: what one packet of H.264, H.265 or Motion JPEG is to whoever must drop some."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from thin_client.contract import Codec

__all__ = ["Unit", "is_disposable", "is_key", "nal_types", "with_parameter_sets"]

# ITU-T H.264 table 7-1 and H.265 table 7-1.
_H264_IDR, _H264_SPS = 5, 7
_H265_KEYS = range(16, 22)  # BLA, IDR and CRA pictures
_H265_VPS = 32
_H265_FIRST_KEY_TYPE = 16


@dataclass(frozen=True)
class Unit:
    """One access unit, ready to be sent.

    Attributes:
        data: Annex B for H.264 and H.265, a JPEG file for Motion JPEG.
        codec: of the data.
        timestamp_us: of its frame on the source's clock, microseconds.
        key: decoding can begin here.
        disposable: no other unit is decoded from it, so it alone may be left out.
        taken_at: when the source gave it, or the picture it was encoded from; monotonic seconds.
    """

    data: bytes
    codec: Codec
    timestamp_us: int
    key: bool
    disposable: bool
    taken_at: float


def nal_types(data: bytes, codec: Codec) -> Iterator[tuple[int, int]]:
    """Yield type and first header byte of every NAL unit of an Annex B access unit."""
    position = data.find(b"\x00\x00\x01")
    while 0 <= position < len(data) - 3:
        header = data[position + 3]
        yield (header & 0x1F if codec is Codec.H264 else header >> 1 & 0x3F), header
        position = data.find(b"\x00\x00\x01", position + 3)


def is_key(data: bytes, codec: Codec) -> bool:
    """Return whether a decoder can begin with this unit."""
    if codec is Codec.MJPEG:
        return True
    keys = (_H264_IDR,) if codec is Codec.H264 else _H265_KEYS
    return any(kind in keys for kind, _ in nal_types(data, codec))


def is_disposable(data: bytes, codec: Codec) -> bool:
    """Return whether no other picture is predicted from this one.

    H.264 says so with ``nal_ref_idc`` 0 in every slice; H.265 with an even type below 16, which is
    exact where the stream has one temporal layer and otherwise for its highest. Taken at their
    word only where all slices agree.
    """
    if codec is Codec.MJPEG:
        return True
    if codec is Codec.H264:
        slices = [header >> 5 & 3 for kind, header in nal_types(data, codec) if 1 <= kind <= 5]
        return bool(slices) and not any(slices)
    kinds = [kind for kind, _ in nal_types(data, codec) if kind < _H265_VPS]
    return bool(kinds) and all(kind < _H265_FIRST_KEY_TYPE and kind % 2 == 0 for kind in kinds)


def with_parameter_sets(data: bytes, codec: Codec, extradata: bytes | None) -> bytes:
    """Return a key frame with its parameter sets before it, if it came without.

    Args:
        data: one access unit, Annex B.
        codec: of the data.
        extradata: parameter sets as Annex B; RTSP cameras may send them only when asked to
            describe the stream.
    """
    if codec is Codec.MJPEG or not extradata or not extradata.startswith(b"\x00\x00"):
        return data
    first = _H264_SPS if codec is Codec.H264 else _H265_VPS
    if any(kind == first for kind, _ in nal_types(data, codec)):
        return data
    return extradata + data
