"""Greedy NMS inside the network's graph, from operators that every runtime has.

ONNX's NonMaxSuppression returns as many rows as it likes, which TensorRT for RTX does not compile
and no fixed output can hold. Here instead candidates, best first, look at the matrix of their
overlaps: one is kept when no kept better one overlaps it. Starting with all of them kept, that rule
is applied to all at once until nothing changes. After the i-th round the first i candidates are as
greedy NMS leaves them, so it ends, and with greedy NMS's result.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from builder.surgery.finite import is_finite, only_where
from builder.surgery.graph_builder import GraphBuilder

# As the postprocess step's: boxes of class c are moved by c times this, so that none overlaps one
# of another class. The move costs float32 precision and so decides ties.
CLASS_OFFSET_PIXELS = 7680
# Square pixels; less than any union of two boxes that has an area.
LEAST_UNION = 1e-30


def suppress_overlaps(
    build: GraphBuilder, candidates: str, *, count: int, keep: int, iou: float, class_agnostic: bool
) -> str:
    """Return ``[N, keep, 6]``: the detections, best first, then rows whose score is 0.

    Args:
        build: of the graph that holds the candidates.
        candidates: ``[N, count, 6]``, best first. One that is not finite, or whose score is not,
            is returned with the score 0 if at all, and suppresses nothing.
        count: candidates of an image.
        keep: rows returned; not more than ``count``.
        iou: overlap above which the lesser box goes.
        class_agnostic: whether boxes of different classes suppress each other.
    """
    boxes = build.slice(candidates, "nms_boxes", 0, 4)
    scores = build.slice(candidates, "nms_scores", 4, 5)
    valid = is_finite(build, scores, boxes, short="valid")
    boxes = only_where(build, valid, boxes, short="valid_boxes")
    scores = only_where(build, valid, scores, short="valid_scores")
    if not class_agnostic:
        classes = build.slice(candidates, "nms_classes", 5, 6)
        offset = build.scalar("class_offset", CLASS_OFFSET_PIXELS)
        moved = build.node("Mul", [classes, offset], "class_offsets")
        boxes = build.node("Add", [boxes, moved], "moved_boxes")
    suppresses = _suppresses(build, boxes, count, iou)
    kept = build.node(
        "Transpose", [_kept(build, scores, suppresses, count)], "kept", perm=[0, 2, 1]
    )
    kept_scores = build.squeeze(build.node("Mul", [scores, kept], "kept_scores"), "kept_score", 2)
    top_scores, places = build.top_k(kept_scores, keep, "detections")
    rows = build.gather_rows(candidates, places, "detection_rows", columns=6)
    columns = [
        build.slice(rows, "detection_boxes", 0, 4),
        build.unsqueeze(top_scores, "detection_scores", -1),
        build.slice(rows, "detection_classes", 5, 6),
    ]
    return build.node("Concat", columns, "detections_by_image", axis=2)


def _suppresses(build: GraphBuilder, boxes: str, count: int, iou: float) -> str:
    """``[N, count, count]``, 1 where the row's box is better than the column's and overlaps it."""
    x1, y1, x2, y2 = (
        build.slice(boxes, side, index, index + 1)
        for index, side in enumerate(("x1", "y1", "x2", "y2"))
    )
    width = _shared(build, x1, x2, "width")
    height = _shared(build, y1, y2, "height")
    shared = build.node("Mul", [width, height], "shared_area")
    area = build.node(
        "Mul",
        [build.node("Sub", [x2, x1], "box_width"), build.node("Sub", [y2, y1], "box_height")],
        "area",
    )
    both = build.node("Add", [area, _turned(build, area, "area")], "both_areas")
    union = build.node("Sub", [both, shared], "union")
    # Two boxes without an area would share 0 / 0 of it, which OpenVINO finds greater than anything.
    some = build.node("Max", [union, build.scalar("least_union", LEAST_UNION)], "some_union")
    overlap = build.node("Div", [shared, some], "overlap")
    too_much = build.node("Greater", [overlap, build.scalar("iou", iou)], "too_much")
    order = np.arange(count, dtype=np.float32)
    better = build.node(
        "Less",
        [build.constant("rank", order[None, :, None]), build.constant("rank_t", order[None, None])],
        "better",
    )
    return build.float32(build.node("And", [too_much, better], "and_better"), "suppresses")


def _shared(build: GraphBuilder, low: str, high: str, side: str) -> str:
    start = build.node("Max", [low, _turned(build, low, f"{side}_low")], f"{side}_start")
    end = build.node("Min", [high, _turned(build, high, f"{side}_high")], f"{side}_end")
    return build.node("Relu", [build.node("Sub", [end, start], f"{side}_shared")], side)


def _turned(build: GraphBuilder, column: str, short: str) -> str:
    return build.node("Transpose", [column], f"{short}_turned", perm=[0, 2, 1])


def _kept(build: GraphBuilder, scores: str, suppresses: str, count: int) -> str:
    """``[N, 1, count]``, 1 for those kept, 0 for the others."""
    no_scores = build.node("Mul", [scores, build.scalar("nothing", 0)], "no_scores")
    column = build.node("Add", [no_scores, build.scalar("one", 1)], "all_kept_column")
    all_kept = _turned(build, column, "all_kept")
    half = build.scalar("half_box", 0.5)
    kept, kept_next = build.name("kept_in"), build.name("kept_out")
    inner = [
        helper.make_node("MatMul", [kept, suppresses], [build.name("suppressors")]),
        helper.make_node("Greater", [build.name("suppressors"), half], [build.name("suppressed")]),
        helper.make_node("Not", [build.name("suppressed")], [build.name("stays")]),
        helper.make_node("Cast", [build.name("stays")], [kept_next], to=TensorProto.FLOAT),
        helper.make_node("Sub", [kept_next, kept], [build.name("change")]),
        helper.make_node("Abs", [build.name("change")], [build.name("changes")]),
        # Without axes ReduceMax reduces all of them, in every version of the operator.
        helper.make_node(
            "ReduceMax", [build.name("changes")], [build.name("largest_change")], keepdims=0
        ),
        helper.make_node("Greater", [build.name("largest_change"), half], [build.name("goes_on")]),
    ]
    body = helper.make_graph(
        inner,
        build.name("round"),
        [
            helper.make_tensor_value_info(build.name("number"), TensorProto.INT64, []),
            helper.make_tensor_value_info(build.name("goes_on_in"), TensorProto.BOOL, []),
            helper.make_tensor_value_info(kept, TensorProto.FLOAT, [None, 1, count]),
        ],
        [
            helper.make_tensor_value_info(build.name("goes_on"), TensorProto.BOOL, []),
            helper.make_tensor_value_info(kept_next, TensorProto.FLOAT, [None, 1, count]),
        ],
    )
    rounds = build.constant("rounds", np.array(count, np.int64))
    true = build.constant("true", np.array(True))
    return build.node("Loop", [rounds, true, all_kept], "kept_at_last", body=body)
