"""Quantise layers of a network to int8: Q/DQ nodes, as ONNX, TensorRT and OpenVINO know them.

Weights are rounded to int8 with a scale for each output channel; what layers read is rounded to 256
steps around zero, the same for positive and negative numbers, as TensorRT wants it. The sums stay
as they are, and so does the bias.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from builder.detectors.onnx_file import onnx_opset
from builder.errors import PrecisionError
from builder.surgery.int8_layers import Int8Layers

PREFIX = "framewire_int8/"
# DequantizeLinear has an axis, and so a scale for each channel, from here on.
OLDEST_OPSET = 13
MOST = 127
# Scales keep as many bits, so that the last bits of another machine's float32 change nothing.
SCALE_BITS = 8
# Where nothing but zeros was seen, a scale still divides.
SMALLEST = 1e-30


def to_int8(
    model: onnx.ModelProto, layers: Int8Layers, largest: Mapping[str, float], *, unsigned: bool
) -> None:
    """Quantise layers in place; every layer computes what its rounded input and weights say.

    Args:
        model: a float32 network.
        layers: of it, see :func:`builder.surgery.int8_layers.int8_layers`.
        largest: the largest magnitude that each tensor to be quantised was seen to have.
        unsigned: whether the steps are counted as uint8 from 128 on, which OpenVINO wants, and not
            as int8 from 0 on, which TensorRT wants. They stand for the same numbers.

    Raises:
        PrecisionError: the operator set knows no scale for each channel.
    """
    if onnx_opset(model) < OLDEST_OPSET:
        raise PrecisionError(
            f"the detector uses ONNX opset {onnx_opset(model)}, and int8 takes {OLDEST_OPSET} or "
            "later: export it again with opset=17"
        )
    zero = np.array(128, np.uint8) if unsigned else np.array(0, np.int8)
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    scales = {
        name: _scale(max(largest[each] for each in group))
        for group in layers.groups
        for name in group
    }
    rounded: dict[str, str] = {}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        for slot, name in enumerate(node.input):
            node.input[slot] = rounded.get(name, name)
        if node.output[0] in layers.convolutions:
            name = node.input[1]
            if name not in rounded:
                rounded[name] = _add_weights(graph, nodes, weights[name])
            node.input[1] = rounded[name]
        nodes.append(node)
        for name in node.output:
            if name in scales:
                rounded[name] = _add_rounding(graph, nodes, name, scales[name], zero)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    # Shapes and types noted before.
    del graph.value_info[:]


def _scale(largest: float) -> NDArray[np.float32]:
    """Return the step, so that the largest is the last one; a little more rather than less."""
    mantissa, exponent = np.frexp(max(largest, SMALLEST) / MOST)
    bits = 2.0**SCALE_BITS
    return np.array(np.ldexp(np.ceil(mantissa * bits) / bits, exponent), np.float32)


def _add_weights(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], tensor: onnx.TensorProto
) -> str:
    """Add weights in int8 and what brings them back; return the name of the latter."""
    numbers = numpy_helper.to_array(tensor)
    flat = np.abs(numbers.reshape(len(numbers), -1))
    scales = np.array([_scale(float(row.max(initial=0))) for row in flat], np.float32)
    steps = np.rint(numbers / scales.reshape(-1, *[1] * (numbers.ndim - 1)))
    name = PREFIX + tensor.name
    inputs = _constants(
        graph,
        {
            name: np.clip(steps, -MOST, MOST).astype(np.int8),
            f"{name}/scale": scales,
            f"{name}/zero": np.zeros(len(scales), np.int8),
        },
    )
    nodes.append(
        helper.make_node(
            "DequantizeLinear", inputs, [f"{name}/rounded"], name=f"{name}/rounded", axis=0
        )
    )
    return f"{name}/rounded"


def _add_rounding(
    graph: onnx.GraphProto,
    nodes: list[onnx.NodeProto],
    tensor: str,
    scale: NDArray[np.float32],
    zero: NDArray[Any],
) -> str:
    """Add what rounds a tensor; return the name of the rounded one."""
    name = PREFIX + tensor
    parameters = _constants(graph, {f"{name}/scale": scale, f"{name}/zero": zero})
    steps, back = f"{name}/steps", f"{name}/rounded"
    nodes.append(helper.make_node("QuantizeLinear", [tensor, *parameters], [steps], name=steps))
    nodes.append(helper.make_node("DequantizeLinear", [steps, *parameters], [back], name=back))
    return back


def _constants(graph: onnx.GraphProto, values: Mapping[str, NDArray[Any]]) -> list[str]:
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in values.items())
    return list(values)
