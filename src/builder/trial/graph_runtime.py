"""Running an ONNX graph in this process, with what is installed.

OpenVINO and ONNX Runtime are what serves networks; neither is needed to build. Where both are
missing ONNX's own evaluator does it, which is slow and knows every operator.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from textwrap import shorten
from types import ModuleType
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from builder.detectors.onnx_file import first_line
from builder.trial.own_time import measured_seconds

OPENVINO, ONNXRUNTIME, ONNX = "OpenVINO", "ONNX Runtime", "ONNX's evaluator"
# The order in which they are tried, best first.
RUNTIMES = (OPENVINO, ONNXRUNTIME, ONNX)
LONGEST_REASON = 300
# How the lines begin in which OpenVINO names places in its source.
PLACES_IN_SOURCE = ("Exception from ", "Check '", "While validating node ", "FrontEnd API failed")

Outputs = list[NDArray[Any]]
Run = Callable[[NDArray[Any]], Outputs]


class GraphRunError(Exception):
    """A runtime does not take a graph, or failed while it ran; the message is the runtime's."""


class LoadedGraph:
    """A graph that is ready to run.

    Attributes:
        runtime: which one of :data:`RUNTIMES` runs it.
        load_s: seconds that loading and compiling it took, less those in which others had the
            processor.

    Args:
        model: with one input that is no weight.
        runtimes: that may run it, the preferred first; the first that is installed is taken.

    Raises:
        GraphRunError: the runtime does not take it.
    """

    def __init__(self, model: onnx.ModelProto, runtimes: Sequence[str] = RUNTIMES) -> None:
        self.runtime, load = _installed(runtimes)
        try:
            with measured_seconds() as taken:
                self._run = load(model)
        except Exception as error:
            raise GraphRunError(_reason(error)) from error
        self.load_s = taken()

    def run(self, batch: NDArray[Any]) -> Outputs:
        """Return the outputs, in the graph's order.

        Args:
            batch: of the type and shape that the graph's only input takes.

        Raises:
            GraphRunError: it cannot be run with this input.
        """
        try:
            return self._run(batch)
        except Exception as error:
            raise GraphRunError(_reason(error)) from error


def _reason(error: BaseException) -> str:
    """Return what a runtime says is wrong, without where in its own source that is."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(PLACES_IN_SOURCE)]
    return shorten(" ".join(said), LONGEST_REASON) if said else first_line(error)


def is_installed(runtime: str) -> bool:
    """Return whether one of :data:`RUNTIMES` can be imported here."""
    return _LOADERS[runtime]() is not None


def _installed(runtimes: Sequence[str]) -> tuple[str, Callable[[onnx.ModelProto], Run]]:
    for runtime in runtimes:
        load = _LOADERS[runtime]()
        if load is not None:
            return runtime, load
    raise GraphRunError(f"{' and '.join(runtimes)} are not installed")


def _openvino() -> Callable[[onnx.ModelProto], Run] | None:
    # Its telemetry tells Intel of the import, unless the package is missing (as in runtime.py of
    # the served network).
    for unwanted in ("openvino_telemetry", "openvino.tools.ovc"):
        sys.modules.setdefault(unwanted, None)  # type: ignore[arg-type]
    ov = _module("openvino")
    if ov is None:
        return None
    hints = importlib.import_module("openvino.properties.hint")

    def load(model: onnx.ModelProto) -> Run:
        core = ov.Core()
        graph = core.read_model(model.SerializeToString())
        # float32 as when it serves; left alone it may compute in bfloat16.
        compiled = core.compile_model(graph, "CPU", {hints.inference_precision: ov.Type.f32})
        request = compiled.create_infer_request()

        def run(batch: NDArray[Any]) -> Outputs:
            request.infer({0: batch})
            return [np.array(tensor.data) for tensor in request.output_tensors]

        return run

    return load


def _onnxruntime() -> Callable[[onnx.ModelProto], Run] | None:
    # It tells Microsoft of models from 1.29 on, unless told not to.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    ort = _module("onnxruntime")
    if ort is None:
        return None

    def load(model: onnx.ModelProto) -> Run:
        options = ort.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised
        session = ort.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        name = session.get_inputs()[0].name

        def run(batch: NDArray[Any]) -> Outputs:
            return list(session.run(None, {name: batch}))

        return run

    return load


def _onnx() -> Callable[[onnx.ModelProto], Run]:
    def load(model: onnx.ModelProto) -> Run:
        evaluator = ReferenceEvaluator(model)
        weights = {tensor.name for tensor in model.graph.initializer}
        name = next(value.name for value in model.graph.input if value.name not in weights)

        def run(batch: NDArray[Any]) -> Outputs:
            with np.errstate(all="ignore"):
                return [np.asarray(value) for value in evaluator.run(None, {name: batch})]

        return run

    return load


def _module(name: str) -> ModuleType | None:
    # Installed but without a library of its own is not installed either.
    with contextlib.suppress(ImportError):
        return importlib.import_module(name)
    return None


_LOADERS: dict[str, Callable[[], Callable[[onnx.ModelProto], Run] | None]] = {
    OPENVINO: _openvino,
    ONNXRUNTIME: _onnxruntime,
    ONNX: _onnx,
}
