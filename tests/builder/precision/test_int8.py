"""Networks in int8: which layers, and what they compute in each runtime."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import openvino as ov
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from openvino.properties import hint

from builder.cli import main
from builder.detectors.detector import read_detector
from builder.detectors.frame_shapes import Framing
from builder.detectors.heads import Placement
from builder.errors import PrecisionError
from builder.network_graph import network_graph
from builder.pipelines.manifest import pipelines, read_manifest
from builder.pipelines.repository import build_pipeline
from builder.precision.calibration import calibration_files, int8_network, int8_of_version
from builder.settings import BuildSettings, Precision, Runtime
from builder.surgery.int8_layers import int8_layers
from builder.surgery.quantize import to_int8
from builder.tensorrt.tensorrt_check import compile_network
from builder.verification.source_image import decode, place
from tests.conftest import ROOT
from tests.tiny_detector import save_tiny_detector

CODES = ROOT / "samples" / "code_detector" / "codes.onnx"
PICTURES = [ROOT / "samples" / name for name in ("desk.jpg", "labels.jpg", "shelf.jpg")]
WHOLE = Framing(640, 640, Placement.CENTRE)
CONFIDENT = 0.25


@pytest.fixture(scope="module")
def network() -> onnx.ModelProto:
    """The demo detector's network in float32."""
    detector = read_detector(CODES)
    return network_graph(detector, BuildSettings("codes").with_defaults(detector.defaults))


@pytest.fixture(scope="module")
def for_openvino(network: onnx.ModelProto) -> onnx.ModelProto:
    return int8_network(network, PICTURES, WHOLE, Runtime.PYTHON)


@pytest.fixture(scope="module")
def for_tensorrt(network: onnx.ModelProto) -> onnx.ModelProto:
    return int8_network(network, PICTURES, WHOLE, Runtime.TENSORRT)


@pytest.fixture(scope="module")
def frame() -> NDArray[Any]:
    picture = decode(PICTURES[1].read_bytes())
    assert picture is not None
    return place(picture, WHOLE).frame[None]


def in_onnxruntime(model: onnx.ModelProto, frame: NDArray[Any]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    rows: NDArray[np.float32] = session.run(None, {"frame": frame})[0][0]
    return rows


def compiled(model: onnx.ModelProto) -> ov.CompiledModel:
    core = ov.Core()
    hints = {hint.inference_precision: ov.Type.f32}
    return core.compile_model(core.read_model(model.SerializeToString()), "CPU", hints)


def executed(model: onnx.ModelProto) -> Counter[tuple[str, str]]:
    """How many layers of each kind and type OpenVINO runs."""
    facts = [node.get_rt_info() for node in compiled(model).get_runtime_model().get_ops()]
    return Counter(
        (str(each["layerType"].value), str(each["runtimePrecision"].value)) for each in facts
    )


def furthest(rows: NDArray[np.float32], expected: NDArray[np.float32]) -> tuple[float, float]:
    """How far confident candidates lie from the nearest of others: pixels, score."""
    boxes, scores = [], []
    confident = expected[expected[:, 4] > CONFIDENT]
    assert len(confident) > 50
    for row in confident:
        apart = np.abs(rows[:, :4] - row[:4]).max(1)
        boxes.append(float(apart.min()))
        scores.append(float(np.abs(rows[apart < 4, 4] - row[4]).min(initial=1)))
    return float(np.mean(boxes)), float(np.mean(scores))


def test_the_body_is_quantised_and_the_head_is_not(for_openvino: onnx.ModelProto) -> None:
    makers = {name: node for node in for_openvino.graph.node for name in node.output}
    quantised = {
        node.name: makers[node.input[0]].op_type
        for node in for_openvino.graph.node
        if node.op_type == "Conv" and node.input[1] in makers
    }
    assert len(quantised) == 62
    assert not [name for name in quantised if "/model.23/" in name]
    assert "/model.0/conv/Conv" not in quantised
    # Where tensors are joined or cut, what is joined has been rounded before.
    assert set(quantised.values()) <= {"DequantizeLinear", "Split", "Concat", "Reshape"}


def test_what_is_joined_shares_a_scale(for_openvino: onnx.ModelProto) -> None:
    makers = {name: node for node in for_openvino.graph.node for name in node.output}

    def scales(name: str) -> set[str]:
        node = makers[name]
        if node.op_type == "DequantizeLinear":
            return {node.input[1]}
        return set().union(*map(scales, node.input if node.op_type == "Concat" else node.input[:1]))

    values = {each.name: numpy_helper.to_array(each) for each in for_openvino.graph.initializer}
    joined = [
        scales(node.input[0])
        for node in for_openvino.graph.node
        if node.op_type == "Conv" and node.input[1] in makers
    ]
    assert max(map(len, joined)) > 1
    for names in joined:
        assert len({float(values[name]) for name in names}) == 1, names


def test_both_ways_to_count_steps_stand_for_the_same_numbers(
    for_openvino: onnx.ModelProto, for_tensorrt: onnx.ModelProto, frame: NDArray[Any]
) -> None:
    one, other = (in_onnxruntime(each, frame) for each in (for_openvino, for_tensorrt))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_what_is_found_is_what_float32_finds(
    network: onnx.ModelProto, for_openvino: onnx.ModelProto, frame: NDArray[Any], runtime: str
) -> None:
    expected = in_onnxruntime(network, frame)
    if runtime == "openvino":
        rows = compiled(for_openvino)({0: frame})[0][0]
    else:
        rows = in_onnxruntime(for_openvino, frame)
    box_px, score = furthest(rows, expected)
    assert box_px < 1
    assert score < 0.02


def test_openvino_leaves_each_activation_in_its_convolution(
    network: onnx.ModelProto, for_openvino: onnx.ModelProto
) -> None:
    layers, float32 = executed(for_openvino), executed(network)
    assert layers["Convolution", "u8"] == 62
    assert layers["Convolution", "f32"] == float32["Convolution", "f32"] - 62
    kinds, float32_kinds = (
        [kind for kind, _ in counted.elements()] for counted in (layers, float32)
    )
    assert "FakeQuantize" not in kinds
    # Where an activation is a layer of its own, it is one of these.
    assert 0 < kinds.count("Eltwise") <= float32_kinds.count("Eltwise")


def test_tensorrt_compiles_it(for_tensorrt: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(for_tensorrt, tmp_path / "int8.onnx")
    report = compile_network(tmp_path / "int8.onnx", ("8.9",), max_batch=4)
    assert report.accepted, report.problems
    # TensorRT takes no unsigned steps.
    zeros = [each for each in for_tensorrt.graph.initializer if each.name.endswith("/zero")]
    assert {each.data_type for each in zeros} == {onnx.TensorProto.INT8}


def test_the_same_images_make_the_same_file(
    network: onnx.ModelProto, for_openvino: onnx.ModelProto
) -> None:
    again = int8_network(network, PICTURES, WHOLE, Runtime.PYTHON)
    assert again.SerializeToString() == for_openvino.SerializeToString()


def test_a_version_is_quantised_to_what_a_build_makes(tmp_path: Path) -> None:
    settings = ["--runtime", "python", "--force", "--replace"]
    build = ["build", str(CODES), "--name", "codes", "--repository", str(tmp_path / "r"), *settings]
    assert main(build) == 0
    manifest = read_manifest(tmp_path / "r", "codes")
    quantised = int8_of_version(tmp_path / "r", manifest, PICTURES, tmp_path).read_bytes()
    assert main([*build, "--precision", "int8", "--calibrate", *map(str, PICTURES)]) == 0
    assert read_manifest(tmp_path / "r", "codes").precision is Precision.INT8
    assert (tmp_path / "r" / "codes_network" / "1" / "model.onnx").read_bytes() == quantised


def test_images_beyond_the_most_are_spread(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03d}.jpg").touch()
    chosen = calibration_files([str(tmp_path)])
    assert len(chosen) == 128
    assert [chosen[0].name, chosen[64].name, chosen[-1].name] == ["000.jpg", "150.jpg", "297.jpg"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--precision", "int8"], "name them with --calibrate IMAGES"),
        (["--calibrate", "samples"], "--calibrate is for --precision int8"),
        (
            ["--precision", "int8", "--calibrate", "samples/desk.jpg"],
            "no convolutions with constant weights between its first and its head",
        ),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], said: str
) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    options = [str(ROOT / each) if each.startswith("samples") else each for each in options]
    where = ["--name", "tiny", "--repository", str(tmp_path / "r"), "--runtime", "python"]
    assert main(["build", str(model), *where, *options]) == 1
    assert said in capsys.readouterr().err
    assert pipelines(tmp_path / "r") == ()


def test_a_file_that_is_no_picture_is_named(tmp_path: Path, network: onnx.ModelProto) -> None:
    (tmp_path / "none.jpg").write_bytes(b"no picture")
    with pytest.raises(PrecisionError, match=r"none\.jpg is no picture"):
        int8_network(network, [tmp_path / "none.jpg"], WHOLE, Runtime.PYTHON)


def test_an_operator_set_without_scales_for_channels_is_refused(network: onnx.ModelProto) -> None:
    old = onnx.ModelProto()
    old.CopyFrom(network)
    old.opset_import[0].version = 12
    with pytest.raises(PrecisionError, match=r"uses ONNX opset 12, and int8 takes 13"):
        to_int8(old, int8_layers(old), {}, unsigned=True)


def test_a_build_by_itself_wants_images(tmp_path: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    settings = BuildSettings("tiny", precision=Precision.INT8)
    with pytest.raises(Exception, match="--calibrate IMAGES"):
        build_pipeline(model, tmp_path / "r", settings)
