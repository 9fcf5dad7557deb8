"""Videos made for the tests, and what a decoder in this process makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
ENCODERS = {"h264": "libx264", "h265": "libx265"}
DECODERS = {"h264": "h264", "h265": "hevc"}


def pan(file: Path, count: int, *, width: int = 320, height: int = 240) -> Iterator[Picture]:
    """Yield BGR pictures that pan over a photograph."""
    photograph = cv2.imread(str(file))
    assert photograph is not None
    room_y, room_x = photograph.shape[0] - height, photograph.shape[1] - width
    for number in range(count):
        x, y = room_x * number // count, room_y * number // count
        yield np.ascontiguousarray(photograph[y : y + height, x : x + width])


def encoded(
    codec: str, pictures: Iterable[Picture], *, gop: int = 10, b_frames: int = 0, **options: str
) -> list[bytes]:
    """Return an access unit for each picture, in decoding order; MJPEG as JPEG files."""
    pictures = list(pictures)
    if codec == "mjpeg":
        return [cv2.imencode(".jpg", picture)[1].tobytes() for picture in pictures]
    context: Any = av.CodecContext.create(ENCODERS[codec], "w")
    context.height, context.width = pictures[0].shape[:2]
    context.pix_fmt = options.pop("pix_fmt", "yuv420p")
    context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
    context.thread_count = 1
    context.gop_size, context.max_b_frames = gop, b_frames
    context.options = {"preset": "veryfast" if b_frames else "ultrafast", **options}
    if not b_frames:
        context.options |= {"tune": "zerolatency"}
    if codec == "h265":
        more = options.get("x265-params", "")
        context.options |= {
            "x265-params": f"log-level=error:keyint={gop}:bframes={b_frames}:pools=1:{more}"
        }
    packets = []
    for number, picture in enumerate(pictures):
        frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
        frame.pts = number
        packets += context.encode(frame)
    return [bytes(packet) for packet in [*packets, *context.encode(None)]]


def decoded(codec: str, packets: Sequence[bytes]) -> dict[int, Picture]:
    """Return each frame that a decoder makes of the packets, by the number of its packet."""
    if codec == "mjpeg":
        files = [np.frombuffer(packet, np.uint8) for packet in packets]
        return {number: cv2.imdecode(file, 1) for number, file in enumerate(files)}  # type: ignore[misc]
    context: Any = av.CodecContext.create(DECODERS[codec], "r")
    frames = []
    for number, data in enumerate(packets):
        packet = av.Packet(data)
        packet.pts = number
        frames += context.decode(packet)
    frames += context.decode(None)
    return {frame.pts: frame.to_ndarray(format="bgr24") for frame in frames}


def with_wrong_bytes(packet: bytes, at: int, count: int = 4) -> bytes:
    """Return a packet of which some bytes are not what they were."""
    wrong = bytes(value ^ 0x55 for value in packet[at : at + count])
    return packet[:at] + wrong + packet[at + count :]


def key_packets(codec: str, packets: Sequence[bytes]) -> list[int]:
    """Return the numbers of the packets at which decoding can begin."""
    context: Any = av.CodecContext.create(DECODERS[codec], "r")
    frames = []
    for number, data in enumerate(packets):
        packet = av.Packet(data)
        packet.pts = number
        frames += context.decode(packet)
    frames += context.decode(None)
    return sorted(frame.pts for frame in frames if frame.key_frame)
