"""Which layers of a network compute in int8, and which tensors must share a scale for that.

Quantised is the body: convolutions with constant weights, but for

1. those that see the image, which have few channels and decide most;
2. the head: the last layers, which lead to at most one other layer each. Its last numbers are
   logits and distances, and with them in int8 every box is lost.

What a convolution reads is quantised where it is made, behind its activation, so that runtimes can
make the rounding part of the layer before. Operators that only move numbers about lie between; all
that comes together in one of them shares a scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from builder.detectors.graph_facts import MOVING, image_input, taken_by

LAYERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# The largest of what moves together stays the largest.
SHARING = (MOVING | {"MaxPool", "Resize"}) - {"Cast", "GatherElements", "GatherND"}


@dataclass(frozen=True)
class Int8Layers:
    """What is to be quantised.

    Attributes:
        convolutions: by the name of their output.
        groups: of the tensors that are to be quantised, those that share a scale together.
    """

    convolutions: frozenset[str]
    groups: tuple[tuple[str, ...], ...]


def int8_layers(model: onnx.ModelProto) -> Int8Layers:
    """Return what is to be quantised in a float32 network; nothing where it has no such layers."""
    graph = _Graph(model)
    chosen = [
        node
        for node in model.graph.node
        if node.op_type == "Conv"
        and node.input[1] in graph.constants
        and not graph.sees_image(node)
        and not graph.is_head(node)
    ]
    joined: dict[str, set[str]] = {}
    for node in chosen:
        sources = set(graph.sources(node.input[0]))
        for source in list(sources):
            sources |= joined.get(source, set())
        for source in sources:
            joined[source] = sources
    groups = {min(sources): tuple(sorted(sources)) for sources in joined.values()}
    return Int8Layers(
        frozenset(node.output[0] for node in chosen), tuple(groups[name] for name in sorted(groups))
    )


class _Graph:
    """Who makes and who takes each tensor."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.constants = {tensor.name for tensor in model.graph.initializer}
        self._images = {value.name for value in image_input(model)}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self._takers: dict[str, list[onnx.NodeProto]] = {}
        for node in model.graph.node:
            for name in taken_by(node):
                self._takers.setdefault(name, []).append(node)
        self._next: dict[str, frozenset[str]] = {}
        self._nodes = {node.output[0]: node for node in model.graph.node}
        # From the end on, so that what follows a node is known already.
        for node in reversed(model.graph.node):
            self._next[node.output[0]] = self._following(node)

    def _following(self, node: onnx.NodeProto) -> frozenset[str]:
        """Return the next layers behind a node, by their output."""
        found: set[str] = set()
        for taker in (taker for name in node.output for taker in self._takers.get(name, ())):
            is_layer = taker.op_type in LAYERS
            found |= {taker.output[0]} if is_layer else self._next[taker.output[0]]
        return frozenset(found)

    def is_head(self, node: onnx.NodeProto) -> bool:
        """Return whether a chain of single layers leads from here to the end."""
        following = self._next[node.output[0]]
        while len(following) == 1:
            following = self._next[next(iter(following))]
        return not following

    def sees_image(self, node: onnx.NodeProto) -> bool:
        """Return whether no layer lies before this one."""
        waiting, seen = [node.input[0]], set()
        while waiting:
            name = waiting.pop()
            maker = self._makers.get(name)
            if maker is None or name in seen:
                continue
            seen.add(name)
            if maker.op_type in LAYERS:
                return False
            waiting += maker.input
        return True

    def sources(self, name: str) -> Iterator[str]:
        """Yield the tensors that come together in one, before operators that only move them."""
        maker = self._makers.get(name)
        if maker is None or maker.op_type not in SHARING:
            if name not in self.constants:
                yield name
            return
        for moved in maker.input if maker.op_type == "Concat" else maker.input[:1]:
            yield from self.sources(moved)
