"""A network is run before it is published: what is refused then, and what becomes of batches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from builder.cli import main
from builder.detectors.detector import Detector, read_detector
from builder.detectors.heads import Head
from builder.errors import BuilderError, LabelsError, ModelFileError
from builder.network_graph import network_graph
from builder.pipelines.config_files import read_config
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Precision, Runtime
from builder.trial.frames import GREY, grey, photograph
from builder.trial.graph_runtime import RUNTIMES, LoadedGraph, is_installed
from builder.trial.network_trial import Trial, try_network
from tests.tiny_detector import LABELS, save_tiny_detector, tiny_detector
from tests.tiny_layouts import LAYOUTS, Graph, table_of_rows

WIDTH, HEIGHT = 96, 64


def read(folder: Path, model: onnx.ModelProto, **options: object) -> Detector:
    onnx.save(model, folder / "model.onnx")
    return read_detector(folder / "model.onnx", **({"labels": LABELS} | options))


def tried(detector: Detector, **options: object) -> Trial:
    settings = BuildSettings("x", **options).with_defaults(detector.defaults)
    network = network_graph(detector, settings)
    return try_network(network, detector, settings, name="model.onnx")


def with_scores(change: Callable[[Graph, str], str]) -> onnx.ModelProto:
    """The tiny detector with other class scores."""
    graph = Graph(WIDTH, HEIGHT)
    columns = [graph.centres, change(graph, graph.scores)]
    return as_yolov8(graph, columns)


def with_boxes(change: Callable[[Graph, str], str]) -> onnx.ModelProto:
    """The tiny detector with other boxes."""
    graph = Graph(WIDTH, HEIGHT)
    return as_yolov8(graph, [change(graph, graph.centres), graph.scores])


def as_yolov8(graph: Graph, columns: list[str]) -> onnx.ModelProto:
    rows = graph.add("Concat", columns, axis=2)
    turned = graph.add("Transpose", [rows], perm=[0, 2, 1])
    dims = ["batch", 4 + len(LABELS), graph.anchors]
    return graph.returning(output=(turned, TensorProto.FLOAT, dims))


def root_of_less_than_nothing(graph: Graph, tensor: str) -> str:
    """NaN where a number is below a half."""
    return graph.add("Sqrt", [graph.add("Sub", [tensor, graph.constant(0.5)])])


def test_what_a_detector_answers_is_told(tmp_path: Path) -> None:
    trial = tried(read(tmp_path, tiny_detector(WIDTH, HEIGHT)))
    assert trial.runtime == "OpenVINO"
    # Every cell's mean colour is a score: a photograph and grey are full of what scores 0.25.
    assert trial.found["a photograph"] > 50
    assert trial.found["a grey frame"] == 126
    assert 0.4 < trial.best_score < 1
    assert (trial.batch, trial.images_seen) == (2, None)
    assert trial.load_s > 0
    assert trial.frame_s > 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda graph, scores: graph.add("Mul", [scores, graph.constant(3)]), r"scores from .* to"),
        (lambda graph, scores: graph.add("Log", [scores]), r"scores from -.*lie in 0 to 1"),
        (root_of_less_than_nothing, "scores or boxes that are not finite"),
        (lambda graph, scores: graph.add("Div", [scores, graph.constant(0)]), ".* not finite"),
    ],
    ids=["too large", "logarithms", "nan", "inf"],
)
@pytest.mark.parametrize("multi_label", [False, True])
def test_scores_that_are_none_are_refused(
    tmp_path: Path, change: Callable[[Graph, str], str], reason: str, multi_label: bool
) -> None:
    detector = read(tmp_path, with_scores(change))
    with pytest.raises(ModelFileError, match=rf"read as yolov8, finds {reason}.*--head"):
        tried(detector, multi_label=multi_label)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda graph, boxes: graph.add("Div", [boxes, graph.constant([96, 64, 96, 64])]),
            "boxes that reach 1 pixels into 96x64, as shares",
        ),
        (
            lambda graph, boxes: graph.add("Mul", [boxes, graph.constant(640)]),
            "boxes from .* far outside of 96x64",
        ),
        (
            lambda graph, boxes: graph.add("Mul", [boxes, graph.constant([1, 1, -1, -1])]),
            "boxes whose right or lower end lies before the other",
        ),
        (root_of_less_than_nothing, "scores or boxes that are not finite"),
    ],
    ids=["shares", "far", "inverted", "nan"],
)
def test_boxes_that_are_none_are_refused(
    tmp_path: Path, change: Callable[[Graph, str], str], reason: str
) -> None:
    if change is root_of_less_than_nothing:

        def change(graph: Graph, boxes: str) -> str:
            return graph.add("Sqrt", [graph.add("Sub", [boxes, graph.constant(10)])])

    detector = read(tmp_path, with_boxes(change))
    with pytest.raises(ModelFileError, match=rf"read as yolov8, finds {reason}"):
        tried(detector)


def test_a_head_that_was_told_wrongly_is_noticed(tmp_path: Path) -> None:
    # Corners read as shares of the frame.
    detector = read(tmp_path, LAYOUTS["end2end"](WIDTH, HEIGHT), head=Head.RTDETR)
    with pytest.raises(ModelFileError, match=r"read as rtdetr, finds boxes from .* far outside"):
        tried(detector)


def test_a_class_without_a_name_is_noticed(tmp_path: Path) -> None:
    graph = Graph(WIDTH, HEIGHT)
    score, best_class = graph.best()
    later = graph.add("Add", [best_class, graph.constant(5)])
    rows = graph.add("Concat", [graph.corners(), score, later], axis=2)
    picked = graph.columns_of(rows, 0, 29, axis=1)
    model = graph.returning(output=(picked, TensorProto.FLOAT, ["batch", 29, 6]))
    detector = read(tmp_path, model, head=Head.END2END)
    with pytest.raises(LabelsError, match=r"finds class [567] in a .*, and only 3 .*--labels FILE"):
        tried(detector)


def test_a_network_that_does_not_load_or_run_is_refused(tmp_path: Path) -> None:
    graph = Graph(WIDTH, HEIGHT)
    unknown = graph.add("Unknown", [graph.scores], domain="someone")
    graph.model.opset_import.append(helper.make_opsetid("someone", 1))
    detector = read(tmp_path, as_yolov8(graph, [graph.centres, unknown]))
    with pytest.raises(ModelFileError, match=r"OpenVINO cannot load the network made .*Unknown"):
        tried(detector)
    with pytest.raises(ModelFileError, match=r"ONNX Runtime cannot load the network made of mod"):
        tried(detector, runtime=Runtime.ONNXRUNTIME)
    # A shape that only shows when there are numbers.
    graph = Graph(WIDTH, HEIGHT)
    shape = graph.add("Shape", [graph.scores])
    larger = graph.add("Max", [shape, graph.constant([1, 1, 5], np.int64)])
    detector = read(
        tmp_path, as_yolov8(graph, [graph.centres, graph.add("Reshape", [graph.scores, larger])])
    )
    for runtime in (Runtime.PYTHON, Runtime.ONNXRUNTIME):
        with pytest.raises(ModelFileError, match=r"network made of model.onnx .* fails with a pho"):
            tried(detector, runtime=runtime)


def test_what_is_refused_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_tiny_detector(
        tmp_path / "model.onnx", with_scores(lambda graph, scores: graph.add("Log", [scores]))
    )
    names = tmp_path / "names.txt"
    names.write_text("\n".join(LABELS))
    arguments = [str(path), "--labels", str(names)]
    build = ["build", *arguments, "--name", "x", "--repository", str(tmp_path / "r")]
    assert main(build) == 1
    assert "model.onnx, read as yolov8, finds scores from" in capsys.readouterr().err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.onnx", "names.txt"]
    # Nor is what is there already touched.
    build_pipeline(save_tiny_detector(tmp_path / "good.onnx"), tmp_path / "r", BuildSettings("x"))
    before = sorted((tmp_path / "r").rglob("*"))
    assert main(build) == 1
    assert sorted((tmp_path / "r").rglob("*")) == before
    assert main(["inspect", *arguments]) == 0
    assert "refused: model.onnx, read as yolov8, finds scores from" in capsys.readouterr().out


def of_first_image(graph: Graph) -> None:
    """Have a graph look at its first image, whatever others there are."""
    first = graph.add("Gather", ["images", graph.constant([0], np.int64)], axis=0)
    zeros = graph.add("Mul", ["images", graph.constant(0)])
    mine = graph.add("Add", [zeros, first])
    nodes = list(graph.model.graph.node)
    for node in nodes[:-3]:
        node.input[:] = [mine if name == "images" else name for name in node.input]
    del graph.model.graph.node[:]
    graph.model.graph.node.extend([*nodes[-3:], *nodes[:-3]])


def same_for_all(width: int, height: int) -> onnx.ModelProto:
    graph = Graph(width, height)
    of_first_image(graph)
    return as_yolov8(graph, [graph.centres, graph.scores])


def one_at_a_time(width: int, height: int) -> onnx.ModelProto:
    """Open batch, and a Reshape inside for one image, whose dims only show when it runs."""
    graph = Graph(width, height)
    seen = graph.add("Cast", [graph.scores], to=TensorProto.INT64)
    largest = graph.add("ReduceMax", [seen], keepdims=0)
    nothing = graph.add("Mul", [largest, graph.constant(0, np.int64)])
    one = graph.add("Add", [nothing, graph.constant([1, -1, len(LABELS)], np.int64)])
    return as_yolov8(graph, [graph.centres, graph.add("Reshape", [graph.scores, one])])


BATCHES = {
    "one NMS": (lambda: table_of_rows(WIDTH, HEIGHT), 1),
    "four NMS": (lambda: table_of_rows(WIDTH, HEIGHT, images=4), 4),
    "the first for all": (lambda: same_for_all(WIDTH, HEIGHT), 1),
    "one at a time": (lambda: one_at_a_time(WIDTH, HEIGHT), 1),
    "any": (lambda: tiny_detector(WIDTH, HEIGHT), None),
    "rows of a batch": (lambda: LAYOUTS["batch_rows"](WIDTH, HEIGHT), None),
    "rows of each": (lambda: LAYOUTS["end2end"](WIDTH, HEIGHT), None),
}


@pytest.mark.parametrize("runtime", list(Runtime))
@pytest.mark.parametrize("name", BATCHES)
def test_batches_hold_what_is_looked_at(tmp_path: Path, name: str, runtime: Runtime) -> None:
    make, held = BATCHES[name]
    path = save_tiny_detector(tmp_path / "model.onnx", make())
    detector = read_detector(path, labels=LABELS)
    spec = build_pipeline(
        path, tmp_path / "r", BuildSettings("x", runtime=runtime), detector=detector
    )
    assert spec.trial is not None
    assert spec.trial.images_seen == held
    # In Python each frame is run by itself.
    most = 16 if runtime is Runtime.PYTHON or held is None else held
    for model in ("x", "x_network", "x_bls"):
        assert read_config(tmp_path / "r" / model).max_batch_size == most


def test_a_graph_that_finds_nothing_holds_what_it_was_exported_for(tmp_path: Path) -> None:
    def model(metadata: dict[str, str]) -> onnx.ModelProto:
        made = table_of_rows(WIDTH, HEIGHT, images=4)
        for tensor in made.graph.initializer:
            value = onnx.numpy_helper.to_array(tensor)
            if value.dtype == np.float32 and value.size == 1 and value == np.float32(0.3):
                # A threshold that nothing reaches.
                tensor.CopyFrom(onnx.numpy_helper.from_array(value * 0 + 9, tensor.name))
        helper.set_model_props(made, metadata)
        return made

    for metadata, held in (
        ({}, 4),
        ({"args": "{'nms': True, 'batch': 2}"}, 2),
        ({"args": '{"nms": true}', "batch": "3"}, 3),
    ):
        trial = tried(read(tmp_path, model(metadata)))
        assert trial.found["a photograph"] == 0
        assert trial.images_seen == held


def test_build_says_what_it_saw_and_why_batches_are_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save_tiny_detector(tmp_path / "model.onnx", table_of_rows(WIDTH, HEIGHT))
    (tmp_path / "names.txt").write_text("\n".join(LABELS))
    labels = ["--labels", str(tmp_path / "names.txt")]
    build = ["build", str(path), *labels, "--repository", str(tmp_path / "r")]
    assert main([*build, "--name", "x", "--runtime", "onnxruntime"]) == 0
    said = capsys.readouterr().out
    assert "batches up to 1\n" in said
    assert "tried: loaded in " in said
    assert "s by ONNX Runtime, " in said
    assert "it looks at the first image of a batch only, so batches hold no more" in said
    assert main([*build, "--name", "y", "--runtime", "python"]) == 0
    said = capsys.readouterr().out
    assert "batches up to 16\n" in said
    assert "by OpenVINO" in said
    assert "it looks at" not in said
    assert main(["inspect", str(path), *labels]) == 0
    said = capsys.readouterr().out
    assert "tried       loaded in " in said
    assert "batches     it looks at the first image of a batch only" in said


def test_float16_is_tried_too(tmp_path: Path) -> None:
    trial = tried(read(tmp_path, tiny_detector(WIDTH, HEIGHT)), precision=Precision.FP16)
    assert trial.found["a photograph"] > 50


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_every_runtime_answers_the_same(tmp_path: Path, runtime: str) -> None:
    assert is_installed(runtime)
    detector = read(tmp_path, tiny_detector(WIDTH, HEIGHT))
    settings = BuildSettings("x", candidates=20, max_det=10).with_defaults(detector.defaults)
    network = network_graph(detector, settings)
    frames = np.concatenate([photograph(WIDTH, HEIGHT), grey(WIDTH, HEIGHT)])
    (expected,) = LoadedGraph(network, [RUNTIMES[0]]).run(frames)
    graph = LoadedGraph(network, [runtime])
    assert graph.runtime == runtime
    np.testing.assert_allclose(graph.run(frames)[0][..., 4], expected[..., 4], atol=1e-5)


def test_without_any_runtime_onnx_itself_tries_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    trial = tried(read(tmp_path, tiny_detector(WIDTH, HEIGHT)))
    assert trial.runtime == "ONNX's evaluator"
    assert trial.found["a photograph"] > 50
    with pytest.raises(BuilderError, match="scores from"):
        tried(read(tmp_path, with_scores(lambda graph, scores: graph.add("Log", [scores]))))


@pytest.mark.parametrize("size", [(640, 640), (1280, 32), (32, 64)])
def test_frames_fill_the_input(size: tuple[int, int]) -> None:
    for frame in (photograph(*size), grey(*size)):
        assert frame.shape == (1, size[1], size[0], 3)
        assert frame.dtype == np.uint8
    assert photograph(*size).std() > 20
    assert (grey(*size) == GREY).all()
