"""Let a network take the frame as the preprocess step has it: uint8, NHWC, BGR.

The cast, the channel swap, the transpose and the scaling become nodes of the network, so that a
quarter of the bytes travels between the steps and the runtime fuses them with its first layer.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PREFIX = "framewire_input/"


def take_uint8_frames(
    model: onnx.ModelProto, *, tensor_name: str, height: int, width: int, scale: float
) -> None:
    """Replace the network's only input, in place.

    1. ``[N, 3, height, width]`` floats become uint8 ``[N, height, width, 3]``, called
       ``tensor_name``; a batch size that the graph fixes stays fixed.
    2. The frame is cast to the type the network had, its channels are reversed (BGR to RGB), it is
       transposed to NCHW and divided by ``scale`` (255 for networks trained on 0 to 1).
    3. A height or width that the graph left open is fixed.

    Args:
        model: changed in place.
        tensor_name: of the new input.
        height: in pixels.
        width: in pixels.
        scale: a pixel of this value becomes 1.
    """
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    old = next(value for value in graph.input if value.name not in weights)
    element_type = old.type.tensor_type.elem_type
    batch = old.type.tensor_type.shape.dim[0]
    batch_size = batch.dim_value if batch.dim_value > 0 else "batch"

    new = helper.make_tensor_value_info(
        tensor_name, TensorProto.UINT8, [batch_size, height, width, 3]
    )
    dtype = helper.tensor_dtype_to_np_dtype(element_type)
    reversed_channels = numpy_helper.from_array(
        np.array([2, 1, 0], np.int64), f"{PREFIX}reversed_channels"
    )
    divisor = numpy_helper.from_array(np.array(scale, dtype), f"{PREFIX}scale")
    nodes = [
        helper.make_node("Cast", [tensor_name], [f"{PREFIX}floats"], to=element_type),
        helper.make_node("Transpose", [f"{PREFIX}floats"], [f"{PREFIX}nchw"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "Gather", [f"{PREFIX}nchw", reversed_channels.name], [f"{PREFIX}rgb"], axis=1
        ),
        helper.make_node("Div", [f"{PREFIX}rgb", divisor.name], [old.name]),
    ]
    for node in nodes:
        node.name = f"{PREFIX}{node.op_type}"
    graph.initializer.extend([reversed_channels, divisor])
    _prepend(graph, nodes)
    graph.input.remove(old)
    graph.input.insert(0, new)


def _prepend(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
