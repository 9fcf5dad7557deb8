"""How the frames of a stream have to be turned to be upright, and turning them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
from contract import ROTATIONS, Codec

from refusals import RefusedPacketError
from request_parameters import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

TURNS = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}
LEFT_AND_RIGHT = 1  # cv2.flip's axis


@dataclass(frozen=True)
class Orientation:
    """What a container says of its frames; packets do not.

    Attributes:
        rotation: degrees clockwise, one of ``ROTATIONS``.
        mirror: left and right change places, before the rotation.
    """

    rotation: int = 0
    mirror: bool = False

    def upright(self, bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a frame, uint8 ``[rows, columns, 3]``, turned; the same one where nothing is."""
        turned: Any = cv2.flip(bgr, LEFT_AND_RIGHT) if self.mirror else bgr
        if self.rotation:
            turned = cv2.rotate(turned, TURNS[self.rotation])
        upright: NDArray[np.uint8] = turned
        return upright

    def upright_size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of a frame of this size when it is turned."""
        return (height, width) if self.rotation in {90, 270} else (width, height)


UPRIGHT = Orientation()


def read_orientation(parameters: Mapping[str, Any], codec: Codec) -> Orientation:
    """Return what the request that begins a stream says, each value as itself or as its text.

    Raises:
        RefusedPacketError: a value is none that there is, or the stream is one of JPEGs, which say
            in their EXIF how they are turned.
    """
    orientation = Orientation(
        _rotation(parameters.get("rotation", 0)), _mirror(parameters.get("mirror", False))
    )
    if codec is Codec.MJPEG and orientation != UPRIGHT:
        raise RefusedPacketError(
            "parameters rotation and mirror are for h264 and h265: a JPEG says in its EXIF how it "
            "is turned"
        )
    return orientation


def _rotation(value: object) -> int:
    for rotation in ROTATIONS:
        if not isinstance(value, bool) and value in (rotation, str(rotation)):
            return rotation
    known = ", ".join(map(str, ROTATIONS))
    raise RefusedPacketError(
        f"parameter rotation must be one of {known} degrees clockwise, got {shown(value)}"
    )


def _mirror(value: object) -> bool:
    for mirror in (True, False):
        if value is mirror or value == str(mirror).lower():
            return mirror
    raise RefusedPacketError(f"parameter mirror must be true or false, got {shown(value)}")
