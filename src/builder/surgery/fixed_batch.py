"""Let a network that takes exactly B images take any number up to B.

Frames are padded with zeros to B and the rows of the padding cut off again, inside the graph, so
that every runtime sees an open batch. It computes B images however few there are.
"""

from __future__ import annotations

import onnx

from builder.surgery.graph_builder import GraphBuilder


def pad_batch(model: onnx.ModelProto, tensor: str, batch: int) -> None:
    """Pad a tensor ``[n, ...]`` to ``batch`` images, in place, for every node that takes it.

    Args:
        model: changed in place.
        tensor: float tensor of rank 4.
        batch: what the rest of the graph wants.
    """
    build = GraphBuilder(model, "batch")
    takers = [node for node in model.graph.node if tensor in node.input]
    before = len(model.graph.node)
    size = build.slice(build.node("Shape", [tensor], "shape"), "size", 0, 1, axis=0)
    missing = build.node("Sub", [build.constant("fixed", [batch]), size], "missing")
    nothing = build.constant("nothing", [0])
    pads = build.node("Concat", [nothing] * 4 + [missing] + [nothing] * 3, "pads", axis=0)
    padded = build.node("Pad", [tensor, pads], "padded")
    for node in takers:
        node.input[:] = [padded if name == tensor else name for name in node.input]
    _move_behind(model.graph, before, tensor)


def cut_batch(build: GraphBuilder, rows: str, like: str) -> str:
    """Return the first n images of ``rows``, where n is the batch of ``like``."""
    size = build.slice(build.node("Shape", [like], "shape"), "size", 0, 1, axis=0)
    inputs = [rows, build.constant("start", [0]), size, build.constant("axis", [0])]
    return build.node("Slice", inputs, "rows")


def _move_behind(graph: onnx.GraphProto, first_new: int, tensor: str) -> None:
    # Nodes stand in the order in which they run: the padding belongs behind what makes the tensor.
    nodes = list(graph.node)
    old, new = nodes[:first_new], nodes[first_new:]
    maker = max((i for i, node in enumerate(old) if tensor in node.output), default=-1)
    del graph.node[:]
    graph.node.extend([*old[: maker + 1], *new, *old[maker + 1 :]])
