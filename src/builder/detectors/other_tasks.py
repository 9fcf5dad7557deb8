"""Networks for other tasks than detection, told from their graphs where no metadata say it.

Masks, keypoints and rotated boxes come as further rows behind those of a detector, which would
otherwise be taken for further classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx

from builder.detectors.graph_facts import MOVING, Dims, box_operator, uses_operator

# What a detection that the graph has picked itself consists of: four corners, score, class.
ROW_COLUMNS = 6
FEATURES_AXIS = (1, -2)


def other_task(
    model: onnx.ModelProto, outputs: Sequence[Dims], *, picks_rows: bool
) -> tuple[str, str] | None:
    """Return ultralytics' name of the task a graph is made for and what shows it, or None.

    1. ``segment``: beside the rows there is one map for each of some prototypes of masks.
    2. ``classify``: a number for each class, and nothing about places.
    3. ``pose``, ``obb`` or ``segment``: rows that the graph has picked hold more than six numbers.
    4. The same: in an output of rows by anchors, others follow the class scores, which end in a
       sigmoid.

    Args:
        model: the network.
        outputs: their dims, as far as they are known.
        picks_rows: whether the graph itself picks its detections.
    """
    first = outputs[0]
    maps = [dims for dims in outputs[1:] if len(dims) == 4]
    if len(first) == 3 and len(maps) == 1:
        return "segment", "beside its boxes it gives prototypes of masks"
    if len(outputs) == 1 and len(first) == 2 and box_operator(model) in {"Softmax", "Gemm"}:
        return "classify", "it gives scores of classes and no boxes"
    if len(first) != 3:
        return None
    rest = "of masks, keypoints or rotated boxes"
    columns = first[2]
    if picks_rows and columns is not None and columns > ROW_COLUMNS:
        many = columns - ROW_COLUMNS
        numbers = f"{many} numbers" if many > 1 else "a number"
        return _kind(many), f"each of its detections has {numbers} more than a box, {rest}"
    if not picks_rows and _more_than_scores(model):
        return "segment, pose or obb", f"other numbers follow its class scores, {rest}"
    return None


def picks_rows(model: onnx.ModelProto, *, ends_in_top_k: bool) -> bool:
    """Return whether the graph itself picks detections, as against giving every anchor.

    By TopK, by NMS anywhere, or, as ultralytics' NMS of rotated boxes does, by writing what was
    found into an empty table.
    """
    into_table = box_operator(model) == "ScatterND" and uses_operator(model, "NonZero")
    return ends_in_top_k or into_table or uses_operator(model, "NonMaxSuppression")


def _kind(more_columns: int) -> str:
    # An angle; three numbers for each keypoint, or two; a coefficient for each prototype.
    return {1: "obb", 32: "segment"}.get(more_columns, "pose or segment")


def _more_than_scores(model: onnx.ModelProto) -> bool:
    makers = {output: node for node in model.graph.node for output in node.output}
    operators = list(_blocks(makers, model.graph.output[0].name))
    if "Sigmoid" not in operators:
        return False
    return any(operator != "Sigmoid" for operator in operators[operators.index("Sigmoid") :])


def _blocks(makers: dict[str, onnx.NodeProto], name: str) -> Iterator[str | None]:
    """Yield the operators that computed each block of an output's rows, from the first on."""
    node = makers.get(name)
    while node is not None and node.op_type in {"Cast", "Identity"}:
        node = makers.get(node.input[0])
    if node is not None and node.op_type == "Concat" and _axis(node) in FEATURES_AXIS:
        for part in node.input:
            yield from _blocks(makers, part)
        return
    while node is not None and node.op_type in MOVING and node.input:
        node = makers.get(node.input[0])
    yield None if node is None else str(node.op_type)


def _axis(node: onnx.NodeProto) -> int:
    return next((int(each.i) for each in node.attribute if each.name == "axis"), 0)
