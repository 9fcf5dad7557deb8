"""The order of a graph's nodes: each after those whose outputs it takes, as ONNX demands.

Converters to float16, that of ONNX Runtime among them, put the casts they add at the end. Runtimes
forgive it; ONNX's checker, TensorRT and whoever edits the graph do not.
"""

from __future__ import annotations

import heapq

import onnx

from builder.detectors.graph_facts import taken_by


def sort_nodes(model: onnx.ModelProto) -> None:
    """Bring the nodes of the main graph into order, in place; nodes that are stay as they are.

    1. A node follows the makers of all it takes, and of all that the graphs inside it take.
    2. Among those that may come next, the one that came first before comes first.
    3. Where nodes wait for each other, which no valid graph does, all of them stay as they are.
    """
    nodes = list(model.graph.node)
    maker = {output: index for index, node in enumerate(nodes) for output in node.output if output}
    needs = [{maker[name] for name in taken_by(node) if name in maker} for node in nodes]
    takers: list[list[int]] = [[] for _ in nodes]
    for index, makers in enumerate(needs):
        for before in makers:
            takers[before].append(index)
    ready = [index for index, makers in enumerate(needs) if not makers]
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for after in takers[index]:
            needs[after].discard(index)
            if not needs[after]:
                heapq.heappush(ready, after)
    if len(order) == len(nodes) and order != list(range(len(nodes))):
        del model.graph.node[:]
        model.graph.node.extend(nodes[index] for index in order)
