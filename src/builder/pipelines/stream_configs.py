"""The Triton configs of the two models that take streams: ``NAME_stream`` and ``NAME_decode``."""

from __future__ import annotations

from tritonclient.grpc import model_config_pb2 as pb

from builder.pipelines.config_parts import in_python, public_model_config, step, step_config
from builder.pipelines.model_configs import (
    frame_settings,
    network_settings,
    public_parameters,
)
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.pipelines.step_tensors import (
    DECODE_OUTPUTS,
    DETECTIONS,
    POSTPROCESS_INPUTS,
)
from thin_client.contract import (
    CANDIDATES,
    FRAME,
    PACKET,
    STREAM_INPUTS,
    STREAM_OPTIONS,
    STREAM_OUTPUTS,
    PipelineParameter,
    stream_fingerprint,
)

# Streams that Triton tells apart in each process. One that the process refuses keeps its place
# until it was silent for long enough, and one without a place waits without an answer: so there are
# many more than may be open.
PLACES = 4096
MICROSECONDS = 1_000_000


def stream_config(spec: PipelineSpec) -> pb.ModelConfig:
    """Config of ``NAME_stream``: decode, network and postprocess, a packet at a time."""
    parameters = {
        **public_parameters(spec),
        PipelineParameter.CONTRACT.value: stream_fingerprint(),
        PipelineParameter.STREAM_OPTIONS.value: ",".join(STREAM_OPTIONS),
        **_limits(spec),
    }
    names = spec.names
    config = public_model_config(
        spec, names.stream, STREAM_INPUTS, STREAM_OUTPUTS, parameters, max_batch=1
    )
    config.platform = "ensemble"
    steps = config.ensemble_scheduling.step
    steps.append(step(spec, names.decode, [PACKET], DECODE_OUTPUTS))
    steps.append(step(spec, names.network, [FRAME], [CANDIDATES]))
    steps.append(step(spec, names.postprocess, POSTPROCESS_INPUTS, DETECTIONS))
    return config


def decode_config(spec: PipelineSpec) -> pb.ModelConfig:
    """Config of ``NAME_decode``: packets to frames, each stream in one process and in order.

    The strategy is ``oldest``, the one in which Triton takes packets of several streams together
    without keeping a row of every batch for each of them.
    """
    config = step_config(spec, spec.names.decode, [PACKET], DECODE_OUTPUTS)
    in_python(config, spec.settings.instances)
    batching = config.sequence_batching
    batching.max_sequence_idle_microseconds = round(spec.settings.stream_idle_s * MICROSECONDS)
    batching.oldest.max_candidate_sequences = PLACES
    # No delay: what waits anyway, because every process is busy, is taken together.
    batching.oldest.max_queue_delay_microseconds = 0
    return config


def decode_settings(spec: PipelineSpec) -> dict[str, str]:
    """Return what ``NAME_decode`` reads from its version's folder."""
    return {
        **frame_settings(spec),
        **network_settings(spec),
        **_limits(spec),
        "max_stream_memory": str(spec.settings.max_stream_memory),
    }


def _limits(spec: PipelineSpec) -> dict[str, str]:
    settings = spec.settings
    return {
        PipelineParameter.MAX_STREAMS.value: str(settings.max_streams),
        PipelineParameter.MAX_STREAM_PIXELS.value: str(settings.max_stream_pixels),
        PipelineParameter.MAX_PACKET_BYTES.value: str(settings.max_packet_bytes),
        PipelineParameter.STREAM_IDLE_S.value: f"{settings.stream_idle_s:g}",
    }
