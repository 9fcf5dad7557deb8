"""A network run once before it is published: that it runs, and that it answers like a detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from builder.detectors.detector import Detector
from builder.detectors.heads import Head
from builder.detectors.metadata import export_batch
from builder.detectors.onnx_file import metadata_of
from builder.errors import ModelFileError
from builder.network_graph import candidate_rows
from builder.settings import BuildSettings, Precision, Runtime
from builder.surgery.finite import IS_FINITE
from builder.trial.answers import check_answer, same_answer, shows_something
from builder.trial.frames import grey, photograph
from builder.trial.graph_runtime import (
    ONNX,
    ONNXRUNTIME,
    OPENVINO,
    GraphRunError,
    LoadedGraph,
    Outputs,
    is_installed,
)
from builder.trial.own_time import measured_seconds

PHOTOGRAPH, MIDDLE, GREY = "a photograph", "its middle", "a grey frame"
# What resembles most what will run the network comes first.
SERVED_BY: Mapping[Runtime, Sequence[str]] = {
    Runtime.PYTHON: (OPENVINO, ONNXRUNTIME, ONNX),
    Runtime.ONNXRUNTIME: (ONNXRUNTIME, OPENVINO, ONNX),
    Runtime.TENSORRT: (ONNXRUNTIME, OPENVINO, ONNX),
}


@dataclass(frozen=True)
class Trial:
    """What a network did when it was tried.

    Attributes:
        runtime: that ran it.
        load_s: seconds that it took to load and compile, less those in which others had the
            processor.
        frame_s: seconds for a frame, once it is warm; likewise.
        found: detections above the default threshold in each frame, by its name.
        best_score: of all candidates of all frames.
        batch: images that were run together; 1 where nothing would have shown by it.
        images_seen: the only so many first images of a batch that it looks at; None for all.
    """

    runtime: str
    load_s: float
    frame_s: float
    found: dict[str, int]
    best_score: float
    batch: int
    images_seen: int | None


def try_network(
    network: onnx.ModelProto, detector: Detector, settings: BuildSettings, *, name: str
) -> Trial:
    """Load a network and run a photograph, a grey frame and a batch through it.

    Args:
        network: as :func:`builder.network_graph.network_graph` makes it.
        detector: that it was made of.
        settings: with nothing left to default.
        name: of the detector's file, for refusals.

    Raises:
        ModelFileError: it does not load or run, or answers what no detector does: numbers that are
            not finite, scores outside of 0 to 1, boxes in another unit or order.
    """
    graph = _loaded(network, settings.runtime, name)
    size = (detector.width, detector.height)
    frames = {
        PHOTOGRAPH: photograph(*size),
        MIDDLE: photograph(*size, middle=True),
        GREY: grey(*size),
    }
    rows = candidate_rows(detector, settings)
    answers: dict[str, NDArray[np.float32]] = {}
    seconds = 0.0
    for title, frame in frames.items():
        with measured_seconds() as taken:
            answers[title], *finite = _run(graph, frame, name, title)
        seconds = taken()
        _check_shape(answers[title], (1, rows, 6), name, graph.runtime)
        if not all(np.all(each) for each in finite):
            raise ModelFileError(
                f"{name}, read as {detector.head.value}, finds scores or boxes that are not finite "
                f"numbers in {title}: it is misread or damaged; name its --head if that is wrong, "
                "or export it again"
                + (", with --precision fp32" if settings.precision is Precision.FP16 else "")
            )
    found = {
        title: check_answer(answer[0], title, detector, settings, name=name)
        for title, answer in answers.items()
    }
    largest = min(detector.fixed_batch or settings.max_batch, settings.max_batch)
    batch, seen = _images_seen(
        graph, network, detector, [(frames[title], answers[title]) for title in frames], largest
    )
    return Trial(
        runtime=graph.runtime,
        load_s=graph.load_s,
        frame_s=seconds,
        found=found,
        best_score=float(max(answer[..., 4].max(initial=0) for answer in answers.values())),
        batch=batch,
        images_seen=seen,
    )


def _loaded(network: onnx.ModelProto, runtime: Runtime, name: str) -> LoadedGraph:
    wanted = SERVED_BY[runtime]
    try:
        return LoadedGraph(_with_finite_checks(network), wanted)
    except GraphRunError as error:
        used = next(each for each in wanted if is_installed(each))
        raise ModelFileError(
            f"{used} cannot load the network made of {name} ({error}): export it again, with "
            "another opset or without NMS"
        ) from error


def _with_finite_checks(network: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy that also returns what says of its candidates whether they were finite.

    What was not has the score 0 in the candidates, and nothing else shows it there.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(network)
    names = [name for node in copy.graph.node for name in node.output if name.endswith(IS_FINITE)]
    shape: list[str | int | None] = [None, None, None]
    copy.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.BOOL, shape) for name in names
    )
    return copy


def _run(graph: LoadedGraph, frame: NDArray[np.uint8], name: str, title: str) -> Outputs:
    try:
        return graph.run(frame)
    except GraphRunError as error:
        raise ModelFileError(
            f"the network made of {name} loads in {graph.runtime} and fails with {title} "
            f"({error}): export it again, with another opset or without NMS"
        ) from error


def _check_shape(
    answer: NDArray[np.float32], expected: tuple[int, ...], name: str, runtime: str
) -> None:
    if answer.shape != expected:
        raise ModelFileError(
            f"the network made of {name} answers a frame with {list(answer.shape)} in {runtime} "
            f"instead of {list(expected)}: name its --head, or export it again"
        )


def _images_seen(
    graph: LoadedGraph,
    network: onnx.ModelProto,
    detector: Detector,
    runs: Sequence[tuple[NDArray[np.uint8], NDArray[np.float32]]],
    largest: int,
) -> tuple[int, int | None]:
    """Return how many images were run together, and how many of them were looked at if not all.

    Graphs with NMS inside may have one for each image of the batch that was exported, and do
    nothing for further ones: one more is run than there are of these, else two.

    Args:
        graph: ready to run.
        network: the same.
        detector: that it was made of.
        runs: frames, and what each was answered with by itself.
        largest: batch that the pipeline may have.
    """
    if largest == 1:
        return 1, None
    own_nms = sum(node.op_type == "NonMaxSuppression" for node in network.graph.node)
    batch = min(largest, max(own_nms, 1) + 1)
    # What shows nothing looks the same whether it was looked at or not; so it may come first only.
    telling = [run for run in runs if shows_something(run[1][0])]
    if not telling:
        return 1, _images_exported(detector, own_nms)
    other = next((run for run in runs if not same_answer(run[1][0], telling[0][1][0])), runs[-1])
    second = other if shows_something(other[1][0]) else telling[0]
    order = [other, *(telling[0] if number % 2 else second for number in range(1, batch))]
    try:
        answers = graph.run(np.concatenate([frame for frame, _ in order]))[0]
    except GraphRunError:
        return batch, 1
    if len(answers) != batch:
        return batch, 1
    for number, (_, alone) in enumerate(order):
        if not same_answer(np.asarray(answers[number], np.float32), alone[0]):
            return batch, max(number, 1)
    return batch, None


def _images_exported(detector: Detector, own_nms: int) -> int | None:
    """Return for how many images a graph has NMS, where no frame shows it; None where it has none.

    Rows of a whole batch bear their image's number: these come from one NMS for all of them.
    """
    if not own_nms or detector.head is Head.NMS:
        return None
    return export_batch(metadata_of(detector.model)) or own_nms
