"""Triton's side of the preprocess step: encoded images in, letterboxed frames out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from contract import FRAME, IMAGE, ImageStatus

from frame_loader import frame_loader_from_settings
from frames import LoadedFrame, frame_tensors
from triton_requests import (
    failure,
    image_bytes,
    refusal,
    response,
    send_final,
    version_settings,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


STEP = "preprocess"


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start the decoding threads, one for each core this process may use."""
        self._loader = frame_loader_from_settings(version_settings(args))

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
    send_final(sender, response({FRAME: frames, **frame_tensors(loaded)}), STEP)


def _fail(sender: Any, error: BaseException) -> None:
    send_final(sender, failure(error, STEP), STEP)
