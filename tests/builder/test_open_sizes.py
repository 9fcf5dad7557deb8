"""Exports for one size against exports with open sizes, both by ultralytics, weights the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from builder.detectors import open_sizes
from builder.detectors.detector import Detector, read_detector
from builder.detectors.frame_shapes import takes_rectangles, why_one_size
from builder.detectors.heads import Head
from builder.detectors.onnx_file import metadata_of
from builder.errors import SettingsError
from builder.network_graph import network_graph
from builder.settings import BuildSettings, ExecutionProvider, Precision, Runtime, Shape
from builder.surgery.open_grid import split_grid
from builder.surgery.open_reshape import open_target
from builder.surgery.open_shapes import open_shapes
from builder.surgery.size_probe import OpenDim, UnopenableError
from tests.conftest import ROOT
from tests.heads.sources import QUIET
from tests.tiny_detector import save_tiny_detector, tiny_detector

NAMES = ("yolov8n-p6", "yolov9t", "yolov10n", "yolo11n", "yolo12n", "yolo26n")
WIDTH, HEIGHT = 256, 192
# Batch, height, width.
SHAPES = ((1, 192, 256), (3, 192, 256), (2, 128, 256), (1, 192, 128), (2, 64, 256))


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    command = [sys.executable, "-m", "tests.heads.export_pairs", str(folder)]
    environment = {**os.environ, **QUIET, "YOLO_CONFIG_DIR": str(folder / "config")}
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    return folder


def run(model: onnx.ModelProto, images: NDArray) -> NDArray:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def noise(batch: int, height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((batch, 3, height, width), np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_an_export_for_one_size_becomes_the_one_with_open_sizes(exports: Path, name: str) -> None:
    fixed = read_detector(exports / f"{name}-fixed.onnx")
    opened = onnx.load(exports / f"{name}-open.onnx")
    assert (fixed.width, fixed.height) == (WIDTH, HEIGHT)
    assert fixed.fixed_batch is None
    assert fixed.one_size == fixed.one_batch == ""
    for shape in SHAPES:
        images = noise(*shape)
        found, expected = run(fixed.model, images), run(opened, images)
        assert found.shape == expected.shape
        # YOLO12's attention makes much of the last bit of a sum.
        different = np.abs(found - expected) > 1e-3 * np.abs(expected).max()
        assert different.mean() < 0.02


@pytest.mark.parametrize("name", NAMES)
def test_the_shortest_side_is_one_that_the_network_runs_at(exports: Path, name: str) -> None:
    for kind in ("fixed", "open"):
        detector = read_detector(exports / f"{name}-{kind}.onnx")
        # Its graph picks 300 of the anchors: fewer there must not be.
        side = 128 if detector.head is Head.END2END else detector.stride
        assert detector.least_side == side
        for shape in ((1, HEIGHT, side), (1, side, WIDTH)):
            assert np.isfinite(run(detector.model, noise(*shape))).all()


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_network_of_rectangles_finds_what_that_of_squares_finds(
    exports: Path, precision: Precision, multi_label: bool
) -> None:
    detector = read_detector(exports / "yolo11n-fixed.onnx")
    settings = BuildSettings("x", precision=precision, multi_label=multi_label)
    networks = [
        network_graph(
            detector,
            BuildSettings(
                "x", precision=precision, multi_label=multi_label, shape=shape
            ).with_defaults(detector.defaults),
        )
        for shape in Shape
    ]
    assert takes_rectangles(detector, settings)
    frames = np.random.default_rng(1).integers(0, 256, (2, HEIGHT, WIDTH, 3), np.uint8)
    np.testing.assert_allclose(*(run(network, frames) for network in networks), rtol=1e-4)
    dims = [dim.dim_param for dim in networks[0].graph.input[0].type.tensor_type.shape.dim]
    assert dims[1:3] == ["height", "width"]
    # Whoever compiles it for its largest frame, as `check --tensorrt` does, reads it there.
    assert metadata_of(networks[0])["imgsz"] == f"[{HEIGHT}, {WIDTH}]"


@pytest.mark.parametrize("multi_label", [False, True])
def test_fewer_anchors_than_candidates_are_followed_by_rows_that_score_nothing(
    exports: Path, multi_label: bool
) -> None:
    detector = read_detector(exports / "yolo11n-fixed.onnx")
    settings = BuildSettings("x", multi_label=multi_label).with_defaults(detector.defaults)
    frames = np.random.default_rng(1).integers(0, 256, (2, 32, WIDTH, 3), np.uint8)
    rows = run(network_graph(detector, settings), frames)
    anchors = 32 * WIDTH * (1 / 64 + 1 / 256 + 1 / 1024) * (3 if multi_label else 1)
    assert rows.shape == (2, 1000, 6)
    assert ((rows[..., 4] > 0).sum(axis=1) == min(anchors, 1000)).all()
    assert (np.diff(rows[..., 4], axis=1) <= 0).all()


def tiny(tmp_path: Path, **options: object) -> Detector:
    return read_detector(save_tiny_detector(tmp_path / "model.onnx", tiny_detector(**options)))


def with_layer(model: onnx.ModelProto, op_type: str, constant: NDArray) -> onnx.ModelProto:
    """Put an operator and a constant between the images and all that follows."""
    for node in model.graph.node:
        node.input[:] = ["changed" if name == "images" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node(op_type, ["images", "constant"], ["changed"]))
    model.graph.initializer.append(numpy_helper.from_array(constant, "constant"))
    return model


def test_numbers_that_were_learned_for_places_keep_a_network_at_its_size(tmp_path: Path) -> None:
    learned = np.random.default_rng(0).random((1, 1, 64, 64), np.float32)
    model = with_layer(tiny_detector(batch=1), "Add", learned)
    detector = read_detector(save_tiny_detector(tmp_path / "model.onnx", model))
    assert detector.least_side is None
    assert "no grid of cells" in detector.one_size
    assert "export it with dynamic=True" in detector.one_size
    # Its batch is another matter.
    assert detector.fixed_batch is None


def test_a_graph_that_mixes_the_images_of_a_batch_keeps_its_batch(tmp_path: Path) -> None:
    model = tiny_detector(batch=1, opset=17)
    for node in model.graph.node:
        node.input[:] = ["mixed" if name == "images" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("ReduceMean", ["images"], ["mixed"], axes=[0]))
    detector = read_detector(save_tiny_detector(tmp_path / "model.onnx", model))
    assert detector.fixed_batch == 1
    assert "mixes the images" in detector.one_batch


def test_a_file_that_only_calls_its_sizes_open_is_found_out(tmp_path: Path) -> None:
    detector = tiny(tmp_path, dynamic_size=True)
    assert detector.least_side is None
    assert "does not run at other sizes" in detector.one_size


def test_a_graph_that_shrinks_every_image_to_one_size_is_told_by_its_boxes(tmp_path: Path) -> None:
    """It runs at any size, and its boxes are pixels of the one that it shrinks to."""
    model = tiny_detector(dynamic_size=True)
    for node in model.graph.node:
        node.input[:] = ["shrunk" if name == "images" else name for name in node.input]
    steps = (
        helper.make_node("Shape", ["images"], ["shape"], end=2),
        helper.make_node("Concat", ["shape", "one_size"], ["sizes"], axis=0),
        helper.make_node("Resize", ["images", "", "", "sizes"], ["shrunk"], mode="nearest"),
    )
    for place, node in enumerate(steps):
        model.graph.node.insert(place, node)
    sizes = numpy_helper.from_array(np.array([64, 64], np.int64), "one_size")
    model.graph.initializer.append(sizes)
    assert run(model, noise(1, 32, 64)).shape == (1, 7, 84)
    detector = read_detector(save_tiny_detector(tmp_path / "model.onnx", model))
    assert detector.least_side is None
    assert "does not run at other sizes" in detector.one_size


@pytest.mark.parametrize("installed", ["onnxruntime", "openvino", None])
def test_networks_are_tried_on_whatever_runtime_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str | None
) -> None:
    open_sizes._kept.clear()
    for module in ("onnxruntime", "openvino"):
        if module != installed:
            monkeypatch.setitem(sys.modules, module, None)
    detector = tiny(tmp_path, batch=1)
    if installed is None:
        assert detector.fixed_batch == 1
        assert detector.one_size == detector.one_batch
        assert "neither onnxruntime nor openvino is installed" in detector.one_size
    else:
        assert detector.fixed_batch is None
        assert detector.least_side == 32
    open_sizes._kept.clear()


def test_where_frames_cannot_be_rectangles_asking_for_them_is_refused(tmp_path: Path) -> None:
    can, cannot = tiny(tmp_path), tiny(tmp_path, dynamic_size=True)
    assert takes_rectangles(can, BuildSettings("x"))
    assert not takes_rectangles(can, BuildSettings("x", shape=Shape.SQUARE))
    assert not takes_rectangles(cannot, BuildSettings("x"))
    with pytest.raises(SettingsError, match="it does not run at other sizes"):
        takes_rectangles(cannot, BuildSettings("x", shape=Shape.RECT))
    plan = BuildSettings("x", runtime=Runtime.TENSORRT)
    assert not takes_rectangles(can, plan)
    assert why_one_size(can, plan) == "a TensorRT plan is compiled for one size"
    inside = BuildSettings(
        "x", runtime=Runtime.ONNXRUNTIME, execution_provider=ExecutionProvider.TENSORRT
    )
    assert not takes_rectangles(can, inside)
    assert takes_rectangles(can, BuildSettings("x", runtime=Runtime.ONNXRUNTIME))


def test_a_resize_to_a_size_becomes_one_by_a_factor() -> None:
    sizes = numpy_helper.from_array(np.array([1, 3, 32, 48], np.int64), "sizes")
    node = helper.make_node("Resize", ["images", "", "", "sizes"], ["out"], mode="nearest")
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 16, 24])
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 3, 32, 48])
    graph = helper.make_graph([node], "resize", [image], [output], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    open_shapes(model, (1, 3, 16, 24), sizes=True)
    onnx.checker.check_model(model)
    assert run(model, noise(2, 5, 8)).shape == (2, 3, 10, 16)


N, H, W, HW = (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 1, 1)
FIXED = (0, 0, 0)


@pytest.mark.parametrize(
    ("given", "target", "expected"),
    [
        # A head's map to a row of cells.
        ([(1, N), (64, FIXED), (6, H), (8, W)], [1, 64, 48], [N, FIXED, HW]),
        # Its box distances apart.
        ([(1, N), (64, FIXED), (48, HW)], [1, 4, 16, 48], [N, FIXED, FIXED, HW]),
        # Attention's cells back to a map.
        ([(1, N), (2, FIXED), (32, FIXED), (48, HW)], [1, 64, 6, 8], [N, FIXED, H, W]),
        # To four areas and back, the batch in the same dim.
        ([(1, N), (48, HW), (64, FIXED)], [4, 12, 64], [N, HW, FIXED]),
        ([(4, N), (12, HW), (64, FIXED)], [1, 48, 64], [N, HW, FIXED]),
        ([(4, N), (12, HW), (64, FIXED)], [1, 6, 8, 64], [N, H, W, FIXED]),
        # Images and channels in one dim.
        ([(2, N), (3, FIXED), (48, HW)], [6, 48], [N, HW]),
    ],
)
def test_what_a_reshape_makes_follows_what_it_is_given(
    given: list[tuple[int, tuple[int, int, int]]],
    target: list[int],
    expected: list[tuple[int, int, int]],
) -> None:
    dims = tuple(OpenDim(size, degrees) for size, degrees in given)
    base = (given[0][0] if given[0][0] == 2 else 1, 3, 192, 256)
    assert [dim.degrees for dim in open_target(dims, target, base)] == expected


def test_a_reshape_that_does_not_show_what_follows_the_size_is_refused() -> None:
    given = (OpenDim(1, N), OpenDim(8, FIXED), OpenDim(48, HW))
    with pytest.raises(UnopenableError, match="does not show"):
        open_target(given, [1, 8, 4, 12], (1, 3, 192, 256))


def test_a_grid_is_told_from_numbers_without_a_rule() -> None:
    rows, columns = np.mgrid[0:8, 0:16]
    grid = np.stack([columns, rows]).reshape(2, -1).astype(np.float32) + 0.5
    sizes = [(8, 16), (4, 8), (2, 4)]
    anchors = np.concatenate(
        [np.stack(np.mgrid[0:h, 0:w][::-1]).reshape(2, -1) + 0.5 for h, w in sizes], 1
    ).astype(np.float32)[None]
    np.testing.assert_array_equal(anchors[0, :, :128], grid)
    maps = split_grid(anchors, 2, (64, 128))
    assert [stride for stride, _ in maps] == [8, 16, 32]
    assert [part.shape for _, part in maps] == [(1, 2, *size) for size in sizes]
    anchors[0, 0, 5] += 1
    with pytest.raises(UnopenableError, match="no grid"):
        split_grid(anchors, 2, (64, 128))
