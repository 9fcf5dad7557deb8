"""The Triton configs of the two models that take streams: ``NAME_stream`` and ``NAME_decode``."""

from __future__ import annotations

from tritonclient.grpc import model_config_pb2 as pb

from builder.pipelines.config_parts import (
    batching,
    in_python,
    public_model_config,
    ragged,
    step,
    step_config,
)
from builder.pipelines.model_configs import (
    frame_settings,
    network_settings,
    postprocess_settings,
    public_parameters,
)
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.pipelines.step_tensors import (
    DECODE_OUTPUTS,
    DETECT_INPUTS,
    DETECT_OUTPUTS,
)
from builder.settings import Runtime, Track
from thin_client.contract import (
    DETECT_FPS,
    FRAME,
    LOOK_OUTPUTS,
    PACKET,
    STREAM_INPUTS,
    STREAM_OPTIONS,
    STREAM_OUTPUTS,
    TRACK_PARAMETERS,
    PipelineParameter,
    stream_fingerprint,
)

# Looks given away at once at most, where streams have fewer than frames: two batches, and to a
# network in Python, which runs frame by frame, so many. In single runs of six cameras of 1080p, on
# two cores that others used too, two left it idle for a tenth of the time (28.6 looks a second, p95
# of an answer 144 ms), and four gained little (29.9, 261 ms).
LOOKS_IN_PYTHON = 3
# Streams that Triton tells apart in each process. One that the process refuses keeps its place
# until it was silent for long enough, and one without a place waits without an answer: so there are
# many more than may be open.
PLACES = 4096
MICROSECONDS = 1_000_000


def stream_config(spec: PipelineSpec) -> pb.ModelConfig:
    """Config of ``NAME_stream``: decode and detect, a packet at a time."""
    obeyed: tuple[str, ...] = (*STREAM_OPTIONS, DETECT_FPS)
    if spec.settings.track is not Track.OFF:
        obeyed += TRACK_PARAMETERS
    parameters = {
        **public_parameters(spec),
        PipelineParameter.CONTRACT.value: stream_fingerprint(),
        PipelineParameter.STREAM_OPTIONS.value: ",".join(obeyed),
        **_limits(spec),
    }
    names = spec.names
    config = public_model_config(
        spec,
        names.stream,
        STREAM_INPUTS,
        (*STREAM_OUTPUTS, *LOOK_OUTPUTS),
        parameters,
        max_batch=1,
    )
    config.platform = "ensemble"
    steps = config.ensemble_scheduling.step
    steps.append(step(spec, names.decode, [PACKET], DECODE_OUTPUTS))
    steps.append(step(spec, names.detect, DETECT_INPUTS, DETECT_OUTPUTS))
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


def detect_config(spec: PipelineSpec) -> pb.ModelConfig:
    """Config of ``NAME_detect``: frames of streams to boxes and tracks.

    One process: the tracks of a stream are in one place, and so is who may look next.
    """
    config = step_config(spec, spec.names.detect, DETECT_INPUTS, DETECT_OUTPUTS)
    return batching(ragged(in_python(config), FRAME))


def detect_settings(spec: PipelineSpec) -> dict[str, str]:
    """Return what ``NAME_detect`` reads from its version's folder."""
    in_python = spec.settings.runtime is Runtime.PYTHON
    return {
        **postprocess_settings(spec),
        **network_settings(spec),
        **_limits(spec),
        "stream_share": f"{spec.settings.stream_share:g}",
        "looks_in_flight": str(LOOKS_IN_PYTHON if in_python else 2 * spec.max_batch),
    }


def decode_settings(spec: PipelineSpec) -> dict[str, str]:
    """Return what ``NAME_decode`` reads from its version's folder."""
    return {
        **frame_settings(spec),
        **network_settings(spec),
        **_limits(spec),
        "max_stream_memory": str(spec.settings.max_stream_memory),
        "track": spec.settings.track.value,
    }


def _limits(spec: PipelineSpec) -> dict[str, str]:
    settings = spec.settings
    return {
        PipelineParameter.MAX_STREAMS.value: str(settings.max_streams),
        PipelineParameter.MAX_STREAM_PIXELS.value: str(settings.max_stream_pixels),
        PipelineParameter.MAX_PACKET_BYTES.value: str(settings.max_packet_bytes),
        PipelineParameter.STREAM_IDLE_S.value: f"{settings.stream_idle_s:g}",
    }
