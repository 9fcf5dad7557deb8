"""Reading a YOLOv8 head and NMS as most Triton examples write it: one request after the other."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

CONF, IOU, MAX_DET = 0.25, 0.7, 300


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Answer the requests in their order."""
        responses = []
        for request in requests:
            raw = pb_utils.get_input_tensor_by_name(request, "output0").as_numpy()
            geometry = pb_utils.get_input_tensor_by_name(request, "geometry").as_numpy()
            count = len(raw)
            num_dets = np.zeros((count, 1), np.int32)
            boxes = np.zeros((count, MAX_DET, 4), np.float32)
            scores = np.zeros((count, MAX_DET), np.float32)
            classes = np.zeros((count, MAX_DET), np.int32)
            for index in range(count):
                found = postprocess(raw[index], geometry[index])
                for row, (box, score, label) in enumerate(found):
                    boxes[index, row], scores[index, row], classes[index, row] = box, score, label
                num_dets[index] = len(found)
            outputs = [
                pb_utils.Tensor("num_dets", num_dets),
                pb_utils.Tensor("det_boxes", boxes),
                pb_utils.Tensor("det_scores", scores),
                pb_utils.Tensor("det_classes", classes),
            ]
            responses.append(pb_utils.InferenceResponse(output_tensors=outputs))
        return responses


def postprocess(
    raw: NDArray[np.float32], geometry: NDArray[np.float32]
) -> list[tuple[list[float], float, int]]:
    """Return box (x1, y1, x2, y2 in source pixels), score and class of each detection.

    Args:
        raw: float32 ``[84, 8400]``: centre x, centre y, width, height, then the classes' scores.
        geometry: float32 ``[3]``: ratio, left, top.
    """
    rows = raw.T
    class_scores = rows[:, 4:]
    labels = class_scores.argmax(1)
    best = class_scores.max(1)
    confident = best > CONF
    rows, labels, best = rows[confident], labels[confident], best[confident]
    ratio, left, top = geometry
    boxes = []
    for x, y, width, height in rows[:, :4]:
        x1, y1 = (x - width / 2 - left) / ratio, (y - height / 2 - top) / ratio
        boxes.append([float(x1), float(y1), float(width / ratio), float(height / ratio)])
    kept = cv2.dnn.NMSBoxes(boxes, best.tolist(), CONF, IOU)
    detections = []
    for index in np.array(kept).reshape(-1)[:MAX_DET]:
        x1, y1, width, height = boxes[index]
        box = [x1, y1, x1 + width, y1 + height]
        detections.append((box, float(best[index]), int(labels[index])))
    return detections
