"""One open stream: a packet in; a letterboxed frame, a frame nobody looks at, or neither out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from contract import GEOMETRY, Codec, ImageStatus, resolve_shape

from decode import upright_size
from formats import format_of
from frames import FrameFormat, load_frame
from later import must_be_installed
from letterbox import draw_letterboxed
from looks import Looks
from orientation import UPRIGHT, Orientation
from refusals import NO_TIMESTAMP, RefusedPacketError

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract import DamagedImages
    from numpy.typing import NDArray

    from parameter_sets import SequenceSet
    from video_decoder import VideoDecoder

    # Sets bytes of memory aside, in place of those before; raises when they are too many.
    Reserve = Callable[[int], None]

# FFmpeg, a quarter of the time that this process takes to start. Imported, by video_decoder, with
# the first stream of video; perhaps none ever comes.
must_be_installed("av")

NO_FRAME = -1
NO_SIZE = (0, 0)
# What is handed on where the network is to see nothing.
NO_PIXELS = np.empty((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class PacketAnswer:
    """What became of a packet.

    Attributes:
        frame: uint8 ``[height, width, 3]``; without pixels where nobody looks at it.
        status: ``OK``; of a JPEG also ``DAMAGED``; or why there is no frame.
        geometry: float32 ``[6]``; zeros where nobody looks.
        size: width and height of the frame in pixels, zeros when there is none.
        index: frames of this stream before it, or -1.
        timestamp: of its packet, or -1.
        decode_s: how long decoding took.
    """

    frame: NDArray[np.uint8]
    status: ImageStatus
    geometry: NDArray[np.float32]
    size: tuple[int, int]
    index: int
    timestamp: int
    decode_s: float

    @property
    def look(self) -> bool:
        """Whether the network is to look at the frame."""
        return bool(self.frame.size)

    @property
    def has_frame(self) -> bool:
        """Whether there is one."""
        return self.index != NO_FRAME


class Stream:
    """Decodes the packets of one stream, one at a time.

    Args:
        codec: of its packets.
        wanted: what frames are to be like; its limits hold for the stream.
        reserve: sets memory aside for its decoder.
        orientation: how its frames have to be turned to be upright.
        looks: decides which of them the network is to see; all of them by default.
        serial: a number that no other stream of the process has had.
    """

    def __init__(
        self,
        codec: Codec,
        wanted: FrameFormat,
        reserve: Reserve,
        orientation: Orientation = UPRIGHT,
        *,
        looks: Looks | None = None,
        serial: int = 0,
    ) -> None:
        self.codec = codec
        self.serial = serial
        self.looks = looks or Looks()
        self._orientation = orientation
        self._wanted = wanted
        self._frames = 0
        self._decoder: VideoDecoder | None = None
        if codec is not Codec.MJPEG:
            from video_decoder import VideoDecoder  # noqa: PLC0415 - see above

            self._decoder = VideoDecoder(codec, wanted.limits.max_pixels, self._admit, reserve)

    def push(
        self,
        packet: bytes,
        timestamp: int,
        damaged: DamagedImages | None = None,
    ) -> PacketAnswer:
        """Decode a packet, and letterbox what comes out if the network is to look at it.

        Args:
            packet: one access unit; empty to take out a frame that is held back.
            timestamp: of the packet, or -1.
            damaged: what becomes of a damaged JPEG; None leaves it to the pipeline.

        Raises:
            RefusedPacketError: its pictures are larger than the limits allow.
        """
        began = time.perf_counter()
        if self._decoder is None:
            return self._push_jpeg(packet, timestamp, damaged)
        decoded = self._decoder.decode(packet, timestamp)
        if isinstance(decoded, ImageStatus):
            return self._nothing(decoded, time.perf_counter() - began)
        if not self.looks.take(decoded.timestamp):
            size = self._orientation.upright_size(decoded.frame.width, decoded.frame.height)
            return self._unseen(size, decoded.timestamp, time.perf_counter() - began)
        bgr = self._orientation.upright(self._decoder.bgr_pixels(decoded.frame))
        decode_s = time.perf_counter() - began
        return self._drawn(bgr, decoded.timestamp, decode_s)

    def close(self) -> None:
        """Let go of the decoder."""
        if self._decoder is not None:
            self._decoder.close()

    def _drawn(
        self,
        bgr: NDArray[np.uint8],
        timestamp: int,
        decode_s: float,
    ) -> PacketAnswer:
        height, width = bgr.shape[:2]
        frame = np.empty(self._wanted.shape_for([(width, height)]), np.uint8)
        box = self._wanted.plan(width, height, frame.shape)
        draw_letterboxed(bgr, frame, box)
        return PacketAnswer(
            frame,
            ImageStatus.OK,
            box.geometry(),
            (width, height),
            self._next_index(),
            timestamp,
            decode_s,
        )

    def _push_jpeg(
        self,
        packet: bytes,
        timestamp: int,
        damaged: DamagedImages | None,
    ) -> PacketAnswer:
        if not packet:
            return self._nothing(ImageStatus.WAITING_FOR_KEY_FRAME, 0.0)
        began = time.perf_counter()
        is_rectangle = self._wanted.stride > 0
        known = is_rectangle or self.looks.chosen
        size = upright_size(packet, self._wanted.limits) if known else None
        # Of a JPEG nobody looks at no pixel is decoded: none refers to it. One whose header cannot
        # be read is refused as any other.
        is_jpeg = size is not None and format_of(packet) == "JPEG"
        if is_jpeg and self.looks.chosen and not self.looks.take(timestamp):
            return self._unseen(size, timestamp, time.perf_counter() - began)  # type: ignore[arg-type]
        if not self.looks.chosen:
            self.looks.take(timestamp)
        frame = np.empty(self._wanted.shape_for([size]), np.uint8)
        loaded = load_frame(packet, frame, self._wanted, damaged)
        if loaded.status is ImageStatus.TOO_MANY_PIXELS:
            raise RefusedPacketError(loaded.reason)
        if not loaded.readable or loaded.file_format != "jpeg":
            return self._nothing(ImageStatus.CORRUPT_PACKET, loaded.decode_s)
        return PacketAnswer(
            frame,
            loaded.status,
            loaded.geometry,
            loaded.size,
            self._next_index(),
            timestamp,
            loaded.decode_s,
        )

    def _unseen(self, size: tuple[int, int], timestamp: int, decode_s: float) -> PacketAnswer:
        index = self._next_index()
        return PacketAnswer(
            NO_PIXELS, ImageStatus.OK, _no_geometry(), size, index, timestamp, decode_s
        )

    def _nothing(self, status: ImageStatus, decode_s: float) -> PacketAnswer:
        return PacketAnswer(
            NO_PIXELS, status, _no_geometry(), NO_SIZE, NO_FRAME, NO_TIMESTAMP, decode_s
        )

    def _next_index(self) -> int:
        self._frames += 1
        return self._frames - 1

    def _admit(self, sequence: SequenceSet) -> None:
        limit = self._wanted.limits.max_pixels
        if sequence.width * sequence.height > limit:
            raise RefusedPacketError(
                f"the stream's frames are {sequence.width}x{sequence.height} where at most {limit} "
                "pixels are allowed"
            )


def _no_geometry() -> NDArray[np.float32]:
    return np.zeros(resolve_shape(GEOMETRY), np.float32)
