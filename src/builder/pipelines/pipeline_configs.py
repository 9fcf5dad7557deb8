"""The configs and settings of all models that a pipeline has."""

from __future__ import annotations

from tritonclient.grpc import model_config_pb2 as pb

from builder.pipelines.model_configs import (
    bls_config,
    ensemble_config,
    network_config,
    postprocess_config,
    preprocess_config,
    version_settings,
)
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.pipelines.stream_configs import (
    decode_config,
    decode_settings,
    detect_config,
    detect_settings,
    stream_config,
)


def pipeline_configs(spec: PipelineSpec) -> dict[str, pb.ModelConfig]:
    """Return the config of each model, by its name."""
    configs = [
        ensemble_config(spec),
        bls_config(spec),
        preprocess_config(spec),
        network_config(spec),
        postprocess_config(spec),
    ]
    if spec.settings.stream:
        configs += [stream_config(spec), decode_config(spec), detect_config(spec)]
    return {config.name: config for config in configs}


def pipeline_settings(spec: PipelineSpec) -> dict[str, dict[str, str]]:
    """Return what each served model that needs to know anything reads from its version's folder."""
    settings = version_settings(spec)
    if spec.settings.stream:
        settings[spec.names.decode] = decode_settings(spec)
        settings[spec.names.detect] = detect_settings(spec)
    return settings
