"""The frames that a network is tried with."""

from __future__ import annotations

from importlib import resources

import numpy as np
from numpy.typing import NDArray

# Chelsea the cat, CC0 by Stéfan van der Walt, as shipped by scikit-image: uint8 [h, w, 3], BGR.
PHOTOGRAPH = "photograph.npz"
# What letterboxes pad with.
GREY = 114


def photograph(width: int, height: int, *, middle: bool = False) -> NDArray[np.uint8]:
    """Return a photograph of a cat that fills a frame: uint8 ``[1, height, width, 3]``, BGR.

    Args:
        width: of the frame, in pixels.
        height: likewise.
        middle: whether half of its width and of its height fill the frame.
    """
    with resources.files(__package__).joinpath(PHOTOGRAPH).open("rb") as file:
        picture = np.load(file)["bgr"]
    if middle:
        tall, wide, _ = picture.shape
        picture = picture[tall // 4 : tall - tall // 4, wide // 4 : wide - wide // 4]
    rows = _places(height, picture.shape[0])
    columns = _places(width, picture.shape[1])
    tall = _between(picture.astype(np.float32), *rows, axis=0)
    frame = _between(tall, *columns, axis=1)
    return np.rint(frame).astype(np.uint8)[None]


def grey(width: int, height: int) -> NDArray[np.uint8]:
    """Return a frame of nothing but padding: uint8 ``[1, height, width, 3]``."""
    return np.full((1, height, width, 3), GREY, np.uint8)


def _places(count: int, of: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return for each of ``count`` pixels the one of ``of`` before it, and how far it lies on."""
    places = np.linspace(0, of - 1, count)
    before = np.minimum(places.astype(np.intp), of - 2)
    return before, (places - before).astype(np.float32)


def _between(
    picture: NDArray[np.float32],
    before: NDArray[np.intp],
    share: NDArray[np.float32],
    axis: int,
) -> NDArray[np.float32]:
    share = share[:, None, None] if axis == 0 else share[None, :, None]
    near, far = np.take(picture, before, axis), np.take(picture, before + 1, axis)
    mixed: NDArray[np.float32] = near * (1 - share) + far * share
    return mixed
