"""Appending nodes to a graph, written as each version of ONNX's operators wants them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from builder.detectors.onnx_file import onnx_opset

INT64_MAX = 2**63 - 1


class GraphBuilder:
    """Appends nodes whose names say where they come from.

    Args:
        model: its graph is changed in place.
        prefix: of the names of all that is added.
    """

    def __init__(self, model: onnx.ModelProto, prefix: str) -> None:
        self.graph = model.graph
        self.opset = onnx_opset(model)
        self._prefix = f"framewire_{prefix}/"

    def name(self, short: str) -> str:
        """Return the full name of something that is added."""
        return self._prefix + short

    def constant(self, short: str, value: NDArray[Any] | Sequence[int] | int) -> str:
        """Add a constant; plain integers become int64."""
        array = value if isinstance(value, np.ndarray) else np.array(value, np.int64)
        tensor = numpy_helper.from_array(array, self.name(short))
        self.graph.initializer.append(tensor)
        return str(tensor.name)

    def scalar(self, short: str, value: float) -> str:
        """Add a float32 constant without dimensions."""
        return self.constant(short, np.array(value, np.float32))

    def node(self, op_type: str, inputs: Sequence[str], short: str, **attributes: Any) -> str:
        """Add a node with one output and return the output's name."""
        return self.nodes(op_type, inputs, [short], **attributes)[0]

    def nodes(
        self, op_type: str, inputs: Sequence[str], shorts: Sequence[str], **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs and return their names."""
        outputs = [self.name(short) for short in shorts]
        node = helper.make_node(op_type, inputs, outputs, name=outputs[0], **attributes)
        self.graph.node.append(node)
        return outputs

    def float32(self, tensor: str, short: str) -> str:
        """Cast to float32; a no-op where it is that already."""
        return self.node("Cast", [tensor], short, to=TensorProto.FLOAT)

    def slice(
        self, tensor: str, short: str, start: int, end: int = INT64_MAX, axis: int = 2
    ) -> str:
        """Cut ``start`` to ``end`` out of one axis."""
        bounds = [
            self.constant(f"{short}_start", [start]),
            self.constant(f"{short}_end", [end]),
            self.constant(f"{short}_axis", [axis]),
        ]
        return self.node("Slice", [tensor, *bounds], short)

    def reduce_max(self, tensor: str, short: str, axis: int) -> str:
        """The largest along an axis, which goes away; from opset 18 the axis is an input."""
        if self.opset >= 18:
            axes = self.constant(f"{short}_axis", [axis])
            return self.node("ReduceMax", [tensor, axes], short, keepdims=0)
        return self.node("ReduceMax", [tensor], short, axes=[axis], keepdims=0)

    def unsqueeze(self, tensor: str, short: str, axis: int) -> str:
        """Add an axis; from opset 13 the axis is an input."""
        if self.opset >= 13:
            axes = self.constant(f"{short}_axis", [axis])
            return self.node("Unsqueeze", [tensor, axes], short)
        return self.node("Unsqueeze", [tensor], short, axes=[axis])

    def squeeze(self, tensor: str, short: str, axis: int) -> str:
        """Drop an axis of size 1; from opset 13 the axis is an input."""
        if self.opset >= 13:
            axes = self.constant(f"{short}_axis", [axis])
            return self.node("Squeeze", [tensor, axes], short)
        return self.node("Squeeze", [tensor], short, axes=[axis])

    def top_k(self, scores: str, count: int, short: str) -> tuple[str, str]:
        """The ``count`` largest of axis 1 and their places, the largest first."""
        values, places = self.nodes(
            "TopK",
            [scores, self.constant(f"{short}_count", [count])],
            [f"{short}_values", f"{short}_places"],
            axis=1,
        )
        return values, places

    def top_k_of_any(self, scores: str, count: int, short: str) -> tuple[str, str]:
        """As :meth:`top_k` where there may be fewer than ``count``: those that are not score 0.

        Their place is the last that there is.
        """
        shape = self.node("Shape", [scores], f"{short}_shape")
        images = self.slice(shape, f"{short}_images", 0, 1, axis=0)
        there = self.slice(shape, f"{short}_there", 1, 2, axis=0)
        missing = [images, self.constant(f"{short}_missing", [count])]
        rest_shape = self.node("Concat", missing, f"{short}_rest_shape", axis=0)
        # Less than any score, also than those of a graph whose scores are none.
        lowest = np.full((1, 1), np.finfo(np.float32).min, np.float32)
        nothing = self.constant(f"{short}_nothing", lowest)
        rest = self.node("Expand", [nothing, rest_shape], f"{short}_rest")
        padded = self.node("Concat", [scores, rest], f"{short}_padded", axis=1)
        values, places = self.top_k(padded, count, short)
        last = self.node("Sub", [there, self.constant(f"{short}_one", [1])], f"{short}_last")
        # Min takes no integers before opset 12.
        is_there = self.node("Less", [places, there], f"{short}_is_there")
        zero = self.scalar(f"{short}_zero_score", 0.0)
        scores_there = self.node("Where", [is_there, values, zero], f"{short}_scores")
        return scores_there, self.node("Where", [is_there, places, last], f"{short}_held")

    def gather_rows(self, rows: str, places: str, short: str, columns: int) -> str:
        """Pick rows: ``[N, A, columns]`` at ``[N, K]`` gives ``[N, K, columns]``.

        GatherND learnt batches in opset 12. Before, the rows of all images are numbered through
        and picked by one Gather: GatherElements would do, but OpenVINO 2026.4 loses a Slice before
        it.
        """
        if self.opset >= 12:
            places = self.unsqueeze(places, f"{short}_at", -1)
            return self.node("GatherND", [rows, places], short, batch_dims=1)
        shape = self.node("Shape", [rows], f"{short}_shape")
        images = self.squeeze(self.slice(shape, f"{short}_images", 0, 1, axis=0), f"{short}_n", 0)
        in_image = self.slice(shape, f"{short}_in_image", 1, 2, axis=0)
        bounds = [self.constant(f"{short}_zero", 0), images, self.constant(f"{short}_one", 1)]
        image = self.unsqueeze(self.node("Range", bounds, f"{short}_image"), f"{short}_column", 1)
        first = self.node("Mul", [image, in_image], f"{short}_first")
        numbers = self.node("Add", [places, first], f"{short}_numbers")
        flat = self.constant(f"{short}_flat", [-1, columns])
        all_rows = self.node("Reshape", [rows, flat], f"{short}_all")
        return self.node("Gather", [all_rows, numbers], short, axis=0)
