"""How a source's frames have to be turned to be upright."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thin_client.streaming.pyav import load_pyav

__all__ = ["UPRIGHT", "Orientation", "orientation_in", "orientation_of", "upright_picture"]

# FFmpeg's AV_PKT_DATA_DISPLAYMATRIX (libavutil/display.h): a b u c d v x y w, 16.16 fixed point.
_MATRIX = struct.Struct("=9i")
# No camera writes another angle than a quarter turn; one in between has no upright rectangle.
_SLOPPY_DEGREES = 1.0
# Packets until a frame comes out, where the first are damaged.
_LOOKED_AT = 64


@dataclass(frozen=True)
class Orientation:
    """What a container says of its frames, in the words of the contract's STREAM_OPTIONS.

    Attributes:
        rotation: degrees clockwise, one of ROTATIONS.
        mirror: left and right change places, before the rotation.
    """

    rotation: int = 0
    mirror: bool = False

    @property
    def lies(self) -> bool:
        """Whether width and height change places."""
        return self.rotation in (90, 270)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of the upright frame."""
        return (height, width) if self.lies else (width, height)

    def turned(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Return a frame, uint8 [height, width, 3], upright and contiguous."""
        mirrored = pixels[:, ::-1] if self.mirror else pixels
        return np.ascontiguousarray(np.rot90(mirrored, -self.rotation // 90))


UPRIGHT = Orientation()


def orientation_of(matrix: bytes) -> Orientation:
    """Return what a display matrix says, as FFmpeg keeps it.

    It maps a stored pixel (p, q) to (a p + c q, b p + d q) on the screen. A negative determinant
    mirrors; what is left of the map without that is a rotation by the angle of (a, b).
    """
    a, b, _, c, d, *_ = _MATRIX.unpack(matrix)
    mirror = a * d - b * c < 0
    degrees = math.degrees(math.atan2(-b if mirror else b, -a if mirror else a)) % 360
    turns = round(degrees / 90)
    if abs(degrees - 90 * turns) > _SLOPPY_DEGREES:
        return UPRIGHT
    return Orientation(90 * (turns % 4), mirror)


def orientation_in(container: Any) -> Orientation:
    """Return what an open container says of its first video stream; reads it up to a frame.

    PyAV gives the display matrix with frames only.
    """
    av = load_pyav("streaming")
    kind = av.sidedata.sidedata.Type.DISPLAYMATRIX
    stream = container.streams.video[0]
    for number, packet in enumerate(container.demux(stream)):
        try:
            frames = stream.codec_context.decode(packet if packet.size else None)
        except av.error.FFmpegError:
            frames = []
        for frame in frames:
            matrix = frame.side_data.get(kind)
            return UPRIGHT if matrix is None else orientation_of(bytes(matrix))
        if number >= _LOOKED_AT:
            break
    return UPRIGHT


def upright_picture(picture: Any, orientation: Orientation) -> Any:
    """Return a frame (av.VideoFrame) turned; the same one where it is upright already."""
    if orientation == UPRIGHT:
        return picture
    av = load_pyav("streaming")
    pixels = orientation.turned(picture.to_ndarray(format="bgr24"))
    turned = av.VideoFrame.from_ndarray(pixels, "bgr24")
    turned.pts = picture.pts
    if picture.time_base is not None:
        turned.time_base = picture.time_base
    return turned
