"""Compute what a graph computes from constants alone, so that rewrites see constants.

Exports that nobody simplified compute their anchors, shapes and axes step by step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from builder.surgery.size_probe import constants_of
from builder.surgery.unused import remove_unused

# Results with more numbers stay as they are: they are weights, unpacked.
LARGEST_RESULT = 10_000_000
RANDOM = frozenset({"RandomNormal", "RandomUniform", "Multinomial", "Bernoulli"})


def fold_constants(model: onnx.ModelProto) -> None:
    """Replace nodes that take nothing but constants by their results, in place.

    A node that ONNX's reference does not know, or one that holds graphs, stays.
    """
    graph = model.graph
    known: dict[str, NDArray[Any]] = dict(constants_of(model))
    kept: list[onnx.NodeProto] = []
    folded: dict[str, NDArray[Any]] = {}
    for node in graph.node:
        takes_constants = node.input and all(not name or name in known for name in node.input)
        results = _results(node, known, model) if takes_constants else None
        if results is None:
            kept.append(node)
        else:
            known.update(results)
            folded.update(results)
    if not folded:
        return
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in folded.items())
    remove_unused(model)


def _results(
    node: onnx.NodeProto, known: Mapping[str, NDArray[Any]], model: onnx.ModelProto
) -> dict[str, NDArray[Any]] | None:
    if node.op_type in RANDOM or any(
        attribute.HasField("g") or attribute.graphs for attribute in node.attribute
    ):
        return None
    try:
        opsets = {entry.domain: entry.version for entry in model.opset_import}
        values = ReferenceEvaluator(node, opsets=opsets).run(
            None, {name: known[name] for name in node.input if name}
        )
    except Exception:  # noqa: BLE001 - whatever the reference does not know stays
        return None
    results = dict(zip(node.output, values, strict=True))
    if any(value is None or value.size > LARGEST_RESULT for value in results.values()):
        return None
    return {name: value for name, value in results.items() if name}
