"""A detector's graph turned into the pipeline's network step."""

from __future__ import annotations

import onnx

from builder.errors import ModelFileError
from builder.heads import Detector, first_line
from builder.surgery.candidates import return_best_candidates
from builder.surgery.image_input import take_uint8_frames
from thin_client.contract import CANDIDATES, FRAME

# ultralytics networks are trained on pixels from 0 to 1.
PIXEL_SCALE = 255


def network_graph(detector: Detector, max_candidates: int) -> onnx.ModelProto:
    """Return the network: uint8 NHWC frames in, float32 candidates out; ``detector`` is unchanged.

    Args:
        detector: what to rewrite.
        max_candidates: rows that leave it, or all anchors if there are fewer.

    Raises:
        ModelFileError: ONNX's checker refuses the rewritten graph.
    """
    model = onnx.ModelProto()
    model.CopyFrom(detector.model)
    # Shapes inferred for an input that is about to change would contradict the new ones.
    del model.graph.value_info[:]
    return_best_candidates(
        model,
        tensor_name=CANDIDATES.name,
        num_classes=len(detector.labels),
        count=candidate_rows(detector, max_candidates),
    )
    take_uint8_frames(
        model,
        tensor_name=FRAME.name,
        height=detector.height,
        width=detector.width,
        scale=PIXEL_SCALE,
    )
    try:
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ModelFileError(
            f"the rewritten graph is not valid ONNX ({first_line(error)}): please report the "
            "detector"
        ) from error
    return model


def candidate_rows(detector: Detector, max_candidates: int) -> int:
    """Return K of the contract's candidates for this detector."""
    return min(max_candidates, detector.anchors)
