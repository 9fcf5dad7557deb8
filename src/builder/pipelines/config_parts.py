"""What the configs of a pipeline's models are put together from."""

from __future__ import annotations

from collections.abc import Sequence

from tritonclient.grpc import model_config_pb2 as pb

from builder.pipelines.pipeline_spec import OPEN, PipelineSpec
from thin_client.contract import DET_CLASSES, Tensor

KSERVE_TO_TRITON = {"BYTES": "TYPE_STRING"}
LABELS_FILE = "labels.txt"


def public_model_config(
    spec: PipelineSpec,
    name: str,
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    parameters: dict[str, str],
    *,
    max_batch: int,
) -> pb.ModelConfig:
    """Config of a model that clients call: its tensors with their sizes, and what they read."""
    config = pb.ModelConfig(name=name, max_batch_size=max_batch)
    for tensor in inputs:
        config.input.add(name=tensor.name, data_type=data_type(tensor), dims=spec.dims(tensor))
    for tensor in outputs:
        output = config.output.add(
            name=tensor.name, data_type=data_type(tensor), dims=spec.dims(tensor)
        )
        if tensor == DET_CLASSES:
            output.label_filename = f"{spec.version}/{LABELS_FILE}"
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    config.version_policy.specific.versions.append(spec.version)
    return config


def step_config(
    spec: PipelineSpec, name: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> pb.ModelConfig:
    """Config of a step: what may differ between its versions is left open."""
    config = pb.ModelConfig(name=name, max_batch_size=spec.max_batch)
    for tensor in inputs:
        config.input.add(name=tensor.name, data_type=data_type(tensor), dims=open_dims(tensor))
    for tensor in outputs:
        config.output.add(name=tensor.name, data_type=data_type(tensor), dims=open_dims(tensor))
    config.version_policy.specific.versions.append(spec.version)
    return config


def ragged(config: pb.ModelConfig, tensor: Tensor) -> pb.ModelConfig:
    """Have Triton take requests together although this input of theirs differs in shape.

    Only for models in Python, which see every request for itself.
    """
    for value in config.input:
        value.allow_ragged_batch |= value.name == tensor.name
    return config


def open_dims(tensor: Tensor) -> list[int]:
    """Return the dims of a tensor in a step's config."""
    return [OPEN if isinstance(size, str) else size for size in tensor.shape]


def in_python(config: pb.ModelConfig, instances: int = 1) -> pb.ModelConfig:
    """Have the Python backend run a model, in as many processes."""
    config.backend = "python"
    config.instance_group.add(kind=pb.ModelInstanceGroup.KIND_CPU, count=instances)
    return config


def batching(config: pb.ModelConfig) -> pb.ModelConfig:
    """Have Triton take together what waits.

    No delay: only what waits anyway is taken together, and an idle model starts at once.
    """
    config.dynamic_batching.max_queue_delay_microseconds = 0
    return config


def bounded_batching(config: pb.ModelConfig, spec: PipelineSpec) -> pb.ModelConfig:
    """Have Triton take together what waits, and refuse with UNAVAILABLE what waits too long.

    A client may give a request less time than the build does (``timeout`` of KServe, microseconds).

    Only for models that clients' requests come to first. With any of these bounds Triton 24.10
    gives a model nothing that it could begin with at once, and what meets an empty queue and a busy
    model lies there until the next request comes or half a second is over
    (``PriorityQueue::SupportPrefetching`` in its source). docs/performance.md has what that costs;
    ``frame_tickets`` bounds the steps after the first.
    """
    policy = batching(config).dynamic_batching.default_queue_policy
    policy.timeout_action = pb.ModelQueuePolicy.REJECT
    policy.default_timeout_microseconds = spec.settings.queue_timeout_ms * 1000
    policy.allow_timeout_override = True
    policy.max_queue_size = spec.settings.max_queue
    return config


def data_type(tensor: Tensor) -> int:
    """Return Triton's data type of a tensor."""
    name = KSERVE_TO_TRITON.get(tensor.datatype, f"TYPE_{tensor.datatype}")
    return int(pb.DataType.Value(name))


def step(
    spec: PipelineSpec, model: str, inputs: Sequence[Tensor], outputs: Sequence[Tensor]
) -> pb.ModelEnsembling.Step:
    """Return a step of an ensemble."""
    # Inside an ensemble the tensors keep the names they have in the steps.
    return pb.ModelEnsembling.Step(
        model_name=model,
        model_version=spec.version,
        input_map={tensor.name: tensor.name for tensor in inputs},
        output_map={tensor.name: tensor.name for tensor in outputs},
    )
