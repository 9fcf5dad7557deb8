"""The Triton configs of a pipeline, as protobuf messages: one function for each model.

A pipeline's steps name each other by version: while Triton replaces a pipeline, the old ensemble
goes on with the old steps and the new one begins with the new. A step's config serves all of its
versions, so it leaves open what may differ between them, and what a version must know lies in its
own folder.
"""

from __future__ import annotations

import json

from tritonclient.grpc import model_config_pb2 as pb

from builder import __version__
from builder.detectors.frame_shapes import framing_of
from builder.pipelines.config_parts import (
    batching,
    bounded_batching,
    in_python,
    public_model_config,
    ragged,
    step,
    step_config,
)
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.pipelines.step_tensors import DETECTIONS, POSTPROCESS_INPUTS, PREPROCESS_OUTPUTS
from builder.settings import ExecutionProvider, Precision, Runtime, Shape
from thin_client.contract import (
    CANDIDATES,
    FRAME,
    IMAGE,
    PIPELINE_INPUTS,
    PIPELINE_OUTPUTS,
    PipelineParameter,
    contract_fingerprint,
)

# What the network in Python adds to its niceness where there are streams.
GIVES_WAY = 5
NETWORK_FILE = "model.onnx"
PLAN_FILE = "model.plan"
# Optimization profiles of a plan for frames of several sizes. A step's config serves all of its
# versions, so plans have as many whatever they were compiled for.
PLAN_PROFILES = 4


def ensemble_config(spec: PipelineSpec) -> pb.ModelConfig:
    """Config of ``NAME``: preprocess, network and postprocess, chained by Triton."""
    config = _public_config(spec, spec.names.ensemble)
    config.platform = "ensemble"
    steps = config.ensemble_scheduling.step
    steps.append(step(spec, spec.names.preprocess, [IMAGE], PREPROCESS_OUTPUTS))
    steps.append(step(spec, spec.names.network, [FRAME], [CANDIDATES]))
    steps.append(step(spec, spec.names.postprocess, POSTPROCESS_INPUTS, DETECTIONS))
    return config


def bls_config(spec: PipelineSpec) -> pb.ModelConfig:
    """Config of ``NAME_bls``: the same job without steps."""
    return _decoding(_public_config(spec, spec.names.bls), spec)


def preprocess_config(spec: PipelineSpec) -> pb.ModelConfig:
    """Config of ``NAME_preprocess``: encoded bytes to frames and their geometry."""
    config = step_config(spec, spec.names.preprocess, [IMAGE], PREPROCESS_OUTPUTS)
    return _decoding(config, spec)


def network_config(spec: PipelineSpec) -> pb.ModelConfig:
    """Config of ``NAME_network``: frames to candidates, in the runtime of the settings."""
    config = step_config(spec, spec.names.network, [FRAME], [CANDIDATES])
    if spec.settings.runtime is Runtime.PYTHON:
        ragged(in_python(config), FRAME)
    else:
        # These runtimes check the shapes of the file against the config.
        for value, tensor in ((config.input[0], FRAME), (config.output[0], CANDIDATES)):
            value.dims[:] = spec.dims(tensor)
        if spec.settings.runtime is Runtime.ONNXRUNTIME:
            _in_onnxruntime(config, spec)
        else:
            _in_tensorrt(config, spec)
    return batching(config)


def postprocess_config(spec: PipelineSpec) -> pb.ModelConfig:
    """Config of ``NAME_postprocess``: candidates to boxes in source pixels."""
    config = step_config(spec, spec.names.postprocess, POSTPROCESS_INPUTS, DETECTIONS)
    return batching(in_python(config))


def version_settings(spec: PipelineSpec) -> dict[str, dict[str, str]]:
    """Return what each served model that needs to know anything reads from its version's folder."""
    names, framing = spec.names, framing_of(spec.detector, spec.shape)
    settings = {
        names.preprocess: {
            **frame_settings(spec),
            **network_settings(spec),
            **_share_settings(spec),
        },
        names.postprocess: postprocess_settings(spec),
        names.bls: {
            **frame_settings(spec),
            **postprocess_settings(spec),
            **network_settings(spec),
            **_share_settings(spec),
        },
    }
    if spec.settings.runtime is Runtime.PYTHON:
        settings[names.network] = {
            "precision": spec.settings.precision.value,
            # Of the smallest frame, where frames have many sizes.
            "least_side": str(max(framing.stride or 0, framing.least_side)),
            **_size_settings(spec),
        }
        if spec.settings.stream:
            settings[names.network]["gives_way"] = str(GIVES_WAY)
    return settings


def public_parameters(spec: PipelineSpec) -> dict[str, str]:
    """Return what clients read from the ``parameters`` of the two public models."""
    return {
        PipelineParameter.CONTRACT.value: contract_fingerprint(),
        PipelineParameter.VERSION.value: __version__,
        PipelineParameter.HEAD.value: spec.detector.head.value,
        PipelineParameter.DAMAGED.value: spec.settings.damaged.value,
        PipelineParameter.SHAPE.value: spec.shape.value,
        **_size_settings(spec),
        **_threshold_settings(spec),
    }


def _size_settings(spec: PipelineSpec) -> dict[str, str]:
    return {
        PipelineParameter.INPUT_WIDTH.value: str(spec.detector.width),
        PipelineParameter.INPUT_HEIGHT.value: str(spec.detector.height),
    }


def _threshold_settings(spec: PipelineSpec) -> dict[str, str]:
    settings = spec.settings
    return {
        PipelineParameter.LABELS.value: json.dumps(spec.detector.labels, ensure_ascii=False),
        PipelineParameter.CONF.value: str(settings.conf),
        PipelineParameter.IOU.value: str(settings.iou),
        PipelineParameter.MAX_DET.value: str(settings.max_det),
        PipelineParameter.CLASS_AGNOSTIC.value: str(settings.class_agnostic).lower(),
    }


def postprocess_settings(spec: PipelineSpec) -> dict[str, str]:
    """Return what a model that makes detections of candidates must know."""
    return {**_threshold_settings(spec), "nms": spec.nms_in}


def frame_settings(spec: PipelineSpec) -> dict[str, str]:
    """Return what a model that makes frames must know."""
    return {
        **_size_settings(spec),
        "shape": spec.shape.value,
        "stride": str(spec.detector.stride),
        "least_side": str(spec.detector.least_side or 0),
        "placement": spec.detector.input.placement.value,
        "decoder": spec.settings.decoder.value,
        "damaged": spec.settings.damaged.value,
        "instances": str(spec.settings.instances),
        "decode_threads": str(spec.settings.decode_threads),
        "max_image_bytes": str(spec.settings.max_image_bytes),
        "max_image_pixels": str(spec.settings.max_image_pixels),
    }


def network_settings(spec: PipelineSpec) -> dict[str, str]:
    """Return what a model that calls the network must know."""
    return {
        "network_model": spec.names.network,
        "network_runtime": spec.settings.runtime.value,
        "network_wait_s": str(spec.load_wait_s),
    }


def _share_settings(spec: PipelineSpec) -> dict[str, str]:
    return {"stream_share": f"{spec.settings.stream_share:g}"} if spec.settings.stream else {}


def _public_config(spec: PipelineSpec, name: str) -> pb.ModelConfig:
    return public_model_config(
        spec,
        name,
        PIPELINE_INPUTS,
        PIPELINE_OUTPUTS,
        public_parameters(spec),
        max_batch=spec.max_batch,
    )


def _decoding(config: pb.ModelConfig, spec: PipelineSpec) -> pb.ModelConfig:
    return bounded_batching(in_python(config, spec.settings.instances), spec)


def _in_onnxruntime(config: pb.ModelConfig, spec: PipelineSpec) -> pb.ModelConfig:
    config.platform = "onnxruntime_onnx"
    config.default_model_filename = NETWORK_FILE
    provider = spec.settings.execution_provider
    kinds = {
        ExecutionProvider.AUTO: pb.ModelInstanceGroup.KIND_AUTO,
        ExecutionProvider.CPU: pb.ModelInstanceGroup.KIND_CPU,
    }
    config.instance_group.add(kind=kinds.get(provider, pb.ModelInstanceGroup.KIND_GPU), count=1)
    if provider is ExecutionProvider.TENSORRT:
        accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator.add(
            name="tensorrt"
        )
        modes = {Precision.FP16: "FP16", Precision.INT8: "INT8"}
        accelerator.parameters["precision_mode"] = modes.get(spec.settings.precision, "FP32")
    return config


def _in_tensorrt(config: pb.ModelConfig, spec: PipelineSpec) -> pb.ModelConfig:
    config.platform = "tensorrt_plan"
    config.default_model_filename = PLAN_FILE
    group = config.instance_group.add(kind=pb.ModelInstanceGroup.KIND_GPU, count=1)
    if spec.shape is Shape.RECT:
        # Without a list Triton takes the first only.
        group.profile.extend(str(number) for number in range(PLAN_PROFILES))
    return config
