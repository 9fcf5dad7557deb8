"""The shapes of a graph's outputs, by running it: for graphs that leave open what they return."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from builder.detectors.graph_facts import Dims, dims_of, image_input
from builder.detectors.heads import YOLO_INPUT, InputConvention
from builder.trial.frames import grey, photograph
from builder.trial.graph_runtime import (
    RUNTIMES,
    GraphRunError,
    LoadedGraph,
    Outputs,
    is_installed,
)


def as_input(
    model: onnx.ModelProto, frame: NDArray[np.uint8], convention: InputConvention = YOLO_INPUT
) -> NDArray[Any]:
    """Return a frame as the model takes it: ``[N, 3, height, width]`` of its own type.

    Args:
        model: a detector as it came; where its batch is fixed, the frame is repeated.
        frame: uint8 ``[1, height, width, 3]``, BGR.
        convention: what the network was trained to see.
    """
    value = image_input(model)[0]
    pixels = (frame if convention.bgr else frame[..., ::-1]).transpose(0, 3, 1, 2)
    dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
    images = np.ascontiguousarray(pixels / np.float32(convention.pixel_scale), dtype)
    return np.repeat(images, dims_of(value)[0] or 1, 0)


def run_on_frames(model: onnx.ModelProto, width: int, height: int) -> list[Outputs] | None:
    """Return what a detector as it came answers to a photograph and to a grey frame.

    Returns:
        None where nothing here can run it, as with TensorRT's plugins.
    """
    frames = (photograph(width, height), grey(width, height))
    # What one of them does not take, another one may.
    for runtime in filter(is_installed, RUNTIMES):
        with suppress(GraphRunError):
            graph = LoadedGraph(model, [runtime])
            return [graph.run(as_input(model, frame)) for frame in frames]
    return None


def measured_dims(model: onnx.ModelProto, width: int, height: int) -> list[Dims] | None:
    """Return the outputs' dims for an input of this size; None for those that change by frame.

    Returns:
        None where nothing here can run it.
    """
    runs = run_on_frames(model, width, height)
    if runs is None:
        return None
    return [
        tuple(
            sizes[0] if len(set(sizes)) == 1 else None
            for sizes in zip(*(np.shape(output) for output in outputs), strict=True)
        )
        for outputs in zip(*runs, strict=True)
    ]
