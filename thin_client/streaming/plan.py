"""Which codec, size, quality and frame rate a link can carry; numbers in, numbers out."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

from thin_client.contract import Codec
from thin_client.streaming.link import Link

__all__ = ["JpegSizes", "Plan", "Source", "Wishes", "choose", "fitted", "sentence", "wishes_from"]

# Of a link, what is planned with; the rest is for headers, answers and key frames.
USED_SHARE = 0.8
# Bits per pixel of x264's fastest preset: below the lower one detections suffer, above the upper
# one they gain nothing (docs/streaming.md).
LEAST_BITS_PER_PIXEL = 0.012
MOST_BITS_PER_PIXEL = 0.12
_LONGER_SIDES = (1920, 1600, 1280, 960, 640, 480, 320)
_QUALITIES = (80, 70, 60, 50)
# Bytes of a JPEG against quality 80, averaged over the sample pictures; measured once and then
# corrected with every frame that is sent.
_RELATIVE_BYTES = {
    100: 3.2,
    95: 2.1,
    90: 1.5,
    80: 1.0,
    70: 0.79,
    60: 0.67,
    50: 0.58,
    30: 0.42,
    1: 0.15,
}
_FRAME_DIVISORS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 30, 60, 120)


@dataclass(frozen=True)
class Source:
    """What a source gives.

    Attributes:
        width: of its frames, pixels.
        height: likewise.
        fps: frames per second.
        codec: of its packets, where the pipeline could take them as they are; else None.
        bits_per_s: of its packets; None where nobody knows yet.
    """

    width: int
    height: int
    fps: float
    codec: Codec | None = None
    bits_per_s: float | None = None


@dataclass(frozen=True)
class Wishes:
    """What a person asked for; None leaves the choice to the link.

    Attributes:
        codec: of what is sent; Codec.MJPEG is the stateless way, a JPEG a request.
        quality: of JPEGs, 1 to 100.
        max_side: longest side that is sent, pixels.
        fps: most frames per second.
        streams: whether the pipeline takes streams at all.
        input_side: longer side of the network's input, pixels; nothing is gained by less than it.
        fewer_frames: whether the frame rate may be lowered.
        reencode: whether packets of a source may be encoded anew.
    """

    codec: Codec | None = None
    quality: int | None = None
    max_side: int | None = None
    fps: float | None = None
    streams: bool = True
    input_side: int = 640
    fewer_frames: bool = True
    reencode: bool = True


@dataclass(frozen=True)
class Plan:
    """What is sent.

    Attributes:
        codec: of what is sent.
        passing: the source's packets as they are.
        width: of the frames, pixels.
        height: likewise.
        fps: frames per second.
        divisor: every so many frames of the source are sent, so that they leave evenly.
        bits_per_s: what an encoder may use, or what the packets or JPEGs are expected to need.
        quality: of JPEGs; None for video.
    """

    codec: Codec
    passing: bool
    width: int
    height: int
    fps: float
    divisor: int
    bits_per_s: float
    quality: int | None = None


def wishes_from(
    codec: str,
    *,
    quality: int | None,
    max_side: int | None,
    fps: float | None,
    streams: bool,
    input_side: int,
) -> Wishes:
    """Return the wishes that a person's words stand for; see Wishes for what each is.

    Raises:
        ValueError: a word or a number that means nothing.
    """
    codecs = {"auto": None, "h264": Codec.H264, "h265": Codec.H265, "jpeg": Codec.MJPEG}
    if codec not in codecs:
        raise ValueError(f"codec is {codec!r}, expected one of {', '.join(codecs)}")
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality}, expected 1 to 100")
    if max_side is not None and max_side < 2:
        raise ValueError(f"max_side is {max_side}, expected at least 2 pixels")
    if fps is not None and not fps > 0:
        raise ValueError(f"fps is {fps}, expected more than 0")
    # A quality is one of JPEGs, and whoever names it wants them.
    wanted = Codec.MJPEG if codec == "auto" and quality is not None else codecs[codec]
    return Wishes(wanted, quality, max_side, fps, streams=streams, input_side=input_side)


class JpegSizes:
    """How many bytes a JPEG will have; learns from those that were encoded."""

    def __init__(self, bytes_per_pixel: float = 0.06) -> None:
        self._bytes_per_pixel = bytes_per_pixel  # at quality 80

    def predict(self, width: int, height: int, quality: int) -> float:
        """Return the bytes of a frame."""
        return self._bytes_per_pixel * _relative_bytes(quality) * width * height

    def learn(self, width: int, height: int, quality: int, size: int, weight: float = 0.2) -> None:
        """Count a JPEG of ``size`` bytes."""
        found = size / (width * height * _relative_bytes(quality))
        self._bytes_per_pixel += weight * (found - self._bytes_per_pixel)


def choose(source: Source, wishes: Wishes, bits_per_s: float, jpegs: JpegSizes) -> Plan:
    """Return what to send over a link of so many bits per second.

    Packets that exist already pass as they are when they fit: they cost no time and no quality.
    Else the frame is made smaller before frames are left out, but not smaller than the network's
    input, and frames are left out before a picture is worse than the network can use.
    """
    usable = bits_per_s * USED_SHARE
    codec = wishes.codec or (Codec.H264 if wishes.streams else Codec.MJPEG)
    if _may_pass(source, wishes) and source.codec is not None:
        fits = source.bits_per_s is None or source.bits_per_s <= usable
        if fits or not wishes.reencode:
            return Plan(
                source.codec,
                passing=True,
                width=source.width,
                height=source.height,
                fps=source.fps,
                divisor=1,
                bits_per_s=source.bits_per_s or usable,
            )
    first = max(1, round(source.fps / wishes.fps)) if wishes.fps else 1
    divisors = [first * each for each in _FRAME_DIVISORS] if wishes.fewer_frames else [first]
    for divisor in divisors:
        plans = _plans(source, wishes, codec, divisor, jpegs)
        for plan in plans:
            if plan.bits_per_s <= usable:
                return _with_room(plan, usable)
    return _with_room(plan, usable)


def fitted(plan: Plan, new: Plan) -> Plan:
    """Return ``new``, or ``plan`` where the difference is not worth a change.

    A new encoder begins with a key frame, so video changes only for a sixth of its rate and more.
    """
    same_shape = replace(new, bits_per_s=plan.bits_per_s) == plan
    ratio = new.bits_per_s / plan.bits_per_s
    return plan if same_shape and (new.codec is Codec.MJPEG or 0.85 < ratio < 1.18) else new


def sentence(plan: Plan, source: Source, link: Link) -> str:
    """Return the choice as a line for a person."""
    size = f"{plan.width}x{plan.height}"
    name = {"h264": "H.264", "h265": "H.265", "mjpeg": "JPEG"}[plan.codec.value]
    if plan.passing:
        what = f"the source's {name} passes through as it is, {size}"
    elif plan.quality is not None:
        what = f"JPEG of quality {plan.quality}, {size}"
    else:
        what = f"{name} encoded here, {size}"
    per_frame = plan.bits_per_s / plan.fps / 8000
    shrunk = f" (of {source.width}x{source.height})" if plan.width < source.width else ""
    return (
        f"link {link.bits_per_s / 1e6:.1f} Mbit/s, round trip {link.rtt_s * 1e3:.1f} ms: {what}"
        f"{shrunk}, {plan.fps:.3g} frames/s, up to {plan.bits_per_s / 1e6:.2f} Mbit/s"
        f" ({per_frame:.1f} KB a frame)"
    )


def _may_pass(source: Source, wishes: Wishes) -> bool:
    """Return whether nothing that was asked for needs another encoding."""
    as_asked = wishes.codec in (None, source.codec)
    side_fits = wishes.max_side is None or wishes.max_side >= max(source.width, source.height)
    rate_fits = wishes.fps is None or wishes.fps >= source.fps
    if source.codec is Codec.MJPEG:
        return as_asked and side_fits and rate_fits and wishes.quality is None
    return wishes.streams and as_asked and side_fits and rate_fits


def _plans(
    source: Source, wishes: Wishes, codec: Codec, divisor: int, jpegs: JpegSizes
) -> list[Plan]:
    """Return what can be sent at one frame rate, the best first."""
    fps = source.fps / divisor
    plans = []
    for width, height in _sizes(source, wishes):
        frame = Plan(codec, False, width, height, fps, divisor, 0.0)
        if codec is Codec.MJPEG:
            for quality in (wishes.quality,) if wishes.quality else _QUALITIES:
                rate = 8 * fps * jpegs.predict(width, height, quality)
                plans.append(replace(frame, bits_per_s=rate, quality=quality))
        else:
            plans.append(replace(frame, bits_per_s=LEAST_BITS_PER_PIXEL * width * height * fps))
    return plans


def _sizes(source: Source, wishes: Wishes) -> list[tuple[int, int]]:
    """Return the sizes in question, even numbers as 4:2:0 needs them, the largest first."""
    longer = max(source.width, source.height)
    most = min(longer, wishes.max_side or longer)
    least = min(most, wishes.input_side)
    sides = {most, least} | {side for side in _LONGER_SIDES if least <= side <= most}
    return [
        (_even(source.width * side / longer), _even(source.height * side / longer))
        for side in sorted(sides, reverse=True)
    ]


def _even(pixels: float) -> int:
    return max(2, 2 * round(pixels / 2))


def _with_room(plan: Plan, usable: float) -> Plan:
    """Give an encoder what the link has, up to where more bits gain nothing."""
    if plan.codec is Codec.MJPEG:
        return plan
    most = MOST_BITS_PER_PIXEL * plan.width * plan.height * plan.fps
    return replace(plan, bits_per_s=min(usable, most))


def _relative_bytes(quality: int) -> float:
    """Return the bytes at a quality against those at quality 80, between the points on a line."""
    points = sorted(_RELATIVE_BYTES.items())
    for (low, less), (high, more) in itertools.pairwise(points):
        if quality <= high:
            share = (quality - low) / (high - low)
            return math.exp((1 - share) * math.log(less) + share * math.log(more))
    return points[-1][1]
