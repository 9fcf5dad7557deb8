"""One stream of H.264 or H.265: access units in, frames out, whatever arrives.

What a decoder made of damaged or missing references is never shown. After a fault the decoder is
thrown away, and a fresh one begins at the next key frame or recovery point.

Imported with the first stream that wants it (stream.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from av.video.reformatter import VideoReformatter
from contract import Codec, ImageStatus

from bits import EndOfBitsError
from frame_queue import DecodedFrame, FrameQueue
from h264_pictures import H264Pictures
from h265_pictures import H265Pictures
from known_sets import SETS, KnownSets, MissingSetError
from nal_units import SLICES, Kind, NalUnit, NotAnnexBError, nal_units
from parameter_sets import BGR_BYTES, BadParameterSetError
from picture_decoder import PictureDecoder, Verdict
from recovery_points import recovery_unit, x264_build
from refusals import UndecodableError
from reorder import Reordering

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

    from known_sets import Admit, Reserve
    from pictures import AccessUnit

# Units of packets without a picture that mean something to the one that follows.
KEPT = frozenset({Kind.SUPPLEMENT, Kind.END})


class VideoDecoder:
    """Decodes one stream.

    Args:
        codec: of the packets.
        max_pixels: of a frame, as a last resort: ``admit`` comes first.
        admit: called with every new sequence set.
        reserve: called with the bytes that the decoder may need.
    """

    def __init__(self, codec: Codec, max_pixels: int, admit: Admit, reserve: Reserve) -> None:
        self._codec = codec
        self._max_pixels = max_pixels
        self._decoder: PictureDecoder | None = None
        self._sets = KnownSets(codec, admit, reserve)
        self._pictures = H264Pictures() if codec is Codec.H264 else H265Pictures()
        # Whether the stream does not say how many pictures the decoder holds back.
        self._holds = False
        self._reordering = Reordering()
        self._before: dict[Kind, NalUnit] = {}
        self._frames = FrameQueue(self._reordering.shown)
        self._x264_build: int | None = None
        self._to_bgr = VideoReformatter()

    def decode(self, packet: bytes, timestamp: int) -> DecodedFrame | ImageStatus:
        """Decode one access unit; return a frame, or why there is none.

        Raises:
            RefusedPacketError: from ``admit`` or ``reserve``, or FFmpeg does not decode such; the
                decoder then waits for a key frame.
        """
        if not packet:
            self._stop()
            return self._answer(ImageStatus.WAITING_FOR_KEY_FRAME)
        try:
            units = nal_units(packet, self._codec, self._max_pixels)
            self._sets.take(units)
            units = [needed for unit in units if (needed := self._needed(unit)) is not None]
            if not any(unit.kind in SLICES for unit in units):
                return self._without_picture(units)
            units = [*self._before.values(), *units]
            self._before.clear()
            access = self._pictures.look(units, self._sets)
        except MissingSetError:
            self._stop()
            return self._answer(ImageStatus.WAITING_FOR_KEY_FRAME)
        except (NotAnnexBError, BadParameterSetError, EndOfBitsError):
            self._stop()
            return self._answer(ImageStatus.CORRUPT_PACKET)
        except Exception as error:
            self._stop()
            if isinstance(error, UndecodableError) and self._frames.number:
                # It was decoded so far: the packet is damaged.
                return ImageStatus.CORRUPT_PACKET
            raise
        return self._decode_picture(units, access, timestamp)

    def bgr_pixels(self, frame: av.VideoFrame) -> NDArray[np.uint8]:
        """Return the pixels of a frame, uint8 ``[height, width, 3]``."""
        picture = self._to_bgr.reformat(frame, format="bgr24", threads=1)
        plane = picture.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
        shape = (picture.height, picture.width, BGR_BYTES)
        return rows[:, : BGR_BYTES * picture.width].reshape(shape)

    def close(self) -> None:
        """Let go of the decoder and its frames."""
        self._decoder = None
        self._frames.clear()

    def _decode_picture(
        self, units: list[NalUnit], access: AccessUnit, timestamp: int
    ) -> DecodedFrame | ImageStatus:
        holds = access.sequence.reorder is None
        if access.lost or (access.begins and holds is not self._holds):
            self._stop()
        status = ImageStatus.WAITING_FOR_KEY_FRAME
        if self._decoder is not None:
            if not access.skipped:
                status = self._run(self._decoder, units, access, timestamp)
            if self._decoder is not None or not access.begins:
                return self._answer(status)
        if access.begins:
            # What was before a key frame, damaged perhaps, must not cost this one.
            status = self._run(self._begin(access), units, access, timestamp)
        return self._answer(status)

    def _begin(self, access: AccessUnit) -> PictureDecoder:
        self._holds = access.sequence.reorder is None
        self._decoder = PictureDecoder(
            self._codec, self._max_pixels, self._x264_build, holds=self._holds
        )
        self._sets.begin()
        self._pictures.begin()
        self._reordering.begin()
        return self._decoder

    def _run(
        self, decoder: PictureDecoder, units: list[NalUnit], access: AccessUnit, timestamp: int
    ) -> ImageStatus:
        """Have a picture decoded; return what its packet is answered with if no frame is ready."""
        place = self._pictures.advance()
        number = self._frames.send(timestamp, place)
        units = [*self._sets.for_decoder(access.sets), *units]
        decoded = decoder.decode(units, number, referred=place.referred)
        verdict, shown_from = decoded.verdict, self._pictures.shown_from
        if verdict is not Verdict.FINE:
            self._frames.withhold(number)
        frames = decoded.frames
        if self._holds and not self._pictures.between_fields:
            for _ in range(self._reordering.decode(place.order, access.sequence.most_reorder)):
                frames += decoder.release()
        # What refers to missing pictures may be anything, and nothing that is shown refers to it.
        is_shown = place.is_shown(shown_from)
        is_damaged = verdict is Verdict.DAMAGED and (is_shown or shown_from is None)
        # Or one before it, of which FFmpeg said nothing, or nothing that was understood.
        damaged = self._frames.take(
            frames, shown_from, number if is_damaged and place.referred else None
        )
        if damaged is not None:
            self._stop(damaged)
        if is_damaged or damaged is not None:
            return ImageStatus.CORRUPT_PACKET
        made_up = verdict is Verdict.MISSING and is_shown and place.referred
        if made_up or (verdict is Verdict.LEFT_OUT and access.begins):
            self._stop(number)
        comes = is_shown and verdict is Verdict.FINE
        return ImageStatus.NO_FRAME_YET if comes else ImageStatus.WAITING_FOR_KEY_FRAME

    def _stop(self, damaged: int | None = None) -> None:
        """Throw the decoder away; what it held back is good up to the first damaged picture."""
        decoder, self._decoder = self._decoder, None
        if decoder is not None:
            self._frames.take(decoder.drain(), self._pictures.shown_from, damaged)
        self._frames.forget_sent()

    def _answer(self, status: ImageStatus) -> DecodedFrame | ImageStatus:
        if status is ImageStatus.CORRUPT_PACKET:
            return status
        return self._frames.next() or status

    def _without_picture(self, units: list[NalUnit]) -> DecodedFrame | ImageStatus:
        self._before |= {unit.kind: unit for unit in units if unit.kind in KEPT}
        waiting = self._decoder is None
        return self._answer(
            ImageStatus.WAITING_FOR_KEY_FRAME if waiting else ImageStatus.NO_FRAME_YET
        )

    def _needed(self, unit: NalUnit) -> NalUnit | None:
        """Return a unit that the decoder is given; sets it gets when a picture needs them."""
        if unit.kind is Kind.PARTITION and self._sets.extended:
            raise UndecodableError("data partitions", "the Main or High profile")
        if unit.kind is Kind.SUPPLEMENT:
            self._x264_build = x264_build(unit) or self._x264_build
            return recovery_unit(unit, self._codec)
        return None if unit.kind in SETS else unit
