"""Video to measure with: a pan over the sample pictures, 1080p at 30 frames a second.

As cameras give it: H.264 and H.265 of 2.8 and 2 Mbit/s, no B-frames, a key frame every two seconds,
and Motion JPEG of quality 80.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, FPS = 1920, 1080, 30
H264_BITS, H265_BITS = 2_800_000, 2_000_000
# The camera's view is the middle of a picture so much larger than the frame.
ZOOM = 1.5
SECONDS_A_PICTURE = 5


def frames(pictures: list[Path], seconds: float) -> Iterator[av.VideoFrame]:
    """Yield the frames, yuv420p; one picture after the other."""
    count = round(seconds * FPS)
    per_picture = SECONDS_A_PICTURE * FPS
    for first in range(0, count, per_picture):
        planes = _planes(pictures[first // per_picture % len(pictures)])
        rows, columns = planes[0].shape
        for step in range(min(per_picture, count - first)):
            # Along a line that comes back; even numbers, as the colours have half the pixels.
            left = _back_and_forth(4 * step, columns - WIDTH)
            top = _back_and_forth(2 * step, rows - HEIGHT)
            yield _frame(planes, left, top)


def write(pictures: list[Path], seconds: float, folder: Path) -> dict[str, Path]:
    """Write the pan as ``h264``, ``h265`` and ``mjpeg``; return the files by those names."""
    limit = {"preset": "ultrafast", "tune": "zerolatency"}
    x265 = f"bframes=0:keyint={2 * FPS}:log-level=none:vbv-maxrate=2000:vbv-bufsize=240"
    kinds = {
        "h264": (
            "libx264",
            "yuv420p",
            {**limit, "bf": "0", "g": str(2 * FPS), "maxrate": "2800000", "bufsize": "336000"},
        ),
        "h265": ("libx265", "yuv420p", {**limit, "x265-params": x265}),
        # FFmpeg's scale for what libjpeg calls 80.
        "mjpeg": ("mjpeg", "yuvj420p", {"qmin": "3", "qmax": "3", "huffman": "default"}),
    }
    rates = {"h264": H264_BITS, "h265": H265_BITS}
    files, open_files = {}, []
    for name, (codec, pixels, options) in kinds.items():
        files[name] = folder / f"{name}{'.avi' if name == 'mjpeg' else '.mp4'}"
        container = av.open(str(files[name]), "w")
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        if name in rates:
            stream.bit_rate = rates[name]
        open_files.append((container, stream))
    for number, frame in enumerate(frames(pictures, seconds)):
        for container, stream in open_files:
            made = frame.reformat(format=stream.pix_fmt)
            made.pts, made.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(made))
    for container, stream in open_files:
        container.mux(stream.encode(None))
        container.close()
    return files


def _planes(picture: Path) -> list[np.ndarray]:
    with av.open(str(picture)) as container:
        found = next(container.decode(video=0))
    scale = ZOOM * max(WIDTH / found.width, HEIGHT / found.height)
    width, height = (2 * round(side * scale / 2) for side in (found.width, found.height))
    array = found.reformat(width, height, "yuv420p").to_ndarray()
    chroma = height // 2 * (width // 2)
    colours = array[height:].reshape(2, chroma)
    return [array[:height], *(each.reshape(height // 2, width // 2) for each in colours)]


def _frame(planes: list[np.ndarray], left: int, top: int) -> av.VideoFrame:
    luma = planes[0][top : top + HEIGHT, left : left + WIDTH]
    halves = [
        plane[top // 2 : (top + HEIGHT) // 2, left // 2 : (left + WIDTH) // 2].reshape(-1, WIDTH)
        for plane in planes[1:]
    ]
    return av.VideoFrame.from_ndarray(
        np.ascontiguousarray(np.concatenate([luma, *halves])), "yuv420p"
    )


def _back_and_forth(position: int, room: int) -> int:
    room -= room % 2
    return (
        position % (2 * room) if position % (2 * room) <= room else 2 * room - position % (2 * room)
    )
