"""Which head a graph is taken for, and what may be said against it."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from builder.detectors.detector import Detector, read_detector
from builder.detectors.graph_facts import output_dims
from builder.detectors.heads import RTDETR_INPUT, YOLO_INPUT, YOLOX_INPUT, Head, InputConvention
from builder.errors import ModelFileError, UnknownHeadError
from builder.trial import graph_runtime
from tests.tiny_detector import LABELS, tiny_detector
from tests.tiny_layouts import LAYOUTS, Graph

RECOGNISED = {
    "yolov5": (Head.YOLOV5, YOLO_INPUT, False),
    "yolox": (Head.YOLOX, YOLOX_INPUT, False),
    "end2end": (Head.END2END, YOLO_INPUT, True),
    "queries": (Head.RTDETR, RTDETR_INPUT, True),
    "efficient_nms": (Head.NMS, YOLO_INPUT, False),
    "batched_nms": (Head.NMS, YOLO_INPUT, False),
    "selected_indices": (Head.NMS, YOLO_INPUT, False),
    "batch_rows": (Head.NMS, YOLO_INPUT, True),
    "table_of_rows": (Head.END2END, YOLO_INPUT, True),
}


def read(tmp_path: Path, model: onnx.ModelProto, **options: object) -> Detector:
    onnx.save(model, tmp_path / "model.onnx")
    return read_detector(tmp_path / "model.onnx", labels=LABELS, **options)


SIZES = ((96, 64), (320, 192), (640, 640))
# The tiny RT-DETR has a query for each cell, and at larger sizes more than any RT-DETR.
CASES = [(layout, size) for layout in RECOGNISED for size in SIZES]
CASES = [(layout, size) for layout, size in CASES if layout != "queries" or size == SIZES[0]]


@pytest.mark.parametrize(("layout", "size"), CASES)
def test_a_layout_is_told_from_all_others(
    tmp_path: Path, layout: str, size: tuple[int, int]
) -> None:
    detector = read(tmp_path, LAYOUTS[layout](*size))
    found: tuple[Head, InputConvention, bool] = (detector.head, detector.input, detector.finished)
    assert found == RECOGNISED[layout]
    assert (detector.width, detector.height) == size


def test_every_layout_is_recognised_in_a_test() -> None:
    assert set(RECOGNISED) == set(LAYOUTS)


@pytest.mark.parametrize(
    ("layout", "conf", "iou", "max_det"),
    [("efficient_nms", 0.3, 0.6, 50), ("batched_nms", 0.3, 0.6, 50)],
)
def test_the_thresholds_of_a_plugin_come_with_it(
    tmp_path: Path, layout: str, conf: float, iou: float, max_det: int
) -> None:
    model = LAYOUTS[layout](96, 64)
    plugin = next(node for node in model.graph.node if node.op_type.endswith("_TRT"))
    names = {
        "efficient_nms": ("score_threshold", "iou_threshold", "max_output_boxes"),
        "batched_nms": ("scoreThreshold", "iouThreshold", "keepTopK"),
    }[layout]
    kept = [each for each in plugin.attribute if each.name not in names]
    del plugin.attribute[:]
    plugin.attribute.extend(kept)
    for name, value in zip(names, (conf, iou, max_det), strict=True):
        plugin.attribute.append(helper.make_attribute(name, value))
    defaults = read(tmp_path, model).defaults
    assert (defaults.conf, defaults.iou, defaults.max_det) == (conf, iou, max_det)
    assert defaults.multi_label


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [("background_class", 0, "background class")],
)
def test_a_plugin_that_cannot_be_read_is_refused_with_its_reason(
    tmp_path: Path, attribute: str, value: int, reason: str
) -> None:
    model = LAYOUTS["efficient_nms"](96, 64)
    plugin = next(node for node in model.graph.node if node.op_type.endswith("_TRT"))
    kept = [each for each in plugin.attribute if each.name != attribute]
    del plugin.attribute[:]
    plugin.attribute.extend([*kept, helper.make_attribute(attribute, value)])
    with pytest.raises(UnknownHeadError, match=rf"{reason}.*export it without NMS"):
        read(tmp_path, model)


def test_a_head_can_be_told(tmp_path: Path) -> None:
    # A YOLOv5 of one class and a YOLOv10 differ in nothing but how many rows there are.
    model = LAYOUTS["end2end"](96, 64)
    assert read(tmp_path, model).head is Head.END2END
    assert read(tmp_path, model, head=Head.RTDETR).input == RTDETR_INPUT


def with_open_output(layout: str) -> onnx.ModelProto:
    """A layout that says of its first output no more than how many dims it has."""
    model = LAYOUTS[layout](96, 64) if layout != "yolov8" else tiny_detector(96, 64)
    (returning,) = (node for node in model.graph.node if model.graph.output[0].name in node.output)
    # ONNX's inference does not follow the shape through a Max.
    (inside, *_), (outside, *_) = returning.output, returning.output
    returning.output[0] = f"{inside}_inside"
    model.graph.node.extend(
        [
            helper.make_node("Shape", [f"{inside}_inside"], ["shape_inside"]),
            helper.make_node("Max", ["shape_inside", "shape_inside"], ["same_shape"]),
            helper.make_node("Reshape", [f"{inside}_inside", "same_shape"], [outside]),
        ]
    )
    value = helper.make_tensor_value_info(outside, TensorProto.FLOAT, ["batch", "a", "b"])
    model.graph.output[0].CopyFrom(value)
    return model


@pytest.mark.parametrize(
    ("layout", "boxes"),
    [("yolov8", 126), ("yolov5", 378), ("yolox", 126), ("end2end", 30), ("queries", 126)],
)
def test_what_a_graph_leaves_open_is_found_out_by_running_it(
    tmp_path: Path, layout: str, boxes: int
) -> None:
    model = with_open_output(layout)
    assert output_dims(model, 96, 64) == [(None, None, None)]
    detector = read(tmp_path, model)
    expected = (Head.YOLOV8, YOLO_INPUT, False) if layout == "yolov8" else RECOGNISED[layout]
    assert (detector.head, detector.input, detector.finished) == expected
    assert (detector.boxes, detector.labels) == (boxes, LABELS)
    if layout != "yolov8":
        # The same holds where the head is told.
        assert read(tmp_path, model, head=expected[0]).boxes == boxes


def test_rows_that_are_as_many_as_were_found_have_no_number(tmp_path: Path) -> None:
    model = LAYOUTS["table_of_rows"](96, 64)
    scatter = next(node for node in model.graph.node if node.op_type == "ScatterND")
    pad = next(node for node in model.graph.node if node.op_type == "Pad")
    returned = model.graph.node[-1]
    returned.input[0] = pad.input[0]
    model.graph.node.remove(scatter)
    detector = read(tmp_path, model)
    assert (detector.head, detector.boxes) == (Head.END2END, None)


def test_a_graph_that_nothing_here_runs_is_not_guessed_at(tmp_path: Path) -> None:
    model = with_open_output("yolov5")
    model.graph.node.append(
        helper.make_node("Unknown", [model.graph.node[-1].output[0]], ["x"], domain="someone")
    )
    model.graph.node[-1].output[0], name = "unknown", model.graph.output[0].name
    model.graph.node.append(helper.make_node("Identity", ["unknown"], ["last"]))
    model.graph.output[0].name = "last"
    model.opset_import.append(helper.make_opsetid("someone", 1))
    assert name != "last"
    with pytest.raises(UnknownHeadError, match=r"may be of the head yolov8 or yolov5.*say which"):
        read(tmp_path, model)
    assert read(tmp_path, model, head=Head.YOLOV5).head is Head.YOLOV5


def test_rows_of_a_graph_that_nothing_here_runs_are_not_guessed_at(tmp_path: Path) -> None:
    model = with_open_output("end2end")
    returning = model.graph.node[-1]
    returning.output[0] = "known"
    model.graph.node.append(helper.make_node("Unknown", ["images"], ["unknown"], domain="someone"))
    model.graph.node.append(helper.make_node("Gather", ["known", "unknown"], ["output"], axis=1))
    model.opset_import.append(helper.make_opsetid("someone", 1))
    with pytest.raises(UnknownHeadError, match=r"end2end or rtdetr: say which"):
        read(tmp_path, model)
    helper.set_model_props(model, {"end2end": "True"})
    assert read(tmp_path, model).head is Head.END2END


def test_what_openvino_does_not_run_another_runtime_looks_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(model: onnx.ModelProto) -> None:
        raise ValueError("no")

    monkeypatch.setitem(graph_runtime._LOADERS, graph_runtime.OPENVINO, lambda: refuse)
    assert read(tmp_path, with_open_output("yolov5")).head is Head.YOLOV5


def test_six_columns_that_nothing_explains_are_asked_about(tmp_path: Path) -> None:
    graph = Graph(96, 64)
    score, best_class = graph.best()
    rows = graph.add("Concat", [graph.corners(), score, best_class], axis=2)
    model = graph.returning(output=(graph.columns_of(rows, 0, 29, axis=1), 1, ["batch", 29, 6]))
    with pytest.raises(UnknownHeadError, match=r"end2end or rtdetr: say which with --head"):
        read(tmp_path, model)
    assert read(tmp_path, model, head=Head.END2END).finished


def test_an_output_that_may_be_read_both_ways_is_asked_about(tmp_path: Path) -> None:
    # As many rows as anchors, and as many columns: 80 of each grid of 64 x 128.
    model = tiny_detector(96, 64)
    anchors = 126
    shape = ["batch", anchors, anchors]
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("output0", TensorProto.FLOAT, shape)
    )
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(UnknownHeadError, match=r"yolov8 or yolov5: say which with --head"):
        read_detector(tmp_path / "model.onnx", number_classes=True)
    detector = read_detector(
        tmp_path / "model.onnx", labels=tuple(f"c{index}" for index in range(anchors - 5))
    )
    assert detector.head is Head.YOLOV5


def test_metadata_say_what_a_graph_does_not(tmp_path: Path) -> None:
    # Nothing in it picks rows, but whoever exported it says so.
    graph = Graph(96, 64)
    score, best_class = graph.best()
    rows = graph.add("Concat", [graph.corners(), score, best_class], axis=2)
    model = graph.returning(output=(graph.columns_of(rows, 0, 29, axis=1), 1, ["batch", 29, 6]))
    for metadata in ({"args": "{'nms': True}"}, {"args": '{"nms": true}'}, {"end2end": "True"}):
        helper.set_model_props(model, metadata)
        assert read(tmp_path, model).head is Head.END2END


def test_a_head_that_cannot_be_is_refused_with_the_shapes(tmp_path: Path) -> None:
    with pytest.raises(
        UnknownHeadError, match=r"output0 \[\?, 7, 84\].*with --head nms.*yolov8: \[N, 4"
    ):
        read(tmp_path, tiny_detector(), head=Head.NMS)


def test_a_size_with_fewer_anchors_than_the_graph_picks_is_refused(tmp_path: Path) -> None:
    model = LAYOUTS["end2end"](96, 64)
    shape = model.graph.input[0].type.tensor_type.shape
    shape.dim[2].dim_param, shape.dim[3].dim_param = "height", "width"
    assert read(tmp_path, model, size=(96, 64)).boxes == 30
    with pytest.raises(ModelFileError, match=r"picks 30 boxes.*32x32 pixels give only 21.*--size"):
        read(tmp_path, model, size=(32, 32))


def test_classes_that_do_not_show_must_be_named(tmp_path: Path) -> None:
    onnx.save(LAYOUTS["end2end"](96, 64), tmp_path / "model.onnx")
    with pytest.raises(Exception, match=r"do not show how many classes.*--labels FILE"):
        read_detector(tmp_path / "model.onnx", number_classes=True)


def test_feature_maps_of_a_head_cut_off_are_refused(tmp_path: Path) -> None:
    model = tiny_detector()
    maps = [
        helper.make_tensor_value_info(f"pooled_{stride}", TensorProto.FLOAT, ["n", 3, None, None])
        for stride in (8, 16, 32)
    ]
    del model.graph.output[:]
    model.graph.output.extend(maps)
    with pytest.raises(UnknownHeadError, match=r"pooled_8 \[\?, 3, \?, \?\], pooled_16"):
        read(tmp_path, model)
