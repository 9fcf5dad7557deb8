"""Whether TensorRT accepts a network, found out on a machine without a GPU.

The package ``tensorrt-rtx`` has TensorRT's own ONNX parser and compiles ahead of time for a list of
GPUs. What it makes is no plan for Triton; that it makes one says that TensorRT knows every node of
the graph, its types and its shapes. It is the stricter of the two: see docs/tensorrt.md.
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from builder.detectors.onnx_file import load_onnx, metadata_of
from builder.errors import SettingsError, TensorRtMissingError

# Turing, 7.5, is known too, but there tensorrt-rtx refuses to multiply float32 matrices.
COMPUTE_CAPABILITIES = ("8.0", "8.6", "8.9", "12.0", "12.1")
# Of a file that leaves its size open and has no `imgsz` in its metadata.
IMAGE_SIZE = 640
# Where in NVIDIA's source a check failed, and that no driver is there: neither helps a reader.
SOURCE_PLACE = re.compile(r"\.?\s*In \S+ at /_src/[^\s)]+|\[\w+\.cpp::\w+::\d+\]\s*")
NO_DRIVER = "Cuda Runtime"


@dataclass(frozen=True)
class NodeProblem:
    """A node of an ONNX graph that TensorRT does not accept.

    Attributes:
        node: its name, or its first output where it has none; "" when no node is to blame.
        operator: its ONNX operator.
        reason: as TensorRT gives it.
    """

    node: str
    operator: str
    reason: str

    def __str__(self) -> str:
        """Return one line."""
        where = f"node {self.node} ({self.operator}): " if self.operator else ""
        return f"{where}{self.reason}"


@dataclass(frozen=True)
class CompileReport:
    """What TensorRT said to a network.

    Attributes:
        compute_capabilities: it was compiled for, as "8.9".
        problems: what is not accepted; empty when all of it is.
        seconds: that parsing and compiling took.
        size_bytes: of what was compiled; 0 when nothing was.
    """

    compute_capabilities: tuple[str, ...]
    problems: tuple[NodeProblem, ...]
    seconds: float
    size_bytes: int

    @property
    def accepted(self) -> bool:
        """Whether TensorRT accepts every node for every compute capability."""
        return not self.problems


def compile_network(
    onnx_path: Path,
    compute_capabilities: Sequence[str] = COMPUTE_CAPABILITIES,
    *,
    max_batch: int,
) -> CompileReport:
    """Parse and compile an ONNX file for some GPUs, none of which needs to be there.

    Args:
        onnx_path: the file.
        compute_capabilities: of the GPUs, as "8.9".
        max_batch: largest batch to compile for where the graph leaves it open; the smallest is 1.

    Raises:
        TensorRtMissingError: ``tensorrt-rtx`` is not installed.
        SettingsError: it does not compile for one of the compute capabilities.
        ModelFileError: the file is missing or not ONNX.
    """
    trt = _tensorrt_rtx()
    members = [_member(trt, capability) for capability in compute_capabilities]
    model = load_onnx(onnx_path)
    start = time.monotonic()
    size, problems = 0, _parse(trt, onnx_path).problems
    if not problems:
        size, problems = _compile(trt, onnx_path, model, members, max_batch)
        if problems and len(members) > 1:
            # All together only one of them is blamed, and nobody learns for which GPU.
            problems_of = {
                capability: _compile(trt, onnx_path, model, [member], max_batch)[1]
                for capability, member in zip(compute_capabilities, members, strict=True)
            }
            problems = _merged(problems_of) or problems
    seconds = time.monotonic() - start
    return CompileReport(tuple(compute_capabilities), tuple(problems), seconds, size)


def _merged(problems_of: Mapping[str, Sequence[NodeProblem]]) -> list[NodeProblem]:
    """Return each problem once, and for which compute capabilities where not for all."""
    problems = dict.fromkeys(problem for found in problems_of.values() for problem in found)
    merged = []
    for problem in problems:
        where = [capability for capability, found in problems_of.items() if problem in found]
        only = "" if len(where) == len(problems_of) else f"for {', '.join(where)}: "
        merged.append(replace(problem, reason=only + problem.reason))
    return merged


def _tensorrt_rtx() -> Any:
    try:
        return importlib.import_module("tensorrt_rtx")
    except ImportError as error:
        raise TensorRtMissingError(
            f"TensorRT's compiler for machines without a GPU cannot be loaded ({error}): "
            "pip install -e '.[tensorrt-check]' on Linux for x86-64"
        ) from error


def _member(trt: Any, capability: str) -> Any:
    known = {
        f"{name[2:-1]}.{name[-1]}": member
        for name, member in trt.ComputeCapability.__members__.items()
        if name.startswith("SM")
    }
    if capability not in known:
        raise SettingsError(
            f"tensorrt-rtx {trt.__version__} does not compile for compute capability "
            f"{capability!r}, it knows {', '.join(known)}: choose some of these with "
            "--compute-capability"
        )
    return known[capability]


@dataclass(frozen=True)
class _Parsed:
    """A graph in TensorRT's hands; ``errors`` grows while it is compiled."""

    builder: Any
    network: Any
    errors: list[str]
    problems: list[NodeProblem]


def _parse(trt: Any, path: Path) -> _Parsed:
    class Log(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in {trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR}:
                self.errors.append(message)

    log = Log()
    builder = trt.Builder(log)
    # Strongly typed: the graph says which type each tensor has, as in TensorRT 11.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    problems: list[NodeProblem] = []
    if not parser.parse_from_file(str(path)):
        nodes = onnx.load(path, load_external_data=False).graph.node
        problems = [
            _refusal(nodes, parser.get_error(index)) for index in range(parser.num_errors)
        ] or [NodeProblem("", "", "TensorRT cannot parse it, and does not say why")]
    return _Parsed(builder, network, log.errors, problems)


def _refusal(nodes: Sequence[onnx.NodeProto], error: Any) -> NodeProblem:
    name = error.node_name()
    if not name and 0 <= error.node() < len(nodes):
        name = nodes[error.node()].output[0]
    return NodeProblem(name, error.node_operator(), _readable(error.desc()))


def _compile(
    trt: Any, path: Path, model: onnx.ModelProto, members: Sequence[Any], max_batch: int
) -> tuple[int, list[NodeProblem]]:
    """Return the size in bytes of what was compiled and the problems met."""
    parsed = _parse(trt, path)
    config = parsed.builder.create_builder_config()
    config.num_compute_capabilities = len(members)
    for index, member in enumerate(members):
        config.set_compute_capability(member, index)
    # TensorRT tries the shapes of a profile's optimum only; a graph with a batch baked in has to
    # fail, whichever it is.
    for batch in sorted({1, max_batch}):
        profile = parsed.builder.create_optimization_profile()
        for index in range(parsed.network.num_inputs):
            tensor = parsed.network.get_input(index)
            shape = tuple(tensor.shape)
            if -1 in shape:
                profile.set_shape(tensor.name, *_profile(model, shape, (1, batch, max_batch)))
        config.add_optimization_profile(profile)
    compiled = parsed.builder.build_serialized_network(parsed.network, config)
    if compiled is not None:
        return int(compiled.nbytes), []
    return 0, [_blame(model, message) for message in parsed.errors] or [
        NodeProblem("", "", "TensorRT parses but does not compile it, and does not say why")
    ]


def _profile(
    model: onnx.ModelProto, shape: tuple[int, ...], batches: tuple[int, int, int]
) -> list[tuple[int, ...]]:
    """Return a shape for each batch, with the model's image size in place of other open dims."""
    sizes = [int(size) for size in re.findall(r"\d+", metadata_of(model).get("imgsz", ""))]
    height, width = (sizes * 2)[:2] if sizes else (IMAGE_SIZE, IMAGE_SIZE)
    # A detector's images have their channels first, a network step's frames last.
    first = 1 if shape[-1] == 3 else 2
    places = {first: height, first + 1: width}
    return [
        tuple(
            ({0: batch} | places).get(axis, IMAGE_SIZE) if size == -1 else size
            for axis, size in enumerate(shape)
        )
        for batch in batches
    ]


def _blame(model: onnx.ModelProto, message: str) -> NodeProblem:
    """Find the node that an error of the compiler names."""
    # TensorRT's name for a node without one; it numbers the layers of a node with several.
    named = {node.name or f"node_of_{node.output[0]}": node for node in model.graph.node}
    for name, node in named.items():
        if re.search(rf"(?<![\w/]){re.escape(name)}(_\d+)?(?![\w/]|\.\w)", message):
            return NodeProblem(node.name or node.output[0], node.op_type, _readable(message))
    return NodeProblem("", "", _readable(message))


def _readable(message: str) -> str:
    lines = (SOURCE_PLACE.sub("", line).strip() for line in message.splitlines())
    return ": ".join(line for line in lines if line and NO_DRIVER not in line)
