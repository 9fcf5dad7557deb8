"""TensorRT's parser and its compiler for machines without a GPU, the real ones."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from builder.cli import main
from builder.detectors.detector import read_detector
from builder.detectors.frame_shapes import framing_of
from builder.errors import ModelFileError, SettingsError, TensorRtMissingError
from builder.network_graph import network_graph
from builder.settings import BuildSettings, Shape
from builder.tensorrt.tensorrt_check import COMPUTE_CAPABILITIES, NodeProblem, compile_network
from tests.tiny_detector import LABELS, save_tiny_detector, tiny_detector

Value = tuple[str, int, Sequence[int | str]]


def save_graph(
    folder: Path, nodes: list[onnx.NodeProto], given: Value, result: Value, **constants: object
) -> Path:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*given)],
        [helper.make_tensor_value_info(*result)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "graph.onnx")
    return folder / "graph.onnx"


def only_problem(file: Path, **options: object) -> NodeProblem:
    report = compile_network(file, **{"max_batch": 4, **options})  # type: ignore[arg-type]
    assert not report.accepted
    assert report.size_bytes == 0
    assert len(report.problems) == 1
    assert "\n" not in str(report.problems[0])
    return report.problems[0]


def test_a_detector_is_compiled_for_every_gpu_without_one(tmp_path: Path) -> None:
    report = compile_network(save_tiny_detector(tmp_path / "tiny.onnx"), max_batch=8)
    assert report.accepted
    assert report.compute_capabilities == COMPUTE_CAPABILITIES
    assert report.size_bytes > 0


def test_every_size_of_frames_is_compiled(tmp_path: Path) -> None:
    detector = read_detector(
        save_tiny_detector(tmp_path / "tiny.onnx", tiny_detector(320, 320)), labels=LABELS
    )
    settings = BuildSettings("x", shape=Shape.RECT).with_defaults(detector.defaults)
    onnx.save(network_graph(detector, settings), tmp_path / "network.onnx")
    framing = framing_of(detector, Shape.RECT)
    assert compile_network(
        tmp_path / "network.onnx", ("8.9",), max_batch=4, framing=framing
    ).accepted
    # A graph for one size is no graph for all.
    settings = replace(settings, shape=Shape.SQUARE)
    model = network_graph(detector, settings)
    for side in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
        side.dim_param = "open"
    boxes = numpy_helper.from_array(np.array([-1, 320, 320, 3], np.int64), "whole")
    model.graph.initializer.append(boxes)
    for node in model.graph.node:
        node.input[:] = ["reshaped" if name == "frame" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Reshape", ["frame", "whole"], ["reshaped"]))
    onnx.save(model, tmp_path / "network.onnx")
    report = compile_network(tmp_path / "network.onnx", ("8.9",), max_batch=4, framing=framing)
    assert not report.accepted


def test_a_node_that_the_parser_refuses_is_named(tmp_path: Path) -> None:
    node = helper.make_node("NonZero", ["x"], ["y"], name="/model/picks")
    given, result = ("x", TensorProto.FLOAT, ["N", 8]), ("y", TensorProto.INT64, [2, "M"])
    problem = only_problem(save_graph(tmp_path, [node], given, result))
    assert (problem.node, problem.operator) == ("/model/picks", "NonZero")
    assert "was not found in plugin registry" in problem.reason


def test_a_node_without_a_name_is_named_by_its_output(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["frame"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["y"], to=TensorProto.FLOAT),
    ]
    given = ("frame", TensorProto.UINT8, ["N", 8, 8, 3])
    file = save_graph(tmp_path, nodes, given, ("y", TensorProto.FLOAT, ["N", 3, 8, 8]))
    problem = only_problem(file)
    assert (problem.node, problem.operator) == ("planes", "Transpose")
    assert "has type UInt8 but must have type Float" in problem.reason
    assert "_src" not in problem.reason


def test_a_node_that_is_parsed_but_not_compiled_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["boxes", "second"], ["scores"], name="/scores"),
        helper.make_node("ReduceMax", ["scores"], ["best"], axes=[3], keepdims=0),
        helper.make_node("NonMaxSuppression", ["boxes", "best", "most"], ["y"], name="/nms"),
    ]
    given, result = ("boxes", TensorProto.FLOAT, ["N", 9, 4]), ("y", TensorProto.INT64, ["M", 3])
    file = save_graph(tmp_path, nodes, given, result, second=[1], most=[5])
    problem = only_problem(file)
    assert (problem.node, problem.operator) == ("/nms", "NonMaxSuppression")
    assert problem.reason.startswith("Error Code 2")


def test_what_only_one_gpu_lacks_is_said_of_that_one(tmp_path: Path) -> None:
    node = helper.make_node("MatMul", ["x", "x"], ["y"], name="/attention/MatMul")
    shape = ("N", 8, 8)
    file = save_graph(tmp_path, [node], ("x", 1, shape), ("y", 1, shape))
    problem = only_problem(file, compute_capabilities=("7.5", "8.9"))
    assert (problem.node, problem.operator) == ("/attention/MatMul", "MatMul")
    assert problem.reason.startswith("for 7.5: ")
    assert compile_network(file, ("8.9",), max_batch=4).accepted


@pytest.mark.parametrize("baked_in", [1, 4])
def test_a_graph_with_its_batch_baked_in_is_refused(tmp_path: Path, baked_in: int) -> None:
    node = helper.make_node("Reshape", ["x", "shape"], ["y"], name="/flat")
    given, result = ("x", 1, ["N", 2, 4]), ("y", 1, [baked_in, 8])
    file = save_graph(tmp_path, [node], given, result, shape=[baked_in, 8])
    assert only_problem(file, max_batch=4).node == "/flat"


def test_the_image_size_of_the_metadata_stands_in_for_an_open_one(tmp_path: Path) -> None:
    model = tiny_detector(96, 64, dynamic_size=True)
    file = save_tiny_detector(tmp_path / "tiny.onnx", model)
    assert compile_network(file, ("8.9",), max_batch=2).accepted
    helper.set_model_props(model, {"imgsz": "[64, 64]"})
    # The boxes of the graph are for 96x64, so another size cannot pass.
    assert only_problem(save_tiny_detector(file, model)).operator == "Add"


def test_a_gpu_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"capability '9\.0', it knows 7\.5, 8\.0"):
        compile_network(save_tiny_detector(tmp_path / "tiny.onnx"), ("9.0",), max_batch=1)


def test_a_file_that_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"\x00 not ONNX")
    with pytest.raises(ModelFileError):
        compile_network(tmp_path / "x.onnx", max_batch=1)


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", None)
    with pytest.raises(TensorRtMissingError, match=r"pip install -e '\.\[tensorrt-check\]'"):
        compile_network(tmp_path / "tiny.onnx", max_batch=1)


def test_the_command_compiles_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = save_tiny_detector(tmp_path / "tiny.onnx")
    assert main(["check", "--tensorrt", str(file), "--compute-capability", "8.9", "12.0"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "tiny.onnx: TensorRT compiles its network for compute capability 8.9, 12"
    )


def test_the_command_names_what_is_refused_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    node = helper.make_node("NonZero", ["x"], ["y"], name="/model/picks")
    given, result = ("x", TensorProto.FLOAT, ["N", 8]), ("y", TensorProto.INT64, [2, "M"])
    file = save_graph(tmp_path, [node], given, result)
    assert main(["check", "--tensorrt", str(file)]) == 1
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    assert "does not accept node /model/picks (NonZero): " in said.out
    assert said.err == "framewire: 1 problem was found, listed above\n"


def test_the_command_needs_to_be_told_what_to_check_a_file_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(save_tiny_detector(tmp_path / "tiny.onnx"))]) == 1
    assert "add --tensorrt" in capsys.readouterr().err


def test_the_command_refuses_a_batch_of_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    assert main(["check", str(model), "--tensorrt", "--max-batch", "0"]) == 1
    assert "--max-batch must be at least 1, got 0" in capsys.readouterr().err
