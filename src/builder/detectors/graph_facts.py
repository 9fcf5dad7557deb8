"""What an ONNX graph says about its output beyond the shapes it declares."""

from __future__ import annotations

from contextlib import suppress

import onnx
from onnx import version_converter

Dims = tuple[int | None, ...]

# Of older ones, shape inference does not follow what Shape, Gather and Concat compute.
INFERABLE_OPSET = 17

# Operators that move numbers about and leave them as they are; the first input holds the numbers.
MOVING = frozenset(
    {
        "Cast",
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)


def image_input(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """Return the inputs that are no weights."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in weights]


def dims_of(value: onnx.ValueInfoProto) -> Dims:
    """Return a tensor's dims; None for what is open, which some exporters write as 0 or -1."""
    shape = value.type.tensor_type.shape
    return tuple(dim.dim_value if dim.dim_value > 0 else None for dim in shape.dim)


def show_tensor(value: onnx.ValueInfoProto) -> str:
    """Return name, element type and dims of a tensor for people, as in ``images FLOAT [?, 3]``."""
    sizes = ", ".join("?" if size is None else str(size) for size in dims_of(value))
    kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
    return f"{value.name} {kind} [{sizes}]"


def output_dims(model: onnx.ModelProto, width: int, height: int) -> list[Dims]:
    """Return the dims of every output for an input of this size, as far as they can be told.

    What the file declares is completed by ONNX's shape inference, which knows the sizes of feature
    maps once it knows the input's.
    """
    declared = [dims_of(value) for value in model.graph.output]
    if all(None not in dims[1:] for dims in declared):
        return declared
    inferred = _inferred_dims(model, width, height, {value.name for value in model.graph.output})
    return [
        _completed(dims, inferred.get(value.name, ()))
        for value, dims in zip(model.graph.output, declared, strict=True)
    ]


def tensor_dims(model: onnx.ModelProto, width: int, height: int, name: str) -> Dims:
    """Return the dims of any tensor of the graph, as far as they can be told; () if not at all."""
    return _inferred_dims(model, width, height, {name}).get(name, ())


def _completed(declared: Dims, inferred: Dims) -> Dims:
    if len(declared) != len(inferred):
        return declared or inferred
    return tuple(
        known if known is not None else found
        for known, found in zip(declared, inferred, strict=True)
    )


def _inferred_dims(
    model: onnx.ModelProto, width: int, height: int, names: set[str]
) -> dict[str, Dims]:
    fixed = _inferable(model)
    del fixed.graph.value_info[:]
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    shape = image_input(fixed)[0].type.tensor_type.shape
    # One image tells as much of the other dims as any number, and more than an unknown number.
    for axis, size in ((0, shape.dim[0].dim_value or 1), (2, height), (3, width)):
        shape.dim[axis].dim_value = size
    try:
        inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True)
    except Exception:  # noqa: BLE001 - a graph that contradicts itself tells nothing
        return {}
    values = (*inferred.graph.output, *inferred.graph.value_info, *inferred.graph.input)
    return {
        value.name: dims_of(value)
        for value in values
        if value.name in names and value.type.tensor_type.HasField("shape")
    }


def _inferable(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in an operator set whose computed shapes ONNX can follow."""
    versions = [entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}]
    if versions and versions[0] < INFERABLE_OPSET:
        with suppress(Exception):  # some operators cannot be converted; then as it is
            return version_converter.convert_version(model, INFERABLE_OPSET)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def box_operator(model: onnx.ModelProto) -> str | None:
    """Return the operator that computed the first numbers of the first output: the boxes.

    Goes back from the output past everything that only moves numbers about. Heads with the same
    shape differ in it: decoded boxes come out of a Mul, boxes from 0 to 1 out of a Sigmoid, boxes
    of a grid that is not decoded out of a Conv.
    """
    makers = {output: node for node in model.graph.node for output in node.output}
    node = makers.get(model.graph.output[0].name)
    while node is not None and node.op_type in MOVING and node.input:
        node = makers.get(node.input[0])
    return None if node is None else str(node.op_type)


def ends_in_top_k(model: onnx.ModelProto) -> bool:
    """Return whether the graph itself picks the rows of its first output by their scores."""
    makers = {output: node for node in model.graph.node for output in node.output}
    waiting, seen = [model.graph.output[0].name], set()
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if node is None or name in seen:
            continue
        if node.op_type == "TopK":
            return True
        if node.op_type in MOVING:
            seen.add(name)
            waiting.extend(node.input)
    return False


def uses_operator(model: onnx.ModelProto, op_type: str) -> bool:
    """Return whether an operator is anywhere in the graph."""
    return any(node.op_type == op_type for node in model.graph.node)


def taken_by(node: onnx.NodeProto) -> set[str]:
    """Return the tensors a node takes, with those that its loop or branches take from outside."""
    names = set(node.input)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            names |= taken_by_body(body)
    return names


def taken_by_body(body: onnx.GraphProto) -> set[str]:
    """Return the tensors that the nodes of a loop's or branch's body take, and what it returns."""
    names = {name for node in body.node for name in taken_by(node)}
    return names | {value.name for value in body.output}
