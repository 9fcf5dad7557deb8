"""Let a network that was exported for one size, or one batch, take others.

Exports without open sizes, which are ultralytics' default, are convolutions, which take any size,
and a few numbers that were the size once:

1. dims that a Reshape is given as a constant follow the input's size, see ``open_reshape.py``;
2. a Resize to a constant size becomes one by the same factor;
3. constants for each cell of the feature maps are cut to what there is, see ``open_grid.py``.

For the size of the export the graph gives what it gave. Whoever opens one runs it at other sizes
before believing it (``builder.detectors.open_sizes``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

from builder.detectors.graph_facts import image_input
from builder.detectors.graph_order import sort_nodes
from builder.surgery.fold_constants import fold_constants
from builder.surgery.graph_builder import GraphBuilder
from builder.surgery.open_grid import open_grid, split_grid
from builder.surgery.open_reshape import open_target
from builder.surgery.size_probe import (
    Dims,
    OpenDim,
    UnopenableError,
    constants_of,
    probe_dims,
)
from builder.surgery.unused import remove_unused

PREFIX = "open"
ELEMENTWISE = frozenset({"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Where"})
# Rounds of the search: each follows the graph a Reshape further. Networks need about ten.
MOST_ROUNDS = 200


def open_shapes(model: onnx.ModelProto, base: Sequence[int], *, sizes: bool) -> None:
    """Open the batch of a graph, and its height and width, in place.

    Args:
        model: with one input ``[N, 3, height, width]``.
        base: what its input is for one size: batch, channels, height, width.
        sizes: whether to open height and width too; else only the batch.

    Raises:
        UnopenableError: something stands in the way; the model may be half changed.
    """
    fold_constants(model)
    search = _Search(model, base, sizes=sizes)
    edits = search.edits()
    _apply(model, edits, base)
    _open_values(model, search.dims, sizes=sizes)


@dataclass
class _Edits:
    """What is to become of nodes, by index."""

    reshapes: dict[int, Dims] = field(default_factory=dict)
    given: dict[int, Dims] = field(default_factory=dict)
    # By index and place of the input.
    grids: dict[tuple[int, int], tuple[NDArray[np.generic], int]] = field(default_factory=dict)
    scales: dict[int, NDArray[np.float32]] = field(default_factory=dict)


class _Search:
    """Finds what has to be edited, from the input on: each edit shows what follows it."""

    def __init__(self, model: onnx.ModelProto, base: Sequence[int], *, sizes: bool) -> None:
        self._model = model
        self._base = base
        self._image = (base[2], base[3])
        self._sizes = sizes
        self._constants = constants_of(model)
        self._edits = _Edits()
        self._replaced: dict[tuple[int, int], Dims] = {}
        self.dims: dict[str, Dims] = {}
        self._done: set[int] = set()

    def edits(self) -> _Edits:
        """Return them all."""
        nodes = list(enumerate(self._model.graph.node))
        open_nodes = [(index, node) for index, node in nodes if self._decision(node)]
        for _ in range(MOST_ROUNDS):
            self.dims = dims = probe_dims(
                self._model, self._base, self._replaced, sizes=self._sizes
            )
            # Of what follows an edit of this round, the dims are known in the next.
            stale: set[str] = set()
            waiting = dict(open_nodes)
            for index, node in nodes:
                if not stale.isdisjoint(node.input):
                    stale.update(node.output)
                elif index in waiting and index not in self._done:
                    self._done.add(index)
                    decide = self._decision(node)
                    if decide is not None and decide(index, node, dims):
                        stale.update(node.output)
            if not stale:
                return self._edits
        raise UnopenableError("it has too many numbers that depend on the size")

    def _decision(
        self, node: onnx.NodeProto
    ) -> Callable[[int, onnx.NodeProto, Mapping[str, Dims]], bool] | None:
        constant = [name in self._constants for name in node.input]
        if node.op_type == "Reshape" and constant[1:2] == [True]:
            return self._reshape
        if node.op_type == "Resize" and len(constant) == 4 and constant[3]:
            return self._resize
        if node.op_type in ELEMENTWISE and any(constant) and self._sizes:
            return self._elementwise
        return None

    def _reshape(self, index: int, node: onnx.NodeProto, dims: Mapping[str, Dims]) -> bool:
        given = dims.get(node.input[0])
        if given is None:
            raise UnopenableError(f"the size of {node.input[0]} cannot be told")
        target = _resolved(self._constants[node.input[1]].reshape(-1).tolist(), given)
        opened = open_target(given, target, self._base)
        if all(dim.degrees == (0, 0, 0) for dim in opened):
            return False
        self._edits.reshapes[index] = opened
        self._edits.given[index] = given
        self._replaced[index, 1] = opened
        return True

    def _resize(self, index: int, node: onnx.NodeProto, dims: Mapping[str, Dims]) -> bool:
        given = dims.get(node.input[0])
        sizes = self._constants[node.input[3]].reshape(-1)
        if given is None or len(given) != len(sizes):
            raise UnopenableError(f"the size of {node.input[0]} cannot be told")
        factors = sizes / np.array([dim.size for dim in given])
        self._edits.scales[index] = factors.astype(np.float32)
        self._replaced[index, 3] = tuple(
            OpenDim(int(size), dim.degrees) for size, dim in zip(sizes, given, strict=True)
        )
        return True

    def _elementwise(self, index: int, node: onnx.NodeProto, dims: Mapping[str, Dims]) -> bool:
        edited = False
        for place, name in enumerate(node.input):
            values = self._constants.get(name)
            if values is None:
                continue
            for other in node.input:
                axis = None if other == name else _cells(values, dims.get(other, ()))
                if axis is None:
                    continue
                split_grid(values, axis, self._image)
                self._edits.grids[index, place] = (values, axis)
                self._replaced[index, place] = tuple(
                    OpenDim(size, (0, 1, 1) if at == axis else (0, 0, 0))
                    for at, size in enumerate(values.shape)
                )
                edited = True
        return edited


def _cells(values: NDArray[np.generic], other: Dims) -> int | None:
    """Return the axis of a constant that meets one which follows height and width, or None."""
    for back in range(1, min(values.ndim, len(other)) + 1):
        dim = other[-back]
        if values.shape[-back] > 1 and dim.degrees != (0, 0, 0):
            if dim.degrees != (0, 1, 1):
                raise UnopenableError("it has constants for one size that are no grid of cells")
            return values.ndim - back
    return None


def _resolved(target: Sequence[int], given: Dims) -> list[int]:
    """Return a Reshape's dims without 0, which copies, and -1, which is what is left."""
    sizes = [
        given[place].size if size == 0 and place < len(given) else size
        for place, size in enumerate(target)
    ]
    total = math.prod(dim.size for dim in given)
    known = math.prod(size for size in sizes if size != -1)
    return [total // known if size == -1 and known else size for size in sizes]


def _apply(model: onnx.ModelProto, edits: _Edits, base: Sequence[int]) -> None:
    build = GraphBuilder(model, PREFIX)
    nodes = list(model.graph.node)
    size = _InputSize(build, image_input(model)[0].name, base)
    for index, opened in edits.reshapes.items():
        node = nodes[index]
        node.input[1] = size.shape(opened, edits.given[index], f"shape_{index}")
        del node.attribute[:]  # allowzero
    for index, factors in edits.scales.items():
        nodes[index].input[2] = build.constant(f"scales_{index}", factors)
        del nodes[index].input[3]
    for (index, place), (values, axis) in edits.grids.items():
        maps = split_grid(values, axis, (base[2], base[3]))
        nodes[index].input[place] = open_grid(
            build, maps, axis, size.height_width, f"grid_{index}_{place}"
        )
    sort_nodes(model)
    remove_unused(model)


class _InputSize:
    """The size of the input inside the graph, and what is in proportion to it."""

    def __init__(self, build: GraphBuilder, images: str, base: Sequence[int]) -> None:
        self._build = build
        self._base = base
        shape = build.node("Shape", [images], "image_shape")
        self.height_width = build.slice(shape, "height_width", 2, 4, axis=0)
        self._axes = [
            build.slice(shape, name, place, place + 1, axis=0)
            for name, place in (("batch", 0), ("height", 2), ("width", 3))
        ]

    def shape(self, opened: Dims, given: Dims, short: str) -> str:
        """Return int64 ``[rank]``: the dims of a Reshape."""
        sizes: list[int | None] = []
        for place, dim in enumerate(opened):
            copied = place < len(given) and given[place] == dim and dim.degrees != (0, 0, 0)
            sizes.append(0 if copied else dim.size if dim.degrees == (0, 0, 0) else None)
        if sizes.count(None) <= 1:
            return self._build.constant(short, [-1 if size is None else size for size in sizes])
        parts = [
            self._build.constant(f"{short}_{place}", [size])
            if size is not None
            else self._scaled(opened[place], f"{short}_{place}")
            for place, size in enumerate(sizes)
        ]
        return self._build.node("Concat", parts, short, axis=0)

    def _scaled(self, dim: OpenDim, short: str) -> str:
        build, product, base = self._build, build_size(self._build, dim.size, short), 1
        for axis, place, degree in zip(self._axes, (0, 2, 3), dim.degrees, strict=True):
            if degree:
                product = build.node("Mul", [product, axis], f"{short}_times_{place}")
                base *= self._base[place]
        return build.node("Div", [product, build.constant(f"{short}_base", [base])], f"{short}_dim")


def build_size(build: GraphBuilder, size: int, short: str) -> str:
    """Return int64 ``[1]``."""
    return build.constant(f"{short}_size", [size])


def _open_values(model: onnx.ModelProto, dims: Mapping[str, Dims], *, sizes: bool) -> None:
    """Declare which dims of the input and the outputs are open now."""
    del model.graph.value_info[:]
    shape = image_input(model)[0].type.tensor_type.shape
    for place, name in ((0, "batch"), (2, "height"), (3, "width")):
        if place == 0 or sizes:
            shape.dim[place].dim_param = name
    for value in model.graph.output:
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for place, dim in enumerate(dims.get(value.name, ())):
            if dim.degrees == (0, 0, 0):
                shape.dim.add(dim_value=dim.size)
            else:
                shape.dim.add(dim_param="batch" if place == 0 else f"{value.name}_{place}")
