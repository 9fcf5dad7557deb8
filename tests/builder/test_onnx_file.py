"""ONNX files that are odd or damaged where ONNX's own checker does not look."""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import TensorProto, helper

from builder.detectors.graph_facts import ends_in_top_k
from builder.detectors.onnx_file import load_onnx
from builder.errors import ModelFileError
from tests.tiny_detector import save_tiny_detector, tiny_detector


def test_an_element_type_that_is_none_is_refused(tmp_path: Path) -> None:
    model = tiny_detector()
    model.graph.initializer[0].data_type = 999
    with pytest.raises(ModelFileError, match=r"not a valid ONNX model \(.*999"):
        load_onnx(save_tiny_detector(tmp_path / "model.onnx", model))


@pytest.mark.parametrize("offset", ["abc", "-5"])
def test_weights_at_a_place_that_is_none_are_refused(tmp_path: Path, offset: str) -> None:
    model = tiny_detector()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    tensor.external_data.add(key="offset", value=offset)
    with pytest.raises(ModelFileError, match="does not say where its weights are"):
        load_onnx(save_tiny_detector(tmp_path / "model.onnx", model))


def test_functions_of_the_file_become_nodes(tmp_path: Path) -> None:
    model = tiny_detector()
    body = [helper.make_node("Mul", ["a", "b"], ["c"])]
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("own", "Times", ["a", "b"], ["c"], body, opset))
    model.opset_import.add(domain="own", version=1)
    node = next(node for node in model.graph.node if node.op_type == "Mul")
    node.op_type, node.domain = "Times", "own"
    read = load_onnx(save_tiny_detector(tmp_path / "model.onnx", model))
    assert not read.functions
    assert {node.domain for node in read.graph.node} == {""}


def test_rows_picked_by_a_graph_whose_nodes_have_no_names_are_seen() -> None:
    inputs = [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 9])]
    outputs = [helper.make_tensor_value_info("rows", TensorProto.FLOAT, [1, 3])]
    nodes = [
        helper.make_node("TopK", ["scores", "count"], ["values", "places"]),
        helper.make_node("Identity", ["values"], ["same"]),
        helper.make_node("Identity", ["same"], ["rows"]),
    ]
    assert ends_in_top_k(helper.make_model(helper.make_graph(nodes, "g", inputs, outputs)))
