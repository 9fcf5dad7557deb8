"""One encoded image into one row of the network's input, whatever the image is worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from contract import (
    GEOMETRY,
    IMAGE_SIZE,
    IMAGE_STATUS,
    STATUS_SENTENCES,
    ImageStatus,
    Tensor,
    resolve_shape,
)

from decode import DecodeLimits, UnreadableImageError, decode_bgr
from letterbox import CENTRE, PAD_VALUE, draw_letterboxed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class LoadedFrame:
    """What became of one image.

    Attributes:
        status: ``OK``, or why there is nothing in the frame but padding.
        reason: the same in words, for the client.
        geometry: float32 ``[6]``; zeros when the image could not be read.
        size: width and height of the upright image in pixels, zeros when it could not be read.
    """

    status: ImageStatus
    reason: str
    geometry: NDArray[np.float32]
    size: tuple[int, int]


def load_frame(
    data: bytes, frame: NDArray[np.uint8], limits: DecodeLimits, placement: str = CENTRE
) -> LoadedFrame:
    """Decode an image and letterbox it into ``frame``; an unreadable one leaves plain padding.

    Args:
        data: one image file.
        frame: uint8 ``[height, width, 3]``, overwritten whole.
        limits: what is refused before decoding.
        placement: of the image in the frame.
    """
    try:
        image = decode_bgr(data, limits)
    except UnreadableImageError as error:
        frame[:] = PAD_VALUE
        return LoadedFrame(
            error.status, str(error), np.zeros(resolve_shape(GEOMETRY), np.float32), (0, 0)
        )
    box = draw_letterboxed(image, frame, placement)
    return LoadedFrame(
        ImageStatus.OK,
        STATUS_SENTENCES[ImageStatus.OK],
        box.geometry(),
        (box.source_width, box.source_height),
    )


def frame_tensors(loaded: Sequence[LoadedFrame]) -> dict[Tensor, NDArray[Any]]:
    """Return ``geometry``, ``image_status`` and ``image_size`` of the images of a request."""
    return {
        GEOMETRY: np.stack([frame.geometry for frame in loaded]),
        IMAGE_STATUS: np.array([[frame.status] for frame in loaded], dtype=np.int32),
        IMAGE_SIZE: np.array([frame.size for frame in loaded], dtype=np.int32),
    }
