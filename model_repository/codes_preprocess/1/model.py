"""Triton's side of the preprocess step: encoded images in, letterboxed frames out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from contract import FRAME, GEOMETRY, IMAGE, IMAGE_SIZE, IMAGE_STATUS, ImageStatus

from cores import allowed_cores
from decode import DecodeLimits
from frame_loader import FrameLoader
from triton_requests import (
    config_parameters,
    failure,
    image_bytes,
    refusal,
    response,
    send_final,
)

if TYPE_CHECKING:
    from contract import Tensor
    from numpy.typing import NDArray

    from frames import LoadedFrame

STEP = "preprocess"


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start the decoding threads, one for each core this process may use."""
        parameters = config_parameters(args)
        self._loader = FrameLoader(
            width=int(parameters["input_width"]),
            height=int(parameters["input_height"]),
            limits=DecodeLimits(
                max_bytes=int(parameters["max_image_bytes"]),
                max_pixels=int(parameters["max_image_pixels"]),
            ),
            workers=allowed_cores(),
        )

    def execute(self, requests: list[Any]) -> None:
        """Hand every image to a thread; each request is answered when its own are done."""
        for request in requests:
            sender = request.get_response_sender()
            failed = partial(_fail, sender)
            try:
                images = image_bytes(request, IMAGE)
                self._loader.load(images, partial(_answer, sender), failed)
            except Exception as error:  # noqa: BLE001 - raising here would fail its neighbours too
                failed(error)

    def finalize(self) -> None:
        """Answer what was accepted."""
        self._loader.close()


def _answer(sender: Any, frames: NDArray[np.uint8], loaded: list[LoadedFrame]) -> None:
    if len(loaded) == 1 and loaded[0].status != ImageStatus.OK:
        send_final(sender, refusal(loaded[0].reason), STEP)
        return
    arrays: dict[Tensor, NDArray[Any]] = {
        FRAME: frames,
        GEOMETRY: np.stack([frame.geometry for frame in loaded]),
        IMAGE_STATUS: np.array([[frame.status] for frame in loaded], dtype=np.int32),
        IMAGE_SIZE: np.array([frame.size for frame in loaded], dtype=np.int32),
    }
    send_final(sender, response(arrays), STEP)


def _fail(sender: Any, error: BaseException) -> None:
    send_final(sender, failure(error, STEP), STEP)
