"""One encoded image into one row of the network's input, whatever the image is worth."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from contract import (
    GEOMETRY,
    IMAGE_SIZE,
    IMAGE_STATUS,
    READ_STATUSES,
    STATUS_SENTENCES,
    DamagedImages,
    ImageStatus,
    Tensor,
    resolve_shape,
)

from decode import DecodeLimits, decode_image
from formats import format_of
from letterbox import (
    CENTRE,
    PAD_VALUE,
    Letterbox,
    draw_letterboxed,
    plan_letterbox,
    smallest_rectangle,
)
from unreadable import UnreadableImageError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

# How a JPEG much larger than the frame is decoded: every pixel of it, or as few as are drawn.
EXACT, SCALED = "exact", "scaled"
# What the settings call frames that are the smallest rectangles.
RECTANGLES = "rect"
UNKNOWN_FORMAT = "unknown"


@dataclass(frozen=True)
class FrameFormat:
    """How images become frames.

    Attributes:
        width: of a frame in pixels.
        height: likewise.
        limits: what is refused before decoding.
        placement: of an image in its frame, see :func:`letterbox.plan_letterbox`.
        decoder: ``exact`` or ``scaled``, see :func:`decode.decode_image`.
        damaged: what becomes of damaged JPEGs when a request does not say.
        stride: of the network, pixels, where frames are the smallest rectangles of it; 0 where all
            frames are ``width`` by ``height``.
        least_side: of such a rectangle, pixels.
    """

    width: int
    height: int
    limits: DecodeLimits
    placement: str = CENTRE
    decoder: str = EXACT
    damaged: DamagedImages = DamagedImages.REFUSE
    stride: int = 0
    least_side: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the largest frame."""
        return self.height, self.width, 3

    def shape_for(self, sizes: Collection[tuple[int, int] | None]) -> tuple[int, int, int]:
        """Return the shape of the frames of images that have to have the same one.

        As ultralytics' ``predict`` has it for a list of images: the smallest rectangle where they
        are all of one size, else the largest frame.

        Args:
            sizes: width and height of each upright image; None of one that cannot be read.
        """
        different = set(sizes) - {None}
        if not self.stride or len(different) != 1:
            return self.shape
        width, height = smallest_rectangle(
            *different.pop(),  # type: ignore[misc]
            self.width,
            self.height,
            stride=self.stride,
            least_side=self.least_side,
        )
        return height, width, 3

    def plan(self, width: int, height: int, shape: tuple[int, ...] | None = None) -> Letterbox:
        """Return where an upright image of this size comes to lie, by default in a whole frame."""
        drawn = None if shape is None else (shape[1], shape[0])
        return plan_letterbox(width, height, self.width, self.height, self.placement, drawn=drawn)

    def drawn_size(self, width: int, height: int) -> tuple[int, int]:
        """Return how large it comes to be, width and height."""
        box = self.plan(width, height)
        return box.resized_width, box.resized_height


def frame_format(settings: Mapping[str, str]) -> FrameFormat:
    """Return what the settings of a version say."""
    return FrameFormat(
        width=int(settings["input_width"]),
        height=int(settings["input_height"]),
        limits=DecodeLimits(
            max_bytes=int(settings["max_image_bytes"]),
            max_pixels=int(settings["max_image_pixels"]),
        ),
        placement=settings["placement"],
        decoder=settings["decoder"],
        damaged=DamagedImages(settings["damaged"]),
        stride=int(settings["stride"]) if settings["shape"] == RECTANGLES else 0,
        least_side=int(settings["least_side"]),
    )


@dataclass(frozen=True)
class LoadedFrame:
    """What became of one image.

    Attributes:
        status: ``OK``; ``DAMAGED``, where the frame has what could be decoded; or why there is
            nothing in it but padding.
        reason: the same in words, for the client.
        geometry: float32 ``[6]``; zeros when the image could not be read.
        size: width and height of the upright image in pixels, zeros when it could not be read.
        file_format: what the file begins like: ``jpeg``, ``png``, ``webp``, ``bmp`` or ``unknown``.
        file_bytes: its size.
        decode_s: how long decoding took.
    """

    status: ImageStatus
    reason: str
    geometry: NDArray[np.float32]
    size: tuple[int, int]
    file_format: str
    file_bytes: int
    decode_s: float

    @property
    def readable(self) -> bool:
        """Whether there is anything to be looked at."""
        return self.status in READ_STATUSES


def load_frame(
    data: bytes,
    frame: NDArray[np.uint8],
    wanted: FrameFormat,
    damaged: DamagedImages | None = None,
) -> LoadedFrame:
    """Decode an image and letterbox it into ``frame``; an unreadable one leaves plain padding.

    Args:
        data: one image file.
        frame: uint8 ``[height, width, 3]``, of the largest shape or the image's own smallest one;
            overwritten whole.
        wanted: what the frame is to be like.
        damaged: what becomes of a damaged JPEG; None leaves it to ``wanted``.
    """
    accept_damaged = (damaged or wanted.damaged) is DamagedImages.ACCEPT
    scaled = wanted.drawn_size if wanted.decoder == SCALED else None
    file_format = (format_of(data) or UNKNOWN_FORMAT).lower()
    began = time.perf_counter()
    try:
        image = decode_image(data, wanted.limits, scaled, accept_damaged=accept_damaged)
    except UnreadableImageError as error:
        decode_s = time.perf_counter() - began
        frame[:] = PAD_VALUE
        return LoadedFrame(
            error.status,
            str(error),
            np.zeros(resolve_shape(GEOMETRY), np.float32),
            (0, 0),
            file_format,
            len(data),
            decode_s,
        )
    decode_s = time.perf_counter() - began
    box = wanted.plan(image.width, image.height, frame.shape)
    draw_letterboxed(image.bgr, frame, box)
    status = ImageStatus.DAMAGED if image.damaged else ImageStatus.OK
    return LoadedFrame(
        status,
        STATUS_SENTENCES[status],
        box.geometry(),
        (box.source_width, box.source_height),
        file_format,
        len(data),
        decode_s,
    )


def frame_tensors(loaded: Sequence[LoadedFrame]) -> dict[Tensor, NDArray[Any]]:
    """Return ``geometry``, ``image_status`` and ``image_size`` of the images of a request."""
    return {
        GEOMETRY: np.stack([frame.geometry for frame in loaded]),
        IMAGE_STATUS: np.array([[frame.status] for frame in loaded], dtype=np.int32),
        IMAGE_SIZE: np.array([frame.size for frame in loaded], dtype=np.int32),
    }
