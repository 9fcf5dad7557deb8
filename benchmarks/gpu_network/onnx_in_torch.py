"""A pipeline's ``model.onnx`` run by torch, on a GPU or elsewhere, for measuring only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from operators import OPERATORS
from torch import Tensor

# Shapes, axes and scales have few values.
SMALL = 16


class OnnxInTorch:
    """A network.

    Args:
        onnx_file: uint8 ``[n, height, width, 3]`` in, float32 ``[n, K, 6]`` out, its shapes
            constant but for n, or computed from the input's, as the builder writes it.
        device: torch's name of where it runs.

    Raises:
        NotImplementedError: the graph has an operator that is not known here.
    """

    def __init__(self, onnx_file: Path, device: str) -> None:
        graph = onnx.load(onnx_file).graph
        if unknown := sorted({node.op_type for node in graph.node} - set(OPERATORS)):
            raise NotImplementedError(
                f"{onnx_file.name} has operators that this benchmark cannot run with torch: "
                f"{', '.join(unknown)}"
            )
        self._input, self._output = graph.input[0].name, graph.output[0].name
        arrays = {each.name: numpy_helper.to_array(each) for each in graph.initializer}
        # Parts of shapes stay with the shapes, in the computer's memory.
        self._constants = {
            name: torch.from_numpy(np.array(value)).to(
                "cpu" if value.dtype == np.int64 and value.size <= SMALL else device
            )
            for name, value in arrays.items()
        }
        # What shapes and axes are must not be read from a GPU, which would wait for it.
        self._known = {
            name: value.reshape(-1).tolist()
            for name, value in arrays.items()
            if value.size <= SMALL
        }
        self._nodes = [
            (
                OPERATORS[node.op_type],
                tuple(node.input),
                tuple(node.output),
                {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute},
            )
            for node in graph.node
        ]
        last_use = {name: at for at, node in enumerate(self._nodes) for name in node[1]}
        self._finished = [
            [name for name in set(node[1]) - set(arrays) if name and last_use[name] == at]
            for at, node in enumerate(self._nodes)
        ]

    @torch.inference_mode()
    def infer(self, frames: Tensor) -> Tensor:
        """Return the candidates of a batch that is on the device."""
        values: dict[str, Tensor | None] = {**self._constants, "": None, self._input: frames}
        for (operator, inputs, outputs, attributes), finished in zip(
            self._nodes, self._finished, strict=True
        ):
            found = operator(
                [values[name] for name in inputs],
                [self._known.get(name, _small(values[name])) for name in inputs],
                attributes,
            )
            values.update(
                zip(outputs, found if isinstance(found, tuple) else (found,), strict=True)
            )
            # What nobody needs any more would be kept for the whole batch.
            for name in finished:
                del values[name]
        candidates = values[self._output]
        assert candidates is not None  # noqa: S101 - an output of the graph
        return candidates


def _small(value: Tensor | None) -> list[int] | None:
    """Return the numbers of a shape that was computed; those on a GPU are none."""
    if value is None or value.device.type != "cpu" or value.dtype != torch.int64:
        return None
    return value.reshape(-1).tolist() if value.numel() <= SMALL else None
