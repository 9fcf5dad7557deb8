from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from builder.detectors.graph_order import sort_nodes


def model_of(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("x", "y")]
    graph = helper.make_graph(list(nodes), "g", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def order_of(model: onnx.ModelProto) -> list[str]:
    sort_nodes(model)
    return [node.op_type for node in model.graph.node]


def node(op_type: str, takes: str, gives: str) -> onnx.NodeProto:
    return helper.make_node(op_type, takes.split(), gives.split())


def test_a_node_follows_those_it_takes_from() -> None:
    model = model_of(node("Neg", "b", "y"), node("Exp", "a", "b"), node("Abs", "x", "a"))
    assert order_of(model) == ["Abs", "Exp", "Neg"]
    onnx.checker.check_model(model)


def test_nodes_that_may_come_next_keep_their_order() -> None:
    model = model_of(
        node("Add", "a b", "y"), node("Neg", "x", "b"), node("Exp", "x", "a"), node("Abs", "x", "c")
    )
    assert order_of(model) == ["Neg", "Exp", "Add", "Abs"]


def test_a_sorted_graph_stays_as_it_is() -> None:
    model = model_of(node("Abs", "x", "a"), node("Exp", "x", "b"), node("Add", "b a", "y"))
    before = model.SerializeToString(deterministic=True)
    sort_nodes(model)
    assert model.SerializeToString(deterministic=True) == before


def test_what_a_branch_takes_comes_before_it() -> None:
    branch = helper.make_graph(
        [node("Neg", "a", "r")],
        "then",
        [],
        [helper.make_tensor_value_info("r", TensorProto.FLOAT, [1])],
    )
    choice = helper.make_node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)
    model = model_of(choice, node("Abs", "x", "a"), node("Cast", "x", "c"))
    assert order_of(model) == ["Abs", "Cast", "If"]


def test_nodes_that_wait_for_each_other_stay_as_they_are() -> None:
    model = model_of(node("Neg", "a", "b"), node("Exp", "b", "a"), node("Abs", "x", "y"))
    assert order_of(model) == ["Neg", "Exp", "Abs"]
