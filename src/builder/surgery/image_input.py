"""Let a network take the frame as the preprocess step has it: uint8, NHWC, BGR.

The cast, the channel swap, the transpose and the scaling become nodes of the network, so that a
quarter of the bytes travels between the steps and the runtime fuses them with its first layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from builder.detectors.graph_facts import image_input

PREFIX = "framewire_input/"


def take_uint8_frames(
    model: onnx.ModelProto,
    *,
    tensor_name: str,
    height: int | str,
    width: int | str,
    scale: float,
    bgr: bool,
) -> None:
    """Replace the network's only input, in place.

    1. ``[N, 3, height, width]`` floats become uint8 ``[N, height, width, 3]``, called
       ``tensor_name``; its batch is open.
    2. The frame is cast to the type the network had, transposed to NCHW, its channels are reversed
       (BGR to RGB) unless the network wants them so, and it is divided by ``scale``.
    3. A height or width that the graph left open is fixed, unless a name is given for it.

    The cast comes first: TensorRT does nothing else to uint8.

    Args:
        model: changed in place.
        tensor_name: of the new input.
        height: in pixels, or a name where any will do.
        width: likewise.
        scale: a pixel of this value becomes 1: 255 for networks trained on 0 to 1.
        bgr: whether the network's first channel is blue.
    """
    graph = model.graph
    old = image_input(model)[0]
    element_type = old.type.tensor_type.elem_type
    dtype = helper.tensor_dtype_to_np_dtype(element_type)
    new = helper.make_tensor_value_info(tensor_name, TensorProto.UINT8, ["batch", height, width, 3])

    steps: list[tuple[str, list[NDArray[Any]], dict[str, Any]]] = [
        ("Cast", [], {"to": element_type}),
        ("Transpose", [], {"perm": [0, 3, 1, 2]}),
    ]
    if not bgr:
        steps.append(("Gather", [np.array([2, 1, 0], np.int64)], {"axis": 1}))
    if scale != 1:
        steps.append(("Div", [np.array(scale, dtype)], {}))
    nodes, tensor = [], tensor_name
    for index, (op_type, constants, attributes) in enumerate(steps):
        names = [f"{PREFIX}{op_type}_{place}" for place in range(len(constants))]
        graph.initializer.extend(
            numpy_helper.from_array(constant, name)
            for constant, name in zip(constants, names, strict=True)
        )
        output = old.name if index == len(steps) - 1 else f"{PREFIX}{op_type.lower()}"
        nodes.append(
            helper.make_node(
                op_type, [tensor, *names], [output], name=f"{PREFIX}{op_type}", **attributes
            )
        )
        tensor = output
    _prepend(graph, nodes)
    graph.input.remove(old)
    graph.input.insert(0, new)


def _prepend(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
