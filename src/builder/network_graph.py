"""A detector's graph turned into the pipeline's network step."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from builder.detectors.detector import Detector
from builder.detectors.frame_shapes import takes_rectangles
from builder.detectors.graph_facts import image_input
from builder.detectors.head_layouts import DEFAULT_ROWS
from builder.detectors.onnx_file import first_line
from builder.errors import ModelFileError
from builder.settings import BuildSettings, Nms, Precision
from builder.surgery.boxes import GraphRows
from builder.surgery.candidates import best_box_classes, best_candidates, best_rows
from builder.surgery.fixed_batch import cut_batch, pad_batch
from builder.surgery.graph_builder import GraphBuilder
from builder.surgery.graph_nms import suppress_overlaps
from builder.surgery.half_precision import to_half_precision
from builder.surgery.head_outputs import read_head
from builder.surgery.image_input import take_uint8_frames
from builder.surgery.own_names import free_names
from builder.surgery.unused import remove_unused
from thin_client.contract import CANDIDATES, FRAME

IMAGE_SIZE = "imgsz"


def network_graph(detector: Detector, settings: BuildSettings) -> onnx.ModelProto:
    """Return the network: uint8 NHWC frames in, float32 candidates out; ``detector`` is unchanged.

    1. Its layers become float16 where the settings say so.
    2. Its head is read, the best candidates are picked, and overlaps are suppressed if the settings
       want that in the graph.
    3. It takes frames as the preprocess step has them, in any batch, and of any size where they are
       the smallest rectangles.

    Args:
        detector: what to rewrite.
        settings: with nothing left to default.

    Raises:
        ModelFileError: ONNX's checker refuses the rewritten graph.
        SettingsError: frames are to be rectangles, and it cannot take them.
    """
    model = onnx.ModelProto()
    model.CopyFrom(detector.model)
    # Shapes inferred for an input that is about to change would contradict the new ones.
    del model.graph.value_info[:]
    free_names(model, FRAME.name, CANDIDATES.name)
    if settings.precision is Precision.FP16:
        to_half_precision(model)
    images = image_input(model)[0].name
    any_size = takes_rectangles(detector, settings)
    rows = _candidates(model, detector, settings, any_size=any_size)
    take_uint8_frames(
        model,
        tensor_name=FRAME.name,
        height="height" if any_size else detector.height,
        width="width" if any_size else detector.width,
        scale=detector.input.pixel_scale,
        bgr=detector.input.bgr,
    )
    if detector.fixed_batch is not None:
        pad_batch(model, images, detector.fixed_batch)
        rows = cut_batch(GraphBuilder(model, "cut"), rows, images)
    _return_rows(model, rows, candidate_rows(detector, settings))
    remove_unused(model)
    if any_size:
        _note_largest(model, detector)
    _check(model)
    return model


def _note_largest(model: onnx.ModelProto, detector: Detector) -> None:
    """Leave the largest frame in the metadata, where ultralytics has it: its dims are open."""
    others = [entry for entry in model.metadata_props if entry.key != IMAGE_SIZE]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    model.metadata_props.add(key=IMAGE_SIZE, value=str([detector.height, detector.width]))


def candidate_rows(detector: Detector, settings: BuildSettings) -> int:
    """Return K of the contract's candidates."""
    picked = _picked_rows(detector, settings)
    if in_graph_nms(detector, settings):
        return min(picked, settings.max_det or picked)
    return picked


def in_graph_nms(detector: Detector, settings: BuildSettings) -> bool:
    """Return whether overlaps are suppressed by the network itself."""
    return settings.nms is Nms.GRAPH and not detector.finished


def _picked_rows(detector: Detector, settings: BuildSettings) -> int:
    boxes = detector.boxes or DEFAULT_ROWS
    if settings.multi_label and not detector.finished:
        boxes *= len(detector.labels)
    return min(settings.candidates, boxes)


def _candidates(
    model: onnx.ModelProto, detector: Detector, settings: BuildSettings, *, any_size: bool
) -> str:
    head = read_head(
        GraphBuilder(model, "head"),
        model,
        detector.head,
        classes=len(detector.labels),
        count=detector.boxes,
        width=detector.width,
        height=detector.height,
        nms=detector.nms,
    )
    build, count = GraphBuilder(model, "candidates"), _picked_rows(detector, settings)
    if isinstance(head, GraphRows):
        return best_rows(build, head, count)
    pick = best_box_classes if settings.multi_label and not detector.finished else best_candidates
    rows = pick(build, head, count, any_size=any_size)
    if not in_graph_nms(detector, settings):
        return rows
    return suppress_overlaps(
        GraphBuilder(model, "nms"),
        rows,
        count=count,
        keep=candidate_rows(detector, settings),
        iou=settings.iou or 0.0,
        class_agnostic=bool(settings.class_agnostic),
    )


def _return_rows(model: onnx.ModelProto, rows: str, count: int) -> None:
    graph = model.graph
    graph.node.append(helper.make_node("Identity", [rows], [CANDIDATES.name], CANDIDATES.name))
    del graph.output[:]
    shape: list[str | int | None] = ["batch", count, 6]
    graph.output.append(helper.make_tensor_value_info(CANDIDATES.name, TensorProto.FLOAT, shape))


def _check(model: onnx.ModelProto) -> None:
    try:
        onnx.checker.check_model(model)
        onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    except (
        onnx.checker.ValidationError,
        onnx.shape_inference.InferenceError,
        ValueError,
    ) as error:
        raise ModelFileError(
            f"the rewritten graph is not valid ONNX ({first_line(error)}): export the detector "
            "again, and if that does not help, please report it"
        ) from error
