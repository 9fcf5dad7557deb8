"""How the dims of a graph's tensors follow the batch, the height and the width of its input.

An export for one size is full of numbers that were that size once. What a tensor's dims depend on
is found by having ONNX infer them for the size of the export and for inputs twice as large along
one axis: a dim that doubles follows that axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from builder.detectors.graph_facts import dims_of, image_input

# Of the input: batch, height, width.
AXES = (0, 2, 3)
Degrees = tuple[int, int, int]
CONSTANT: Degrees = (0, 0, 0)
# Larger constants are weights. Shape inference needs their types and dims only.
LARGEST_SHAPE_CONSTANT = 64
# Operators that take the dims of their result as a tensor.
GIVEN_SIZES = frozenset({"Reshape", "Resize"})


class UnopenableError(ValueError):
    """A graph whose sizes cannot be opened; the message says what stands in the way."""


@dataclass(frozen=True)
class OpenDim:
    """A dim that follows the input's size.

    Attributes:
        size: for the size of the export.
        degrees: 1 for each of batch, height and width that it is proportional to.
    """

    size: int
    degrees: Degrees

    def scaled(self, axis: int | None) -> int:
        """Return it for an input twice as large along one of the three, or as exported."""
        return self.size * (1 + self.degrees[axis]) if axis is not None else self.size


Dims = tuple[OpenDim, ...]


def constants_of(model: onnx.ModelProto) -> dict[str, NDArray[np.generic]]:
    """Return every constant of a graph by its name: weights, and the outputs of Constant nodes."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    found[node.output[0]] = numpy_helper.to_array(attribute.t)
    return found


def probe_dims(
    model: onnx.ModelProto,
    base: Sequence[int],
    replaced: Mapping[tuple[int, int], Dims],
    *,
    sizes: bool,
) -> dict[str, Dims]:
    """Return the dims of the tensors whose dims can be inferred, with what they follow.

    Those with a dim that is not in proportion to the input's size are left out.

    Args:
        model: of which nothing is changed.
        base: the input's batch, channels, height and width.
        replaced: what will take the place of a node's input, by node index and input place: the
            dims that a Reshape is given, or those of a constant.
        sizes: whether height and width count too; else the batch alone.

    Raises:
        UnopenableError: ONNX's inference refuses the graph.
    """
    skeleton = _skeleton(model)
    axes = (None, 0, 1, 2) if sizes else (None, 0)
    probes = [_inferred(skeleton, base, replaced, axis) for axis in axes]
    dims: dict[str, Dims] = {}
    for name, own in probes[0].items():
        others = [probe.get(name, ()) for probe in probes[1:]]
        if any(len(other) != len(own) for other in others):
            continue
        opened = [
            _open_dim(size, [other[place] for other in others]) for place, size in enumerate(own)
        ]
        known = [dim for dim in opened if dim is not None]
        if len(known) == len(own):
            dims[name] = tuple(known)
    return dims


def _open_dim(size: int | None, scaled: Sequence[int | None]) -> OpenDim | None:
    """Return a dim; None for one that is not in proportion, as that of a map without padding."""
    if size is None or any(each not in {size, 2 * size} for each in scaled):
        return None
    batch, height, width = [int(each != size) for each in scaled] + [0] * (3 - len(scaled))
    return OpenDim(size, (batch, height, width))


def _skeleton(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy without weights: large constants become inputs."""
    skeleton = onnx.ModelProto()
    graph = skeleton.graph
    skeleton.ir_version = max(model.ir_version, 4)  # from 4 on, weights need not be inputs
    skeleton.opset_import.extend(model.opset_import)
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.output.extend(model.graph.output)
    for value in graph.output:
        value.type.tensor_type.ClearField("shape")
    graph.input.extend(image_input(model))
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims) <= LARGEST_SHAPE_CONSTANT:
            graph.initializer.append(tensor)
        else:
            value = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
            graph.input.append(value)
    return skeleton


def _inferred(
    skeleton: onnx.ModelProto,
    base: Sequence[int],
    replaced: Mapping[tuple[int, int], Dims],
    axis: int | None,
) -> dict[str, tuple[int | None, ...]]:
    model = onnx.ModelProto()
    model.CopyFrom(skeleton)
    graph = model.graph
    shape = graph.input[0].type.tensor_type.shape
    for place, size in enumerate(base):
        doubled = axis is not None and place == AXES[axis]
        shape.dim[place].dim_value = 2 * size if doubled else size
    types = {value.name: value.type.tensor_type.elem_type for value in graph.input}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    for (index, place), value in replaced.items():
        node = graph.node[index]
        name = f"probe_{index}_{place}"
        if node.op_type in GIVEN_SIZES:
            sizes = np.array([dim.scaled(axis) for dim in value], np.int64)
            graph.initializer.append(numpy_helper.from_array(sizes, name))
        else:
            kind = types.get(node.input[place], onnx.TensorProto.FLOAT)
            dims = [dim.scaled(axis) for dim in value]
            graph.input.append(helper.make_tensor_value_info(name, kind, dims))
        node.input[place] = name
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        raise UnopenableError("ONNX cannot infer the sizes of its tensors") from error
    values = (*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output)
    return {
        value.name: dims_of(value) for value in values if value.type.tensor_type.HasField("shape")
    }
