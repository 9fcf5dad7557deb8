"""Decoding and letterboxing as most Triton examples write it: one request after the other."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

SIZE = 640
GREY = (114, 114, 114)


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests in their order."""
        responses = []
        for request in requests:
            encoded = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
            tensors, geometries = zip(
                *[preprocess(image) for image in encoded.reshape(-1)], strict=True
            )
            outputs = [
                pb_utils.Tensor("images", np.stack(tensors)),
                pb_utils.Tensor("geometry", np.stack(geometries)),
            ]
            responses.append(pb_utils.InferenceResponse(output_tensors=outputs))
        return responses


def preprocess(encoded: bytes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return float32 ``[3, 640, 640]``, RGB, 0..1, and float32 ``[3]``: ratio, left, top."""
    picture = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    height, width = picture.shape[:2]
    ratio = min(SIZE / height, SIZE / width)
    new_width, new_height = round(width * ratio), round(height * ratio)
    resized = cv2.resize(picture, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
    left, top = (SIZE - new_width) / 2, (SIZE - new_height) / 2
    padded = cv2.copyMakeBorder(
        resized,
        round(top - 0.1),
        round(top + 0.1),
        round(left - 0.1),
        round(left + 0.1),
        cv2.BORDER_CONSTANT,
        value=GREY,
    )
    rgb = cv2.cvtColor(padded, cv2.COLOR_BGR2RGB)
    tensor = np.ascontiguousarray(rgb.transpose(2, 0, 1)).astype(np.float32) / 255.0
    return tensor, np.array([ratio, round(left - 0.1), round(top - 0.1)], np.float32)
