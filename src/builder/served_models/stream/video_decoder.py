"""One stream of H.264 or H.265: access units in, frames out, whatever arrives.

After a fault the decoder is thrown away, and a fresh one begins at the next key frame with the
parameter sets that the stream has sent: what a decoder made of damaged references is never shown.

Imported with the first stream that wants it (stream.py).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.reformatter import VideoReformatter
from contract import Codec, ImageStatus

from h264_slices import FrameNumbers, is_recovery_point
from known_sets import MOST_SETS, SETS, KnownSets
from nal_units import Kind, NalUnit, NotAnnexBError, annex_b, nal_units
from parameter_sets import BGR_BYTES, BadParameterSetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from known_sets import Admit

SLICES = frozenset({Kind.KEY_SLICE, Kind.SLICE})
DECODERS = {Codec.H264: "h264", Codec.H265: "hevc"}
# Packets whose frame has not come yet, so that their timestamps are remembered.
MOST_WAITING = 64
# Decoders read past the end of a damaged packet, by up to AV_INPUT_BUFFER_PADDING_SIZE bytes; PyAV
# hands them the bytes as they lie in memory, and what a packet is answered with must not depend on
# what lies behind it. Annex B allows zeros after a NAL unit (trailing_zero_8bits).
PADDING = bytes(64)
UNKNOWN = -1


@dataclass(frozen=True)
class DecodedFrame:
    """A frame and the timestamp of the packet that it came in, or -1."""

    frame: av.VideoFrame
    timestamp: int


class VideoDecoder:
    """Decodes one stream.

    Args:
        codec: of the packets.
        max_pixels: of a frame, as a last resort: ``admit`` comes first.
        admit: called with every new sequence set.
    """

    def __init__(self, codec: Codec, max_pixels: int, admit: Admit) -> None:
        self._codec = codec
        self._max_pixels = max_pixels
        self._context: VideoCodecContext | None = None
        self._numbers = FrameNumbers()
        self._sets = KnownSets(codec, admit)
        # Parameter sets that came in packets of their own, for the packet that follows them.
        self._before: list[NalUnit] = []
        self._ready: deque[DecodedFrame] = deque()
        self._timestamps: dict[int, int] = {}
        self._packets = 0
        self._to_bgr = VideoReformatter()

    def decode(self, packet: bytes, timestamp: int) -> DecodedFrame | ImageStatus:
        """Decode one access unit; return a frame, or why there is none.

        Raises:
            RefusedPacketError: from ``admit``; the decoder then waits for a key frame.
        """
        if not packet:
            return self._drain()
        try:
            units = nal_units(packet, self._codec)
            self._sets.take(units)
            if self._codec is Codec.H264:
                self._numbers.take_picture_sets(units)
        except (NotAnnexBError, BadParameterSetError):
            return self._fault(ImageStatus.CORRUPT_PACKET)
        except Exception:
            self._forget()
            raise
        if not any(unit.kind in SLICES for unit in units):
            self._before += [unit for unit in units if unit.kind in SETS]
            return self._nothing_yet()
        if self._codec is Codec.H264 and self._numbers.has_gap(units, self._sets.sequences):
            self._forget()
        if self._context is not None:
            answer = self._run(self._context, [*self._before, *units], timestamp)
            if answer is not ImageStatus.CORRUPT_PACKET or not self._begins_at(units):
                return answer
        if not self._begins_at(units):
            return ImageStatus.WAITING_FOR_KEY_FRAME
        # What was before a key frame, damaged perhaps, must not cost this one.
        self._context = self._fresh_context()
        return self._run(self._context, [*self._sets.missing_in(units), *units], timestamp)

    def bgr_pixels(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Return the pixels of a frame, uint8 ``[height, width, 3]``."""
        picture = self._to_bgr.reformat(frame, format="bgr24", threads=1)
        plane = picture.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        shape = (picture.height, picture.width, BGR_BYTES)
        return rows[:, : BGR_BYTES * picture.width].reshape(shape)

    def close(self) -> None:
        """Let go of the decoder and its frames."""
        self._forget()

    def _run(
        self, context: VideoCodecContext, units: list[NalUnit], timestamp: int
    ) -> DecodedFrame | ImageStatus:
        self._before.clear()
        packet = av.Packet(annex_b(unit for unit in units if self._is_needed(unit)) + PADDING)
        packet.pts = packet.dts = self._packets
        self._timestamps[self._packets] = timestamp
        self._packets += 1
        if len(self._timestamps) > MOST_WAITING:
            del self._timestamps[next(iter(self._timestamps))]
        try:
            frames = context.decode(packet)
        except (av.FFmpegError, MemoryError, ValueError):
            return self._fault(ImageStatus.CORRUPT_PACKET)
        if any(frame.is_corrupt for frame in frames):
            return self._fault(ImageStatus.CORRUPT_PACKET)
        self._take_frames(frames)
        return self._next_frame(ImageStatus.NO_FRAME_YET)

    def _nothing_yet(self) -> DecodedFrame | ImageStatus:
        """Answer a packet that has no picture."""
        if self._context is None:
            return ImageStatus.WAITING_FOR_KEY_FRAME
        if len(self._before) > MOST_SETS:
            return self._fault(ImageStatus.CORRUPT_PACKET)
        return self._next_frame(ImageStatus.NO_FRAME_YET)

    def _next_frame(self, otherwise: ImageStatus) -> DecodedFrame | ImageStatus:
        return self._ready.popleft() if self._ready else otherwise

    def _drain(self) -> DecodedFrame | ImageStatus:
        if self._context is not None:
            context, self._context = self._context, None
            self._numbers.restart()
            try:
                self._take_frames(context.decode(None))
            except av.FFmpegError:
                return self._fault(ImageStatus.CORRUPT_PACKET)
        return self._next_frame(ImageStatus.WAITING_FOR_KEY_FRAME)

    def _take_frames(self, frames: list[av.VideoFrame]) -> None:
        for frame in frames:
            number = UNKNOWN if frame.pts is None else frame.pts
            self._ready.append(DecodedFrame(frame, self._timestamps.pop(number, UNKNOWN)))

    def _begins_at(self, units: list[NalUnit]) -> bool:
        if not self._sets.sequences:
            return False
        kinds = {unit.kind for unit in units}
        if Kind.KEY_SLICE in kinds:
            return True
        return Kind.SLICE in kinds and any(map(self._is_recovery_point, units))

    def _is_recovery_point(self, unit: NalUnit) -> bool:
        h264 = self._codec is Codec.H264
        return h264 and unit.kind is Kind.SUPPLEMENT and is_recovery_point(unit)

    def _is_needed(self, unit: NalUnit) -> bool:
        # What else SEI say changes no pixel, and a decoder that takes faults for errors would fail
        # on those of some cameras.
        return unit.kind is not Kind.SUPPLEMENT or self._is_recovery_point(unit)

    def _fresh_context(self) -> VideoCodecContext:
        context = cast("VideoCodecContext", av.CodecContext.create(DECODERS[self._codec], "r"))
        # Streams share the cores, so each has one thread.
        context.thread_count = 1
        context.options = {
            # A fault is an error, and not concealed; a picture's hash is checked where it has one.
            "err_detect": "explode+crccheck",
            # Coded sizes are larger than what is shown by up to a block on each side.
            "max_pixels": str(2 * self._max_pixels + 2**16),
        }
        return context

    def _fault(self, status: ImageStatus) -> ImageStatus:
        self._forget()
        return status

    def _forget(self) -> None:
        self._context = None
        self._before.clear()
        self._ready.clear()
        self._timestamps.clear()
        self._numbers.restart()
