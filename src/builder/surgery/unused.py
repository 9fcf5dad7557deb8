"""Remove what a graph no longer needs once its outputs have been replaced."""

from __future__ import annotations

import onnx


def remove_unused(model: onnx.ModelProto) -> None:
    """Remove nodes and weights that no output depends on, in place."""
    graph = model.graph
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        kept.append(node)
        needed.update(_inputs_of(node))
    kept.reverse()
    del graph.node[:]
    graph.node.extend(kept)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(weights)


def _inputs_of(node: onnx.NodeProto) -> set[str]:
    # The body of a loop or a branch may take tensors of the graph around it.
    names = set(node.input)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            for inner in body.node:
                names |= _inputs_of(inner)
            names |= {value.name for value in body.output}
    return names
