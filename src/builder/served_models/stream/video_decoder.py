"""One stream of H.264 or H.265: access units in, frames out, whatever arrives.

After a fault the decoder is thrown away, and a fresh one begins at the next key frame with the
parameter sets that the stream has sent: what a decoder made of damaged references is never shown.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import av
from av.video.codeccontext import VideoCodecContext
from contract import Codec, ImageStatus

from h264_slices import PICTURE_SET, FrameNumbers, is_recovery_point
from nal_units import Kind, NalUnit, NotAnnexBError, annex_b, nal_units
from parameter_sets import BadParameterSetError, SequenceSet, read_sequence_set, set_number

if TYPE_CHECKING:
    from collections.abc import Callable

    # Called with a sequence set before anything is decoded with it; raises to refuse it.
    Admit = Callable[[SequenceSet], None]

DECODERS = {Codec.H264: "h264", Codec.H265: "hevc"}
# Parameter sets of a stream: cameras have a handful of some dozen bytes.
MOST_SETS = 64
MOST_SET_BYTES = 2**16
# Packets whose frame has not come yet, so that their timestamps are remembered.
MOST_WAITING = 64
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
        self._admit = admit
        self._context: VideoCodecContext | None = None
        self._numbers = FrameNumbers()
        self._sequence_sets: dict[int, SequenceSet] = {}
        # By type and number.
        self._sets: dict[tuple[int, int], NalUnit] = {}
        self._ready: deque[DecodedFrame] = deque()
        self._timestamps: dict[int, int] = {}
        self._packets = 0

    def decode(self, packet: bytes, timestamp: int) -> DecodedFrame | ImageStatus:
        """Decode one access unit; return a frame, or why there is none.

        Raises:
            RefusedPacketError: from ``admit``; the decoder then waits for a key frame.
        """
        if not packet:
            return self._drain()
        try:
            units = nal_units(packet, self._codec)
            self._take_sets(units)
        except (NotAnnexBError, BadParameterSetError):
            return self._fault(ImageStatus.CORRUPT_PACKET)
        except Exception:
            self._forget()
            raise
        if self._codec is Codec.H264 and self._numbers.has_gap(units, self._sequence_sets):
            self._forget()
        if self._context is None:
            if not self._begins_at(units):
                return ImageStatus.WAITING_FOR_KEY_FRAME
            self._context = self._fresh_context()
            units = [*self._sets_before(units), *units]
        return self._run(units, timestamp)

    def close(self) -> None:
        """Let go of the decoder and its frames."""
        self._forget()

    def _run(self, units: list[NalUnit], timestamp: int) -> DecodedFrame | ImageStatus:
        assert self._context is not None  # noqa: S101 - for the type checker
        packet = av.Packet(annex_b(unit for unit in units if self._is_needed(unit)))
        packet.pts = packet.dts = self._packets
        self._timestamps[self._packets] = timestamp
        self._packets += 1
        if len(self._timestamps) > MOST_WAITING:
            del self._timestamps[next(iter(self._timestamps))]
        try:
            frames = self._context.decode(packet)
        except (av.FFmpegError, MemoryError, ValueError):
            return self._fault(ImageStatus.CORRUPT_PACKET)
        if any(frame.is_corrupt for frame in frames):
            return self._fault(ImageStatus.CORRUPT_PACKET)
        self._take_frames(frames)
        return self._ready.popleft() if self._ready else ImageStatus.NO_FRAME_YET

    def _drain(self) -> DecodedFrame | ImageStatus:
        if self._context is not None:
            context, self._context = self._context, None
            self._numbers.restart()
            try:
                self._take_frames(context.decode(None))
            except av.FFmpegError:
                return self._fault(ImageStatus.CORRUPT_PACKET)
        return self._ready.popleft() if self._ready else ImageStatus.WAITING_FOR_KEY_FRAME

    def _take_frames(self, frames: list[av.VideoFrame]) -> None:
        for frame in frames:
            number = UNKNOWN if frame.pts is None else frame.pts
            self._ready.append(DecodedFrame(frame, self._timestamps.pop(number, UNKNOWN)))

    def _take_sets(self, units: list[NalUnit]) -> None:
        for unit in units:
            if unit.kind is Kind.SEQUENCE_SET:
                sequence = read_sequence_set(unit, self._codec)
                self._admit(sequence)
                self._sequence_sets[sequence.identity] = sequence
                self._remember(unit, sequence.identity)
            elif unit.kind is Kind.OTHER_SET:
                if unit.type == PICTURE_SET:
                    self._numbers.take_picture_set(unit)
                self._remember(unit, set_number(unit, self._codec))
        if len(self._sequence_sets) > MOST_SETS:
            raise BadParameterSetError("too many parameter sets")

    def _remember(self, unit: NalUnit, number: int) -> None:
        self._sets.pop((unit.type, number), None)
        self._sets[unit.type, number] = unit
        while (
            len(self._sets) > MOST_SETS
            or sum(len(each.data) for each in self._sets.values()) > MOST_SET_BYTES
        ):
            del self._sets[next(iter(self._sets))]

    def _begins_at(self, units: list[NalUnit]) -> bool:
        if not self._sequence_sets:
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

    def _sets_before(self, units: list[NalUnit]) -> list[NalUnit]:
        own = {unit.data for unit in units}
        # In both standards a set has a higher type than those that it names: VPS, SPS, PPS.
        kept = [unit for unit in self._sets.values() if unit.data not in own]
        return sorted(kept, key=lambda unit: unit.type)

    def _fresh_context(self) -> VideoCodecContext:
        context = cast("VideoCodecContext", av.CodecContext.create(DECODERS[self._codec], "r"))
        # Streams share the cores, so each has one thread.
        context.thread_count = 1
        context.options = {
            # A fault is an error, and not concealed.
            "err_detect": "explode",
            # Coded sizes are larger than what is shown by up to a block on each side.
            "max_pixels": str(2 * self._max_pixels + 2**16),
        }
        return context

    def _fault(self, status: ImageStatus) -> ImageStatus:
        self._forget()
        return status

    def _forget(self) -> None:
        self._context = None
        self._ready.clear()
        self._timestamps.clear()
        self._numbers.restart()
