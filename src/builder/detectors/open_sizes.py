"""Which sizes and batches a detector takes: opened where an export fixed them, tried, or why not.

What a graph is opened to is believed only after it ran: against the graph as it came for its own
size and several batches, and through the smallest frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from builder.detectors.graph_facts import dims_of, image_input
from builder.detectors.heads import Head, Placement
from builder.surgery.open_shapes import open_shapes
from builder.surgery.size_probe import UnopenableError
from builder.trial.graph_runtime import (
    ONNXRUNTIME,
    OPENVINO,
    GraphRunError,
    LoadedGraph,
    is_installed,
)

if TYPE_CHECKING:
    from builder.detectors.detector import Detector

# Heads whose boxes are pixels, whatever the size of the frame.
SIZED_HEADS = frozenset({Head.YOLOV8, Head.END2END, Head.YOLOV5})
# ONNX's own evaluator would take minutes.
RUNTIMES = (ONNXRUNTIME, OPENVINO)
EXPORT_HINT = "export it with dynamic=True"
# Of the numbers that a graph returns: how many may differ, and by how much of the largest. Other
# batches are summed up in another order, and of two rows that are nearly equal either may be first.
MOST_DIFFERENT, TOLERANCE = 0.02, 1e-3
NOISE_SEED = 0
# Detectors whose sizes are kept: a command reads the same file several times.
KEPT = 2


class Sizes(NamedTuple):
    """What a graph takes.

    Attributes:
        model: the graph, opened if it had to be.
        fixed_batch: the only batch it takes; None when any will do.
        least_side: of a frame, pixels; None when it takes frames of one size only.
        one_size: why it does, in words; empty when it does not.
        one_batch: why it takes one batch only, in words; empty when it does not.
    """

    model: onnx.ModelProto
    fixed_batch: int | None
    least_side: int | None
    one_size: str
    one_batch: str


_kept: dict[tuple[object, ...], Sizes] = {}


class _UnequalError(Exception):
    """An opened graph does not return what the graph returned."""


def open_sizes(detector: Detector) -> Detector:
    """Return a detector that takes as many sizes and batches as it can be made to take.

    1. A head that needs no particular size is opened to frames of any height and width, unless the
       file is open already, and run at the smallest: the shortest side that works is found.
    2. A batch that the file fixes is opened too.
    3. What does not work out stays as it was, and the detector says why.
    """
    key = (detector.sha256, detector.head, detector.width, detector.height)
    sizes = _kept.get(key)
    if sizes is None:
        sizes = _sizes(detector)
        if len(_kept) == KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = sizes
    return replace(detector, **sizes._asdict())


def _sizes(detector: Detector) -> Sizes:
    dims = dims_of(image_input(detector.model)[0])
    one_size = _needs_one_size(detector)
    as_it_is = Sizes(detector.model, detector.fixed_batch, None, one_size, "")
    if one_size and dims[0] is None:
        return as_it_is
    if not any(is_installed(runtime) for runtime in RUNTIMES):
        why = "neither onnxruntime nor openvino is installed here to try others"
        return as_it_is._replace(one_size=one_size or why, one_batch=why if dims[0] else "")
    trial = _Trial(detector, dims)
    for with_sizes in (False,) if one_size else (True, False):
        try:
            sizes = trial.sizes(with_sizes=with_sizes)
        except UnopenableError as error:
            as_it_is = as_it_is._replace(
                one_size=as_it_is.one_size or f"{error}; {EXPORT_HINT}",
                one_batch=f"{error}; {EXPORT_HINT}" if dims[0] else "",
            )
        else:
            return sizes._replace(one_size=sizes.one_size or as_it_is.one_size)
    return as_it_is


def _needs_one_size(detector: Detector) -> str:
    if detector.input.placement is not Placement.CENTRE:
        how = "stretched to" if detector.input.placement is Placement.STRETCH else "placed in"
        return f"networks of its family see pictures {how} frames of one size"
    if detector.head not in SIZED_HEADS:
        return f"a graph of the head {detector.head.value} is served at one size"
    return ""


class _Trial:
    """Runs of one detector, as it came and opened."""

    def __init__(self, detector: Detector, dims: Sequence[int | None]) -> None:
        self._detector = detector
        self._given = dims
        self._base = (dims[0] or 1, 3, detector.height, detector.width)
        kind = image_input(detector.model)[0].type.tensor_type.elem_type
        self._dtype = helper.tensor_dtype_to_np_dtype(kind)
        self._random = np.random.default_rng(NOISE_SEED)

    def sizes(self, *, with_sizes: bool) -> Sizes:
        """Return what the detector takes once it is opened.

        Raises:
            UnopenableError: it cannot be opened so.
        """
        batch, _, height, width = self._given
        closed = with_sizes and None not in (height, width)
        model = self._detector.model
        if closed or batch is not None:
            model = onnx.ModelProto()
            model.CopyFrom(self._detector.model)
            open_shapes(model, self._base, sizes=closed)
        graph = _loaded(model)
        one_batch = ""
        if model is not self._detector.model:
            one_batch = self._compare(graph, with_sizes=with_sizes)
        fixed_batch = batch if one_batch else None
        if not with_sizes:
            return Sizes(model, fixed_batch, None, "", one_batch)
        least = self._least_side(graph, fixed_batch or 1)
        return Sizes(model, fixed_batch, least, "", one_batch)

    def _compare(self, graph: LoadedGraph, *, with_sizes: bool) -> str:
        """Compare with the graph as it came; return why only its own batch will do, or nothing."""
        original = _loaded(self._detector.model)
        batch = self._base[0]
        images = self._noise(2 * batch + 1, *self._base[2:])
        # A graph that takes one batch only is fed with copies.
        try:
            expected = [
                [output[:1] for output in original.run(np.repeat(image[None], batch, 0))]
                for image in images
            ]
        except GraphRunError as error:
            raise UnopenableError("it does not run as it came") from error
        try:
            _check_equal(graph.run(np.repeat(images[:1], batch, 0)), [expected[0]] * batch)
        except (GraphRunError, _UnequalError) as error:
            raise UnopenableError("opened, it does not find what it found before") from error
        if self._given[0] is None:
            return ""
        try:
            _check_equal(graph.run(images), expected)
            _check_equal(graph.run(images[:1]), expected[:1])
        except (GraphRunError, _UnequalError) as error:
            why = "it mixes the images of a batch when it is opened to several"
            if with_sizes:
                return f"{why}; {EXPORT_HINT}"
            raise UnopenableError(why) from error
        return ""

    def _least_side(self, graph: LoadedGraph, batch: int) -> int:
        """Return the shortest side that a frame may have whose other side is the longest.

        Raises:
            UnopenableError: there is none but the whole.
        """
        detector = self._detector
        whole, side = (detector.height, detector.width), detector.stride
        while side < min(whole):
            frames = [(whole[0], side), (side, whole[1])]
            frames += [(whole[0], whole[1] - side), (whole[0] - side, whole[1])]
            if all(self._runs(graph, batch, *frame) for frame in frames):
                return side
            side *= 2
        raise UnopenableError("it does not run at other sizes than its own")

    def _runs(self, graph: LoadedGraph, batch: int, height: int, width: int) -> bool:
        try:
            outputs = graph.run(self._noise(batch, height, width))
        except GraphRunError:
            return False
        first, detector = outputs[0], self._detector
        boxes = first.shape[-1] if detector.head is Head.YOLOV8 else first.shape[1]
        if detector.head is not Head.END2END and detector.boxes is not None:
            # A box for each cell, and cells are in proportion to pixels.
            cells = detector.boxes * height * width
            if boxes * detector.height * detector.width != cells:
                return False
        return len(first) == batch and all(bool(np.isfinite(each).all()) for each in outputs)

    def _noise(self, batch: int, height: int, width: int) -> NDArray[Any]:
        return self._random.random((batch, 3, height, width), np.float32).astype(self._dtype)


def _loaded(model: onnx.ModelProto) -> LoadedGraph:
    try:
        return LoadedGraph(model, RUNTIMES)
    except GraphRunError as error:
        raise UnopenableError("no runtime here takes it with open sizes") from error


def _check_equal(outputs: list[NDArray[Any]], expected: list[list[NDArray[Any]]]) -> None:
    for place, output in enumerate(outputs):
        wanted = np.concatenate([each[place] for each in expected]).astype(np.float64)
        if output.shape != wanted.shape:
            raise _UnequalError
        bound = TOLERANCE * max(float(np.abs(wanted).max(initial=0)), 1e-6)
        # What is not finite is refused when the network is tried.
        with np.errstate(invalid="ignore"):
            different = np.abs(output - wanted) > bound
        if np.mean(different) > MOST_DIFFERENT:
            raise _UnequalError
