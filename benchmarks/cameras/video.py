"""What the cameras of the bench send: a moving scene, 1080p at 30 frames a second.

H.264 of 4 Mbit/s and H.265 of 3, no B-frames, a key frame every two seconds.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext

sys.path.insert(0, str(Path(__file__).parents[1] / "stream"))
from pan import FPS, HEIGHT, WIDTH, frames

# The pan comes back to where it began.
SECONDS = 20.0
KEY_FRAMES = 2 * FPS
ENCODERS = {
    "h264": (
        "libx264",
        4_000_000,
        {
            "preset": "veryfast",
            "bf": "0",
            "g": str(KEY_FRAMES),
            "maxrate": "4000000",
            "bufsize": "1000000",
            "x264-params": "scenecut=0",
        },
    ),
    "h265": (
        "libx265",
        3_000_000,
        {
            "preset": "ultrafast",
            "x265-params": (
                f"bframes=0:keyint={KEY_FRAMES}:min-keyint={KEY_FRAMES}:scenecut=0:log-level=none:"
                "vbv-maxrate=3000:vbv-bufsize=750"
            ),
        },
    ),
}


def write(codec: str, pictures: list[Path], file: Path) -> None:
    """Write the scene, one of :data:`ENCODERS`, as MP4."""
    encoder, rate, options = ENCODERS[codec]
    with av.open(str(file), "w") as container:
        stream = container.add_stream(encoder, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = rate
        for number, frame in enumerate(frames(pictures, SECONDS)):
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def access_units(file: Path) -> list[bytes]:
    """Return the pictures of a file in Annex B, their parameter sets before key frames."""
    with av.open(str(file)) as container:
        stream = container.streams.video[0]
        name = "h264" if stream.codec_context.name == "h264" else "hevc"
        to_annex_b = BitStreamFilterContext(f"{name}_mp4toannexb", stream)
        units = []
        for packet in container.demux(stream):
            units += [bytes(each) for each in to_annex_b.filter(packet)]
        return [unit for unit in units if unit]
