"""Which codec, size, quality and frame rate a link can carry; numbers in, numbers out."""

from __future__ import annotations

from dataclasses import dataclass, replace

from thin_client.contract import Codec
from thin_client.streaming.jpeg_sizes import JpegSizes
from thin_client.streaming.link import Link
from thin_client.streaming.orientation import UPRIGHT
from thin_client.streaming.thinning import SAME_RATE
from thin_client.streaming.wishes import Source, Wishes

__all__ = ["Plan", "choose", "fitted", "follow", "sentence"]

# Of a link, what is planned with; the rest is for headers, answers and key frames.
USED_SHARE = 0.8
# Bits per pixel of x264's fastest preset: below the lower one detections suffer, above the upper
# one they gain nothing (docs/streaming.md).
LEAST_BITS_PER_PIXEL = 0.03
MOST_BITS_PER_PIXEL = 0.12
_SPARED = 0.85
_LONGER_SIDES = (1920, 1600, 1280, 960, 640, 480, 320)
_QUALITIES = (80, 70, 60, 50, 40, 30)
_FRAME_DIVISORS = (1, 2, 3, 4, 5, 6, 8, 10, 15, 30, 60, 120)


@dataclass(frozen=True)
class Plan:
    """What is sent.

    Attributes:
        codec: of what is sent.
        passing: the source's packets as they are.
        width: of the frames, pixels.
        height: likewise.
        fps: frames per second.
        bits_per_s: what an encoder may use, or what the packets or JPEGs are expected to need.
        quality: of JPEGs; None for video.
    """

    codec: Codec
    passing: bool
    width: int
    height: int
    fps: float
    bits_per_s: float
    quality: int | None = None


def choose(source: Source, wishes: Wishes, bits_per_s: float, jpegs: JpegSizes) -> Plan:
    """Return what to send over a link of so many bits per second.

    Packets that exist already pass as they are when they fit: they cost no time and no quality.
    Else the frame is made smaller before frames are left out, but not smaller than the network's
    input, and frames are left out before a picture is worse than the network can use: every second
    or third of the most that are wanted, so that the rest leaves as evenly as those would.
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
                bits_per_s=source.bits_per_s or usable,
            )
    most = min(source.fps, wishes.fps or source.fps)
    for divisor in _FRAME_DIVISORS if wishes.fewer_frames else (1,):
        plans = _plans(source, wishes, codec, most / divisor, jpegs)
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


def follow(plan: Plan, source: Source, wishes: Wishes, bits_per_s: float, jpegs: JpegSizes) -> Plan:
    """Return what to send now that the link carries so much: ``plan``, unless that has to change.

    More is sent only where there is room to spare, so that a plan is held and does not swing.
    """
    new = choose(source, wishes, bits_per_s, jpegs)
    if new.bits_per_s > plan.bits_per_s:
        new = choose(source, wishes, _SPARED * bits_per_s, jpegs)
        if new.bits_per_s <= plan.bits_per_s:
            return plan
    return fitted(plan, new)


def sentence(plan: Plan, source: Source, link: Link) -> str:
    """Return the choice as a line for a person."""
    size = f"{plan.width}x{plan.height}"
    name = {"h264": "H.264", "h265": "H.265", "mjpeg": "JPEG"}[plan.codec.value]
    if plan.passing:
        what = f"the source's {name} passes through as it is, {size}{_turned(source)}"
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


def _turned(source: Source) -> str:
    """Return what the server does to frames that lie, or stand on their heads."""
    rotation, mirror = source.orientation.rotation, source.orientation.mirror
    turned = [f"by {rotation} degrees"] if rotation else []
    turned += ["mirrored"] if mirror else []
    return f" (turned upright by the server: {', '.join(turned)})" if turned else ""


def _may_pass(source: Source, wishes: Wishes) -> bool:
    """Return whether nothing that was asked for needs another encoding."""
    as_asked = wishes.codec in (None, source.codec)
    side_fits = wishes.max_side is None or wishes.max_side >= max(source.width, source.height)
    rate_fits = wishes.fps is None or SAME_RATE * wishes.fps >= source.fps
    is_turned = wishes.turns or source.orientation == UPRIGHT
    if source.codec is Codec.MJPEG:
        return as_asked and side_fits and rate_fits and wishes.quality is None
    return wishes.streams and as_asked and side_fits and rate_fits and is_turned


def _plans(
    source: Source, wishes: Wishes, codec: Codec, fps: float, jpegs: JpegSizes
) -> list[Plan]:
    """Return what can be sent at one frame rate, the best first."""
    plans = []
    for width, height in _sizes(source, wishes):
        frame = Plan(codec, False, width, height, fps, 0.0)
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
