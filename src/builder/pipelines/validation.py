"""Checking that the models of a written pipeline fit each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import onnx
from tritonclient.grpc import model_config_pb2 as pb

from builder.errors import InvalidPipelineError
from builder.pipelines.config_files import read_config
from builder.pipelines.model_configs import NETWORK_FILE
from builder.pipelines.pipeline_configs import pipeline_configs
from builder.pipelines.pipeline_spec import OPEN, PipelineSpec
from thin_client.contract import ModelNames


def validate_pipeline(folder: Path, spec: PipelineSpec) -> None:
    """Read a written pipeline back and check that its parts fit each other.

    1. Every config parses and says what was meant.
    2. Every tensor of an ensemble step exists in the step's model, and every one that two models
       share has the same type and dims in both.
    3. The network's ONNX file takes and returns what its config promises.

    Raises:
        InvalidPipelineError: the first contradiction found.
    """
    configs = {name: read_config(folder / name) for name in spec.models}
    for name, expected in pipeline_configs(spec).items():
        if configs[name] != expected:
            raise InvalidPipelineError(f"the config of {name} does not survive being written")
    graph = onnx.load(folder / spec.names.network / str(spec.version) / NETWORK_FILE).graph
    check_fit(configs, spec.names, graph)


def check_fit(
    configs: Mapping[str, pb.ModelConfig], names: ModelNames, graph: onnx.GraphProto
) -> None:
    """Check that the models of a pipeline fit each other and the network's graph.

    Args:
        configs: of the models that the pipeline has, by name.
        names: of the models.
        graph: of the network.

    Raises:
        InvalidPipelineError: the first contradiction found.
    """
    for ensemble in (names.ensemble, names.stream):
        if ensemble in configs:
            _check_steps(configs, ensemble)
    network = configs[names.network]
    _check_graph_values(network.name, network.input, graph.input)
    _check_graph_values(network.name, network.output, graph.output)


def _check_steps(configs: Mapping[str, pb.ModelConfig], ensemble: str) -> None:
    config = configs[ensemble]
    known = {value.name: value for value in config.input}
    for step in config.ensemble_scheduling.step:
        model = configs[step.model_name]
        for side, mapping in ((model.input, step.input_map), (model.output, step.output_map)):
            values = {value.name: value for value in side}
            for inside, outside in mapping.items():
                if inside not in values:
                    raise InvalidPipelineError(
                        f"{ensemble} names the tensor {inside}, which {model.name} does not have"
                    )
                _check_same(outside, known.setdefault(outside, values[inside]), values[inside])
    for output in config.output:
        if output.name not in known:
            raise InvalidPipelineError(f"no step of {ensemble} gives its output {output.name}")
        _check_same(output.name, known[output.name], output)


def _check_same(
    name: str, one: pb.ModelInput | pb.ModelOutput, other: pb.ModelInput | pb.ModelOutput
) -> None:
    if one.data_type != other.data_type or not _same_dims(one.dims, other.dims):
        raise InvalidPipelineError(
            f"the tensor {name} is {pb.DataType.Name(one.data_type)}{list(one.dims)} in one model "
            f"and {pb.DataType.Name(other.data_type)}{list(other.dims)} in another"
        )


def _same_dims(one: Sequence[int], other: Sequence[int]) -> bool:
    return len(one) == len(other) and all(
        a == b or OPEN in {a, b} for a, b in zip(one, other, strict=True)
    )


def _check_graph_values(
    model: str,
    promised: Iterable[pb.ModelInput | pb.ModelOutput],
    found: Iterable[onnx.ValueInfoProto],
) -> None:
    shapes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
        for value in found
    }
    for value in promised:
        if not _same_dims(shapes.get(value.name, []), value.dims):
            raise InvalidPipelineError(
                f"the config of {model} promises {value.name} {list(value.dims)}, its ONNX file "
                f"has {shapes}"
            )
