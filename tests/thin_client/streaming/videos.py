"""Small videos that PyAV makes, and what is in them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, FPS = 320, 192, 30


def write_video(
    path: Path, codec: str = "libx264", *, count: int = 60, key_every: int = 20, b_frames: int = 0
) -> Path:
    """A video whose frames are all different; H.264, H.265, MJPEG or MPEG-4 by its codec."""
    options = {
        "libx264": {"preset": "ultrafast", "bf": str(b_frames), "sc_threshold": "0"},
        "libx265": {
            "preset": "ultrafast",
            "x265-params": f"bframes={b_frames}:keyint={key_every}:scenecut=0:log-level=none",
        },
    }.get(codec, {})
    if codec == "libx264" and not b_frames:
        options["tune"] = "zerolatency"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = key_every
        noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, 2 * number, axis=1), "rgb24")
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def annex_b(path: Path, name: str) -> list[bytes]:
    """The access units of a file as FFmpeg's own filter gives them."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        to_annex_b = av.bitstream.BitStreamFilterContext(name, stream)
        return [
            bytes(unit)
            for packet in container.demux(stream)
            if packet.size
            for unit in to_annex_b.filter(packet)
        ]


def packets(path: Path) -> list[bytes]:
    """The packets of a file as they are."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]
