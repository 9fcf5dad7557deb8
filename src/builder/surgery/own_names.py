"""Keep the names that the rewritten network needs free, and the names of its nodes apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import onnx

PREFIX = "framewire_"
MOVED = "detector/"


def free_names(model: onnx.ModelProto, *names: str) -> None:
    """Rename what has a name of ours, in place; a detector may call its input ``frame``.

    1. Tensors called as one of ``names`` or with the prefix of all that the builder adds.
    2. Nodes likewise, and those that share their name with another, which no runtime loads.

    Args:
        model: changed in place, with the bodies of its branches and loops.
        names: of the rewritten network's input and output.
    """

    def renamed(name: str) -> str:
        return f"{MOVED}{name}" if name in names or name.startswith(PREFIX) else name

    for graph in _graphs(model.graph):
        _rename_tensors(graph, renamed)
        seen: set[str] = set()
        for index, node in enumerate(graph.node):
            node.name = renamed(node.name)
            if node.name in seen:
                node.name = f"{MOVED}{index}/{node.name}"
            seen.add(node.name)
            seen.discard("")


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from _graphs(body)


def _rename_tensors(graph: onnx.GraphProto, renamed: Callable[[str], str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = renamed(value.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = renamed(sparse.values.name)
    for node in graph.node:
        for ends in (node.input, node.output):
            for place, name in enumerate(ends):
                ends[place] = renamed(name)
