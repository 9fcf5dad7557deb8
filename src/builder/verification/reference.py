"""The reference: a detector as it came, run by ONNX Runtime, read by ultralytics' rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from builder.detectors.detector import Detector
from builder.detectors.frame_shapes import framing_of
from builder.detectors.heads import Head
from builder.detectors.onnx_file import first_line
from builder.errors import VerificationError
from builder.settings import Shape
from builder.verification.found import Found, Thresholds
from builder.verification.head_reading import RawBoxes, read_head
from builder.verification.nms_graphs import cut_before_nms, read_finished
from builder.verification.optional import needed
from builder.verification.overlaps import suppress
from builder.verification.source_image import Placed, decode, in_source_pixels, network_input, place


class Reference:
    """The original model in this process, on the CPU, in the precision of its file.

    Args:
        model_file: the ONNX file a pipeline was built from.
        detector: the same, as :func:`builder.detectors.detector.read_detector` reads it.
        shape: of the frames it sees. Rectangles of an export for one size are seen by the same
            graph with open sizes, which :mod:`builder.detectors.open_sizes` compared with it.

    Raises:
        VerificationError: ONNX Runtime is not installed or does not take the model.
    """

    def __init__(self, model_file: Path, detector: Detector, shape: Shape = Shape.SQUARE) -> None:
        self._name = model_file.name
        self._detector = detector
        self._nms = cut_before_nms(detector.model) if detector.head is Head.NMS else None
        self._framing = framing_of(detector, shape)
        model: str | bytes = str(model_file)
        if self._nms is not None:
            model = self._nms.model.SerializeToString()
        elif shape is Shape.RECT:
            model = detector.model.SerializeToString()
        self._session = _session(model_file.name, model)
        self._input = self._session.get_inputs()[0]

    def look(self, encoded: bytes) -> tuple[RawBoxes, Placed] | None:
        """Return all the network says about an encoded image, or None if it is no picture."""
        picture = decode(encoded)
        if picture is None:
            return None
        placed = place(picture, self._framing)
        return self.run(placed.frame), placed

    def run(self, frame: NDArray[np.generic]) -> RawBoxes:
        """Return what the network says about a frame ``[height, width, 3]``, BGR, 0 to 255."""
        detector = self._detector
        tensor: NDArray[Any] = network_input(frame, detector.input)
        if self._input.type == "tensor(float16)":
            tensor = tensor.astype(np.float16)
        batch = self._input.shape[0]
        if isinstance(batch, int):
            tensor = np.repeat(tensor, batch, 0)
        outputs = self._session.run(None, {self._input.name: tensor})
        if self._nms is not None:
            return self._nms.read(*outputs, width=detector.width, height=detector.height)
        if detector.head is Head.NMS:
            names = [value.name for value in self._session.get_outputs()]
            return read_finished(
                dict(zip(names, outputs, strict=True)),
                num_classes=len(detector.labels),
                file_name=self._name,
            )
        return read_head(
            detector.head,
            outputs[0][0],
            num_classes=len(detector.labels),
            width=detector.width,
            height=detector.height,
        )


def choose(raw: RawBoxes, placed: Placed, thresholds: Thresholds) -> Found:
    """Return the detections among raw boxes: ultralytics' ``non_max_suppression``, then source.

    Args:
        raw: boxes in frame pixels.
        placed: where the source image lies in the frame.
        thresholds: see there; of finished detections only ``conf`` and ``max_det`` choose.
    """
    scores, conf = raw.class_scores, np.float32(thresholds.conf)
    if thresholds.multi_label and not raw.finished:
        rows, classes = np.nonzero(scores > conf)
    else:
        best = scores.argmax(1)
        rows = np.nonzero(scores[np.arange(len(scores)), best] > conf)[0]
        classes = best[rows]
    boxes, chosen = raw.boxes_xyxy[rows], scores[rows, classes]
    if raw.finished:
        kept = np.argsort(-chosen, kind="stable")[: thresholds.max_det]
    else:
        kept = suppress(
            boxes,
            chosen,
            classes,
            iou=thresholds.iou,
            class_agnostic=thresholds.class_agnostic,
            max_det=thresholds.max_det,
        )
    return Found(in_source_pixels(boxes[kept], placed), chosen[kept], classes[kept])


def _session(name: str, model: str | bytes) -> Any:
    onnxruntime = needed("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, and told below
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        reason = first_line(error)
        if isinstance(model, str):
            reason = reason.replace(model, name)
        raise VerificationError(
            f"ONNX Runtime cannot run {name} as the reference ({reason}): export the detector again"
        ) from error
