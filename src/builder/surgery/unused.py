"""Remove what a graph no longer needs once its outputs have been replaced."""

from __future__ import annotations

import onnx

from builder.detectors.graph_facts import taken_by


def remove_unused(model: onnx.ModelProto) -> None:
    """Remove nodes and weights that no output depends on, in place."""
    graph = model.graph
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.isdisjoint(node.output):
            continue
        kept.append(node)
        needed.update(taken_by(node))
    kept.reverse()
    del graph.node[:]
    graph.node.extend(kept)
    weights = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(weights)
