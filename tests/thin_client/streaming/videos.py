"""Small videos that PyAV makes, and what is in them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, FPS = 320, 192, 30


def write_video(
    path: Path,
    codec: str = "libx264",
    *,
    count: int = 60,
    key_every: int = 20,
    b_frames: int = 0,
    fps: int = FPS,
    turned: tuple[int, bool] = (0, False),
    aspect: Fraction | None = None,
    muxer: dict[str, str] | None = None,
    **more: str,
) -> Path:
    """A video whose frames are all different; H.264, H.265, MJPEG or MPEG-4 by its codec.

    Args:
        path: its suffix is the container.
        codec: the encoder.
        count: of frames.
        key_every: so many frames.
        b_frames: between two others.
        fps: frames per second.
        turned: by how many degrees clockwise it is to be turned, and whether it is mirrored before.
        aspect: of its pixels.
        muxer: options of the container.
        more: options of the encoder.
    """
    options = {
        "libx264": {"preset": "ultrafast", "bf": str(b_frames), "sc_threshold": "0"},
        "libx265": {
            "preset": "ultrafast",
            "x265-params": f"bframes={b_frames}:keyint={key_every}:scenecut=0:log-level=none",
        },
    }.get(codec, {})
    if codec == "libx264" and not b_frames:
        options["tune"] = "zerolatency"
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=fps, options={**options, **more})
        stream.width, stream.height = WIDTH, HEIGHT
        degrees, mirror = turned
        if degrees or mirror:
            stream.set_display_matrix(display_matrix(degrees, mirror=mirror))
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.gop_size = key_every
        noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(np.roll(noise, 2 * number, axis=1), "rgb24")
            frame = frame.reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = number, Fraction(1, fps)
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


def display_matrix(degrees: int, *, mirror: bool) -> list[int]:
    """Where a player puts a stored pixel: mirrored, and then turned clockwise on the screen."""
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    right = (-cosine, -sine) if mirror else (cosine, sine)
    down = (-sine, cosine)
    return [
        *(65536 * part for part in right),
        0,
        *(65536 * part for part in down),
        0,
        0,
        0,
        1 << 30,
    ]


def moved(path: Path, to: Path, seconds: float) -> Path:
    """A copy as MPEG-TS whose clock is that much later."""
    with (
        av.open(str(path)) as source,
        av.open(str(to), "w", format="mpegts", options={"mpegts_copyts": "1"}) as container,
    ):
        stream = source.streams.video[0]
        track = container.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                ticks = round(seconds / stream.time_base)
                packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                packet.stream = track
                container.mux(packet)
    return to


def joined(to: Path, *paths: Path) -> Path:
    """Files of a kind one after the other, as recorders leave them: each with its own clock."""
    to.write_bytes(b"".join(path.read_bytes() for path in paths))
    return to


def shown_by_a_player(path: Path) -> list[int]:
    """Sums of the pixels of the frames that libavcodec shows of a file, in order."""
    with av.open(str(path)) as container:
        return [int(frame.to_ndarray().sum()) for frame in container.decode(video=0)]
