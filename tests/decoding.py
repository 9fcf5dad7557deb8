"""What the stream decoder, and FFmpeg's alone, make of a stream's packets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
from contract import Codec, ImageStatus
from numpy.typing import NDArray

from frame_queue import DecodedFrame
from tests import videos
from video_decoder import VideoDecoder

WAITING, HELD_BACK, CORRUPT = (
    ImageStatus.WAITING_FOR_KEY_FRAME,
    ImageStatus.NO_FRAME_YET,
    ImageStatus.CORRUPT_PACKET,
)
MOST_PIXELS = 10**7
# Empty packets at the end: more than any decoder holds back.
EMPTY = 20
Planes = NDArray[Any]


@dataclass
class Answered:
    """What a stream was answered with.

    Attributes:
        statuses: of each packet.
        frames: planes by timestamp, in the order in which they came.
        held: frames that came with empty packets at the end.
    """

    statuses: list[ImageStatus] = field(default_factory=list)
    frames: dict[int, Planes] = field(default_factory=dict)
    held: int = 0


def stream_decoder(codec: str) -> VideoDecoder:
    return VideoDecoder(Codec(codec), MOST_PIXELS, lambda _: None, lambda _: None)


def answered(
    codec: str, packets: Sequence[bytes], numbers: Sequence[int] | None = None
) -> Answered:
    """Decode a stream whole; timestamps are the packets' numbers."""
    stream, found = stream_decoder(codec), Answered()
    for number, packet in zip(numbers or range(len(packets)), packets, strict=True):
        found.statuses.append(_take(stream, packet, number, found))
    while _take(stream, b"", -1, found) is ImageStatus.OK:
        found.held += 1
        assert found.held < EMPTY
    return found


def planes_of(frame: av.VideoFrame) -> Planes:
    """Every sample of a frame."""
    if frame.format.components[0].bits == 8:
        return frame.to_ndarray()
    # Which not every PyAV has as an array.
    rows = (np.frombuffer(memoryview(each), np.uint16) for each in frame.planes)
    whole = [row.reshape(each.height, -1) for row, each in zip(rows, frame.planes, strict=True)]
    cropped = (row[:, : each.width] for row, each in zip(whole, frame.planes, strict=True))
    return np.concatenate([row.ravel() for row in cropped])


def _take(stream: VideoDecoder, packet: bytes, number: int, found: Answered) -> ImageStatus:
    answer = stream.decode(packet, number)
    if not isinstance(answer, DecodedFrame):
        return answer
    assert answer.timestamp not in found.frames, "a frame came twice"
    found.frames[answer.timestamp] = planes_of(answer.frame)
    return ImageStatus.OK


def by_ffmpeg(
    codec: str, packets: Sequence[bytes], numbers: Sequence[int] | None = None
) -> dict[int, Planes]:
    """What FFmpeg's decoder shows of packets, as it comes; by the number of the packet."""
    context: Any = av.CodecContext.create(videos.DECODERS[codec], "r")
    context.thread_count = 1
    frames = []
    for number, data in zip(numbers or range(len(packets)), packets, strict=True):
        packet = av.Packet(data + bytes(64))
        packet.pts = packet.dts = number
        try:
            frames += context.decode(packet)
        except av.FFmpegError:
            continue
    frames += context.decode(None)
    return {frame.pts: planes_of(frame) for frame in frames}


def wrong(found: Mapping[int, Planes], expected: Mapping[int, Planes]) -> list[int]:
    """Which frames are not what they are of the whole stream."""
    return [
        number
        for number, planes in found.items()
        if number not in expected or not np.array_equal(planes, expected[number])
    ]
