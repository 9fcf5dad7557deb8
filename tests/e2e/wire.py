"""Requests as any KServe v2 client sends them, without Framewire's own client."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput


def infer(
    url: str, model: str, images: Sequence[bytes], **parameters: Any
) -> dict[str, NDArray[Any]]:
    """Send a batch of encoded images; return every output by name."""
    image = InferInput("image", [len(images), 1], "BYTES")
    image.set_data_from_numpy(np.array([[file] for file in images], dtype=object))
    with InferenceServerClient(url) as client:
        result = client.infer(model, [image], parameters=parameters or None, client_timeout=60)
        return {
            output.name: result.as_numpy(output.name) for output in result.get_response().outputs
        }


def rows(answer: dict[str, NDArray[Any]], index: int = 0) -> NDArray[np.float64]:
    """Detections of one image: [n, 6] of x1, y1, x2, y2, score, class."""
    count = int(answer["num_dets"][index, 0])
    columns = [
        answer["det_boxes"],
        answer["det_scores"][..., None],
        answer["det_classes"][..., None],
    ]
    return np.concatenate(columns, axis=2)[index, :count]
