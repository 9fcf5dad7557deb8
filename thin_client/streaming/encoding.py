"""Frames to H.264, H.265 or JPEG, with the fastest encoders there are; through PyAV."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from thin_client.contract import Codec
from thin_client.errors import PyAVMissing
from thin_client.streaming.plan import Plan
from thin_client.streaming.pyav import load_pyav
from thin_client.streaming.units import Unit

__all__ = ["Encoder"]

# What a rate limit looks at: a key frame may be as long, and no longer.
BUFFER_S = 0.12
# A key frame is only needed where a decoder begins, and that is asked for.
KEY_EVERY_S = 10
_X264 = {
    "preset": "ultrafast",
    "tune": "zerolatency",
    "bf": "0",
    # Bits go where they are seen to be missing, up to the limit below: a still picture needs none.
    "crf": "26",
}
_X265 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "28"}
_NAMES = {Codec.H264: "libx264", Codec.H265: "libx265", Codec.MJPEG: "mjpeg"}


class Encoder:
    """Encodes frames as a plan says; every frame gives its unit at once.

    Args:
        plan: codec, size, frame rate, bits per second, quality.

    Raises:
        PyAVMissing: there is no PyAV, or it has no encoder for the codec.
    """

    def __init__(self, plan: Plan) -> None:
        self._av = load_pyav("streaming")
        self._plan = plan
        self._count = 0
        self._context = self._open()

    def encode(self, picture: Any, timestamp_us: int, taken_at: float) -> Unit:
        """Return the unit of a frame (av.VideoFrame).

        Args:
            picture: of any size and format.
            timestamp_us: of the frame.
            taken_at: when the source gave it.
        """
        plan = self._plan
        frame = picture.reformat(plan.width, plan.height, self._context.pix_fmt)
        if frame is picture:
            # Its fields are changed, and others may look at the same picture.
            frame = self._av.VideoFrame.from_ndarray(picture.to_ndarray(), picture.format.name)
        frame.pts, frame.time_base = self._count, self._context.time_base
        frame.pict_type = 0  # the encoder's own choice, whatever it was in the source
        self._count += 1
        packets = self._context.encode(frame)
        data = b"".join(bytes(packet) for packet in packets)
        is_key = plan.codec is Codec.MJPEG or any(packet.is_keyframe for packet in packets)
        return Unit(data, plan.codec, timestamp_us, is_key, plan.codec is Codec.MJPEG, taken_at)

    def _open(self) -> Any:
        plan = self._plan
        name = _NAMES[plan.codec]
        try:
            context = self._av.CodecContext.create(name, "w")
        except self._av.error.FFmpegError as error:
            raise PyAVMissing(
                f"this PyAV has no encoder {name}; install one from PyPI, or use --codec jpeg"
            ) from error
        rate = Fraction(plan.fps).limit_denominator(1001)
        context.width, context.height = plan.width, plan.height
        context.framerate, context.time_base = rate, 1 / rate
        if plan.codec is Codec.MJPEG:
            step = qscale(plan.quality or 80)
            context.pix_fmt = "yuvj420p"
            context.qmin = context.qmax = step
            context.options = {"huffman": "default"}
            return context
        context.pix_fmt = "yuv420p"
        limit = {
            "maxrate": str(round(plan.bits_per_s)),
            "bufsize": str(round(plan.bits_per_s * BUFFER_S)),
        }
        keyint = max(1, round(KEY_EVERY_S * plan.fps))
        if plan.codec is Codec.H264:
            settings = f"keyint={keyint}:scenecut=0"
            context.options = {**_X264, **limit, "forced-idr": "1", "x264-params": settings}
        else:
            kbits = round(plan.bits_per_s / 1000)
            settings = (
                f"keyint={keyint}:scenecut=0:bframes=0:log-level=none:repeat-headers=1"
                f":vbv-maxrate={kbits}:vbv-bufsize={max(1, round(kbits * BUFFER_S))}"
            )
            context.options = {**_X265, "forced-idr": "1", "x265-params": settings}
        return context


def qscale(quality: int) -> int:
    """Return FFmpeg's quantiser for a JPEG quality of 1 to 100.

    libjpeg scales its tables by 5000/quality percent below 50 and by 200 - 2 * quality above
    (jcparam.c); FFmpeg scales its one by quantiser/8. With the factor the sample
    pictures have libjpeg's bytes to within a sixth for qualities of 20 to 95; above, libjpeg has
    more.
    """
    percent = 5000 / quality if quality < 50 else 200 - 2 * quality
    return min(31, max(1, round(percent * 0.085)))
