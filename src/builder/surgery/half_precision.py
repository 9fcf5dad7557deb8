"""Store and compute a network in float16, except where that costs accuracy for nothing.

The layers run in float16; what follows the last of them, decoding boxes and choosing among them,
stays in float32: beyond 512 pixels float16 knows only every half pixel, and there is next to
nothing to save. (``onnxconverter-common`` 1.16 wrote graphs that ONNX's checker refuses for
RT-DETR, hence this file.)
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from builder.detectors.graph_facts import taken_by, taken_by_body

PREFIX = "framewire_half/"
LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# Operators that know no float16, or whose few numbers decide what is chosen.
FLOAT32_OPERATORS = frozenset(
    {"CumSum", "If", "Loop", "NonMaxSuppression", "Range", "Scan", "TopK", "Upsample"}
)
# Inputs that are float32 whatever the type of the data.
FLOAT32_INPUTS = {"Resize": (1, 2)}
LARGEST_HALF = float(np.finfo(np.float16).max)


def to_half_precision(model: onnx.ModelProto) -> None:
    """Convert a float32 network in place; inputs and outputs keep their types.

    Weights beyond the range of float16 are limited to it.
    """
    types = _element_types(model)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    halves = _layer_nodes(model)
    half_tensors = {
        output
        for index, node in enumerate(model.graph.node)
        if index in halves
        for output in node.output
        if types.get(output) == TensorProto.FLOAT
    }
    writer = _Writer(model.graph, constants, half_tensors, types)
    for index, node in enumerate(model.graph.node):
        writer.convert(node, half=index in halves)
    writer.finish()


def _element_types(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model)
    graph = inferred.graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for value in (*graph.value_info, *graph.input, *graph.output):
        types[value.name] = value.type.tensor_type.elem_type
    return types


def _layer_nodes(model: onnx.ModelProto) -> set[int]:
    """Indices of the nodes that are layers or lead to one."""
    leading: set[int] = set()
    wanted: set[str] = set()
    for index in range(len(model.graph.node) - 1, -1, -1):
        node = model.graph.node[index]
        if node.op_type in LAYERS or not wanted.isdisjoint(node.output):
            leading.add(index)
            wanted.update(node.input)
    return {i for i in leading if model.graph.node[i].op_type not in FLOAT32_OPERATORS}


class _Writer:
    """Writes the nodes anew, with casts wherever float16 and float32 meet."""

    def __init__(
        self,
        graph: onnx.GraphProto,
        constants: dict[str, TensorProto],
        half_tensors: set[str],
        types: dict[str, int],
    ) -> None:
        self._graph = graph
        self._constants = constants
        self._half_tensors = half_tensors
        self._types = types
        # What bodies of branches and loops take from around them keeps its type too.
        self._outputs = {value.name for value in graph.output} | {
            name
            for node in graph.node
            for attribute in node.attribute
            for body in (attribute.g, *attribute.graphs)
            for name in taken_by_body(body)
        }
        self._nodes: list[onnx.NodeProto] = []
        self._cast: dict[tuple[str, int], str] = {}

    def convert(self, node: onnx.NodeProto, *, half: bool) -> None:
        node = _copied(node)
        if half:
            self._convert_inputs(node)
            _convert_attributes(node, self._types)
            self._rename_outputs(node)
        else:
            self._widen_inputs(node)
            self._nodes.append(node)

    def _convert_inputs(self, node: onnx.NodeProto) -> None:
        kept = FLOAT32_INPUTS.get(node.op_type, ())
        for slot, name in enumerate(node.input):
            is_half = name in self._half_tensors
            if slot in kept and is_half:
                node.input[slot] = self._casted(name, TensorProto.FLOAT)
            elif slot not in kept and not is_half and self._types.get(name) == TensorProto.FLOAT:
                node.input[slot] = (
                    self._half_constant(name)
                    if name in self._constants
                    else self._casted(name, TensorProto.FLOAT16)
                )

    def _widen_inputs(self, node: onnx.NodeProto) -> None:
        for slot, name in enumerate(node.input):
            if name in self._half_tensors:
                node.input[slot] = self._casted(name, TensorProto.FLOAT)

    def _rename_outputs(self, node: onnx.NodeProto) -> None:
        """What others know by its name keeps name and type; a cast gives it."""
        public = [name for name in node.output if name in self._outputs & self._half_tensors]
        for slot, name in enumerate(node.output):
            if name in public:
                node.output[slot] = f"{PREFIX}{name}"
        self._nodes.append(node)
        for name in public:
            self._half_tensors.discard(name)
            self._nodes.append(_cast(f"{PREFIX}{name}", name, TensorProto.FLOAT))

    def _casted(self, name: str, element_type: int) -> str:
        if (name, element_type) not in self._cast:
            short = TensorProto.DataType.Name(element_type).lower()
            output = f"{PREFIX}{name}_{short}"
            self._nodes.append(_cast(name, output, element_type))
            self._cast[name, element_type] = output
        return self._cast[name, element_type]

    def _half_constant(self, name: str) -> str:
        if (name, TensorProto.FLOAT16) not in self._cast:
            tensor = _half_tensor(self._constants[name], f"{PREFIX}{name}")
            self._graph.initializer.append(tensor)
            self._cast[name, TensorProto.FLOAT16] = tensor.name
        return self._cast[name, TensorProto.FLOAT16]

    def finish(self) -> None:
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        # Shapes and types noted for tensors that are something else now.
        del self._graph.value_info[:]
        used = {name for node in self._nodes for name in taken_by(node)}
        weights = [tensor for tensor in self._graph.initializer if tensor.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(weights)


def _copied(node: onnx.NodeProto) -> onnx.NodeProto:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    return copy


def _cast(name: str, output: str, element_type: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [output], name=output, to=element_type)


def _convert_attributes(node: onnx.NodeProto, types: dict[str, int]) -> None:
    """Constants and casts that make float32 make float16."""
    if node.op_type == "Cast" and types.get(node.output[0]) == TensorProto.FLOAT:
        del node.attribute[:]
        node.attribute.append(helper.make_attribute("to", TensorProto.FLOAT16))
    if node.op_type in {"Constant", "ConstantOfShape"}:
        for attribute in node.attribute:
            if attribute.t.data_type == TensorProto.FLOAT:
                attribute.t.CopyFrom(_half_tensor(attribute.t, attribute.t.name))
            elif attribute.name in {"value_float", "value_floats"}:
                numbers: Iterable[float] = helper.get_attribute_value(attribute)
                tensor = numpy_helper.from_array(np.array(numbers, np.float16))
                attribute.CopyFrom(helper.make_attribute("value", tensor))
        if node.op_type == "ConstantOfShape" and not node.attribute:
            zero = numpy_helper.from_array(np.zeros(1, np.float16))
            node.attribute.append(helper.make_attribute("value", zero))


def _half_tensor(tensor: TensorProto, name: str) -> TensorProto:
    numbers = numpy_helper.to_array(tensor)
    # Infinities stand for "never" in masks and are meant.
    finite = np.where(np.isinf(numbers), numbers, np.clip(numbers, -LARGEST_HALF, LARGEST_HALF))
    return numpy_helper.from_array(finite.astype(np.float16), name)
