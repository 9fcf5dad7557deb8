"""Reading an ONNX file, whatever it turns out to be."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath

import onnx
import onnx.inliner
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from builder.detectors.graph_order import sort_nodes
from builder.errors import ModelFileError


def load_onnx(path: Path) -> onnx.ModelProto:
    """Return the model with all of its weights.

    Raises:
        ModelFileError: it is missing, no ONNX, damaged, or its weights lie in a file that is not
            there.
    """
    try:
        found = path.is_file()
    except (OSError, ValueError):
        found = False
    if not found:
        raise ModelFileError(f"there is no model file {path}: check the path")
    if path.suffix.lower() != ".onnx":
        raise ModelFileError(
            f"{path.name} is not an .onnx or .pt file: export it to ONNX with the tools it comes "
            "from"
        )
    model = _parse(path)
    _load_external_weights(path, model)
    sort_nodes(model)
    _check(path, model)
    # OpenVINO knows no functions, and whoever edits the graph would have to look into them.
    return onnx.inliner.inline_local_functions(model) if model.functions else model


def sha256_of(path: Path) -> str:
    """Return the hash of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its name when it has none."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def onnx_opset(model: onnx.ModelProto) -> int:
    """Return the version of the default operator set that ``model`` imports."""
    versions = (entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"})
    return int(next(versions, 0))


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """Return the metadata properties of a model."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _parse(path: Path) -> onnx.ModelProto:
    try:
        return onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ModelFileError(
            f"{path.name} cannot be read ({error.strerror}): check its permissions"
        ) from error
    except Exception as error:
        raise ModelFileError(
            f"{path.name} is not an ONNX file, or a truncated one ({first_line(error)}): export or "
            "copy it again"
        ) from error


def _load_external_weights(path: Path, model: onnx.ModelProto) -> None:
    try:
        outside = {
            ExternalDataInfo(tensor).location
            for tensor in _tensors(model)
            if uses_external_data(tensor)
        }
    except ValueError as error:
        raise ModelFileError(
            f"{path.name} does not say where its weights are ({first_line(error)}): export it again"
        ) from error
    for name in sorted(outside):
        if PurePath(name).is_absolute() or ".." in PurePath(name).parts:
            raise ModelFileError(
                f"{path.name} keeps its weights in {name}, outside of its own folder: export it "
                "with the weights inside"
            )
    missing = sorted(name for name in outside if not (path.parent / name).is_file())
    if missing:
        raise ModelFileError(
            f"{path.name} keeps its weights in {missing[0]}, which is not beside it: copy both "
            "into one folder, or export with the weights inside"
        )
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise ModelFileError(
            f"the weights of {path.name} in {', '.join(sorted(outside))} cannot be read "
            f"({first_line(error)}): copy that file again"
        ) from error


def _check(path: Path, model: onnx.ModelProto) -> None:
    try:
        # A copy without the operators of TensorRT's plugins, which ONNX knows nothing of.
        onnx.checker.check_model(_without_plugins(model))
        _check_types(model)
    except Exception as error:
        raise ModelFileError(
            f"{path.name} is not a valid ONNX model ({first_line(error)}): export it again"
        ) from error


def _check_types(model: onnx.ModelProto) -> None:
    """Raise ValueError for an element type that is none, which the checker lets pass."""
    values = (*model.graph.input, *model.graph.output)
    for kind in (
        *(tensor.data_type for tensor in _tensors(model)),
        *(value.type.tensor_type.elem_type for value in values),
    ):
        onnx.TensorProto.DataType.Name(kind)


def _tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Yield every tensor of a model, those inside of branches, loops and functions too."""
    yield from _tensors_of_graph(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _tensors_of_node(node)


def _tensors_of_graph(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    yield from _tensors_of_sparse(graph.sparse_initializer)
    for node in graph.node:
        yield from _tensors_of_node(node)


def _tensors_of_node(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield attribute.t
        yield from attribute.tensors
        yield from _tensors_of_sparse([attribute.sparse_tensor, *attribute.sparse_tensors])
        for graph in (attribute.g, *attribute.graphs):
            yield from _tensors_of_graph(graph)


def _tensors_of_sparse(found: Iterable[onnx.SparseTensorProto]) -> Iterator[onnx.TensorProto]:
    for sparse in found:
        yield from (sparse.values, sparse.indices)


def _without_plugins(model: onnx.ModelProto) -> onnx.ModelProto:
    plugins = [node for node in model.graph.node if is_plugin(node)]
    if not plugins:
        return model
    checked = onnx.ModelProto()
    checked.CopyFrom(model)
    for node in checked.graph.node:
        if is_plugin(node):
            node.domain = "trt.plugins"
    checked.opset_import.add(domain="trt.plugins", version=1)
    return checked


def is_plugin(node: onnx.NodeProto) -> bool:
    """Return whether a node is one of TensorRT's plugins, which exporters put into any domain."""
    return bool(node.op_type.endswith("_TRT"))
