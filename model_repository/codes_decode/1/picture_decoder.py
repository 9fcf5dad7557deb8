"""One decoder of FFmpeg's: the pictures of a stream from a key frame on, until one goes wrong."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import av
from av.video.codeccontext import VideoCodecContext
from contract import Codec

from decoder_log import Messages
from nal_units import annex_b

if TYPE_CHECKING:
    from nal_units import NalUnit

DECODERS = {Codec.H264: "h264", Codec.H265: "hevc"}
# Decoders read past the end of a damaged packet, by up to AV_INPUT_BUFFER_PADDING_SIZE bytes; PyAV
# hands them the bytes as they lie in memory, and what a packet is answered with must not depend on
# what lies behind it. Annex B allows zeros after a NAL unit (trailing_zero_8bits).
PADDING = bytes(64)
# FFmpeg's decoder of H.265 does not notice that a slice was cut: it goes on reading, finds zeros,
# and makes a picture of them. Ones make numbers that are too long, of which it complains; what is
# behind the end of a whole slice it does not look at.
BEHIND_SLICE = b"\xff" * 512
# MAX_DELAYED_PIC of libavcodec.
MOST_HELD = 16
# libavcodec answers an access unit of nothing but this with the next frame that it holds; all that
# it knows of pictures stays.
END_OF_SEQUENCE = b"\0\0\1\x0a" + PADDING


class Verdict(enum.Enum):
    """What became of a picture."""

    FINE = enum.auto()
    LEFT_OUT = enum.auto()
    """It refers to pictures that are not there, and the decoder did nothing with it."""
    MISSING = enum.auto()
    """It refers to pictures that are not there, and was decoded with others in their place."""
    DAMAGED = enum.auto()


@dataclass(frozen=True)
class Decoded:
    """What a decoder made of a picture.

    Attributes:
        verdict: of this picture.
        frames: those that left the decoder, with the numbers of their pictures.
    """

    verdict: Verdict
    frames: list[tuple[int, av.VideoFrame]]


class PictureDecoder:
    """A decoder.

    Args:
        codec: of the stream.
        max_pixels: of a frame, as a last resort.
        x264_build: of the encoder, or None.
        holds: keep every frame until ``release`` is called; H.264 only. Else frames leave the
            decoder as the stream says.
    """

    def __init__(
        self, codec: Codec, max_pixels: int, x264_build: int | None, *, holds: bool
    ) -> None:
        self._codec = codec
        context = cast("VideoCodecContext", av.CodecContext.create(DECODERS[codec], "r"))
        # Streams share the cores, so each has one thread.
        context.thread_count = 1
        # Coded sizes are larger than what is shown by up to a block on each side.
        context.options = {"max_pixels": str(2 * max_pixels + 2**16)}
        if codec is Codec.H265:
            # A fault is an error, and a picture's hash is checked where it has one.
            context.options |= {"err_detect": "explode+crccheck"}
        else:
            # What is made up is never shown, so it is made up the quick way. Faults cannot be
            # errors here: what FFmpeg remarks on at every recovery point would be some.
            context.options |= {"ec": "favor_inter"}
            if x264_build is not None:
                context.options |= {"x264_build": str(x264_build)}
        if holds:
            context.reorder_depth = MOST_HELD
        self._context = context
        self._holds = holds
        # Whether it has had no picture yet that others may refer to.
        self._empty = True

    def decode(self, units: list[NalUnit], number: int, *, referred: bool) -> Decoded:
        """Decode a picture, or a field of one.

        A picture that is refreshed in strips refers to others, for what is not refreshed yet, and
        libavcodec decodes none of it where it has none of those. Then it is given the picture
        twice: the second time it refers to itself, and the strip that is refreshed is right.

        Args:
            units: of its access unit.
            number: that its frame is told by; a second field's is that of the first.
            referred: whether other pictures may refer to it.
        """
        behind = BEHIND_SLICE if self._codec is Codec.H265 else b""
        data = annex_b(units, behind) + PADDING
        decoded, too_few = self._decode(data, number)
        if self._empty and too_few:
            if referred:
                if self._holds:
                    self.release()
                decoded, _ = self._decode(data, number)
            elif decoded.verdict is Verdict.FINE:
                decoded = Decoded(Verdict.MISSING, decoded.frames)
        self._empty = self._empty and not referred
        return decoded

    def release(self) -> list[tuple[int, av.VideoFrame]]:
        """Return the frame that is shown next of those that are held; not between two fields."""
        return self._frames(av.Packet(END_OF_SEQUENCE))

    def drain(self) -> list[tuple[int, av.VideoFrame]]:
        """Return the frames that are held back; the decoder is of no use afterwards."""
        return self._frames(None)

    def _decode(self, data: bytes, number: int) -> tuple[Decoded, bool]:
        """Decode an access unit; also return whether its lists are longer than what is there."""
        packet = av.Packet(data)
        packet.pts = packet.dts = number
        said = Messages()
        try:
            with said:
                frames = self._context.decode(packet)
        except (av.FFmpegError, MemoryError, ValueError):
            left_out = self._codec is Codec.H265 and said.missing
            return Decoded(Verdict.LEFT_OUT if left_out else Verdict.DAMAGED, []), said.too_few
        verdict = Verdict.MISSING if said.missing else Verdict.FINE
        if said.damaged:
            verdict = Verdict.DAMAGED
        return Decoded(verdict, _numbered(frames)), said.too_few

    def _frames(self, packet: av.Packet[Any] | None) -> list[tuple[int, av.VideoFrame]]:
        try:
            return _numbered(self._context.decode(packet))
        except (av.FFmpegError, MemoryError, ValueError):
            return []


def _numbered(frames: list[av.VideoFrame]) -> list[tuple[int, av.VideoFrame]]:
    return [(frame.pts, frame) for frame in frames if frame.pts is not None]
