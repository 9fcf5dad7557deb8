"""A source's packets to units that the server takes."""

from __future__ import annotations

from typing import Any

from thin_client.contract import Codec
from thin_client.streaming.orientation import Orientation
from thin_client.streaming.units import Unit, contents, parameter_sets

__all__ = ["Packaging"]

_ANNEX_B = {Codec.H264: "h264_mp4toannexb", Codec.H265: "hevc_mp4toannexb"}
_HUFFMAN_TABLES = b"\xff\xc4"


class Packaging:
    """Makes Annex B of packets, and says what each of them is.

    Args:
        av: the module.
        stream: of an open container.
        codec: of its packets; None where they do not pass.
        orientation: of its frames.
    """

    def __init__(self, av: Any, stream: Any, codec: Codec | None, orientation: Orientation) -> None:
        self._error = av.error.FFmpegError
        self._codec = codec
        self._orientation = orientation
        name = _ANNEX_B.get(codec) if codec else None
        self._filter = name and av.bitstream.BitStreamFilterContext(name, stream)
        self._sets = parameter_sets(stream.codec_context.extradata, codec) if codec else b""

    def is_jpeg(self, packet: Any) -> bool:
        """Return whether a packet of Motion JPEG is a file that every decoder takes.

        Some cameras leave the standard tables out.
        """
        return _HUFFMAN_TABLES in bytes(packet)

    def unit(self, packet: Any, timestamp_us: int, *, shown: bool, taken_at: float) -> Unit | None:
        """Return the unit of a packet, which is empty afterwards; None where it is damaged.

        Args:
            packet: of the stream.
            timestamp_us: no other unit's.
            shown: whether that is when its frame is shown.
            taken_at: when it came; monotonic seconds.
        """
        codec = self._codec
        assert codec is not None  # noqa: S101
        # The filter takes the packet's bytes and marks with it.
        cut_away = packet.is_discard
        try:
            filtered = self._filter.filter(packet) if self._filter else [packet]
        except self._error:
            return None
        data = b"".join(bytes(each) for each in filtered)
        if not data:
            return None
        found = contents(data, codec)
        key = found.recovery is not None
        if key and not found.has_sets:
            # RTSP cameras may send them only when asked to describe the stream; MP4 keeps them
            # apart.
            data = self._sets + data
        return Unit(
            data,
            codec,
            timestamp_us,
            key=key,
            disposable=found.disposable,
            taken_at=taken_at,
            recovery=found.recovery or 0,
            shown=shown,
            frame=not cut_away and found.has_picture,
            orientation=self._orientation,
        )
