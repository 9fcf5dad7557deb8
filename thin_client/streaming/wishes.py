"""What there is to send, and what a person wants of it."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from thin_client.contract import Codec
from thin_client.streaming.orientation import UPRIGHT, Orientation

__all__ = ["Source", "Wishes", "wishes_from"]


@dataclass(frozen=True)
class Source:
    """What a source gives.

    Attributes:
        width: of its upright frames, pixels as they are stored.
        height: likewise.
        fps: frames per second.
        codec: of its packets, where the pipeline could take them as they are; else None.
        bits_per_s: of its packets; None where nobody knows yet.
        orientation: how frames have to be turned to be upright.
        sample_aspect_ratio: width to height of a pixel of the upright frame.
        fields: whether two packets may be the fields of one frame; H.264 only.
    """

    width: int
    height: int
    fps: float
    codec: Codec | None = None
    bits_per_s: float | None = None
    orientation: Orientation = UPRIGHT
    sample_aspect_ratio: Fraction = Fraction(1)
    fields: bool = False


@dataclass(frozen=True)
class Wishes:
    """What a person asked for; None leaves the choice to the link.

    Attributes:
        codec: of what is sent; Codec.MJPEG is the stateless way, a JPEG a request.
        quality: of JPEGs, 1 to 100.
        max_side: longest side that is sent, pixels.
        fps: most frames per second.
        streams: whether the pipeline takes streams at all.
        turns: whether it turns the frames of a stream upright.
        input_side: longer side of the network's input, pixels; nothing is gained by less than it.
        fewer_frames: whether the frame rate may be lowered.
        reencode: whether packets of a source may be encoded anew.
    """

    codec: Codec | None = None
    quality: int | None = None
    max_side: int | None = None
    fps: float | None = None
    streams: bool = True
    turns: bool = True
    input_side: int = 640
    fewer_frames: bool = True
    reencode: bool = True

    @property
    def stateless(self) -> bool:
        """Whether JPEGs were asked for, each a request of its own: nothing follows the stream."""
        return self.codec is Codec.MJPEG


def wishes_from(
    codec: str,
    *,
    quality: int | None,
    max_side: int | None,
    fps: float | None,
    streams: bool,
    turns: bool,
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
    return Wishes(
        wanted, quality, max_side, fps, streams=streams, turns=turns, input_side=input_side
    )
