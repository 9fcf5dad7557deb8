"""What a pipeline says about itself, read from its config and checked against the contract."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import thin_client
from thin_client.contract import (
    DETECT_FPS,
    LOOK_OUTPUTS,
    PIPELINE_INPUTS,
    STREAM_OPTIONS,
    TRACK_PARAMETERS,
    PipelineParameter,
    contract_fingerprint,
    model_names,
)
from thin_client.errors import (
    AmbiguousPipeline,
    ContractMismatch,
    FramewireError,
    NotAPipeline,
    PipelineNotFound,
    PipelineNotReady,
)

__all__ = [
    "Pipeline",
    "described",
    "explain_missing",
    "pipeline_from_config",
    "the_only_pipeline",
]


@dataclass(frozen=True)
class Pipeline:
    """A pipeline as its server describes it.

    Attributes:
        model: Triton's name of the model that is called, NAME or NAME_bls.
        labels: class names in class order.
        input_width: of the network's input, pixels.
        input_height: likewise.
        head: family of the detector.
        conf: default score threshold.
        iou: default NMS threshold.
        max_det: rows of the output tensors: the most detections per image.
        class_agnostic: whether NMS ignores classes by default.
        max_batch_size: most images per request; larger batches are split.
        builder_version: version of Framewire that made the pipeline.
        version: of the pipeline, Triton's number as answers bear it; empty where its config names
            none, or several.
        turns: whether its streams' frames are turned as STREAM_OPTIONS say; those of pipelines that
            were built before are not.
        looks: whether its streams may say how many frames a second the network looks at.
        tracks: whether they are tracked, and may say how.
        look_outputs: of LOOK_OUTPUTS the names of those that it has.
    """

    model: str
    labels: tuple[str, ...]
    input_width: int
    input_height: int
    head: str
    conf: float
    iou: float
    max_det: int
    class_agnostic: bool
    max_batch_size: int
    builder_version: str
    version: str = ""
    turns: bool = False
    looks: bool = False
    tracks: bool = False
    look_outputs: tuple[str, ...] = ()

    def label(self, class_index: int) -> str:
        """Return the class's name, or its number when the pipeline has no name for it."""
        if 0 <= class_index < len(self.labels):
            return self.labels[class_index]
        return str(class_index)


def pipeline_from_config(config: Any) -> Pipeline:
    """Return the pipeline that a ``ModelConfig`` message describes.

    Raises:
        NotAPipeline: the model was not built by Framewire, or is a pipeline's inner step.
        ContractMismatch: it speaks another contract, or its config is incomplete.
    """
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    inputs = {tensor.name for tensor in config.input}
    if PipelineParameter.CONTRACT.value not in parameters:
        raise NotAPipeline(
            f"the model {config.name!r} is not a Framewire pipeline: its config has no"
            f" {PipelineParameter.CONTRACT.value}; name a model that 'framewire build' made"
        )
    if inputs != {tensor.name for tensor in PIPELINE_INPUTS}:
        raise NotAPipeline(
            f"the model {config.name!r} is not a Framewire pipeline: it takes"
            f" {', '.join(sorted(inputs)) or 'nothing'} and not an image; name the whole pipeline"
        )
    _check_fingerprint(config.name, parameters)
    if config.max_batch_size < 1:
        raise ContractMismatch(
            f"the pipeline {config.name!r} does not batch (max_batch_size {config.max_batch_size},"
            " expected at least 1); rebuild it with 'framewire build'"
        )
    return described(config)


def described(config: Any) -> Pipeline:
    """Return what the config of any public model of a pipeline says.

    Raises:
        ContractMismatch: it is incomplete.
    """
    parameters = {key: value.string_value for key, value in config.parameters.items()}
    outputs = {tensor.name for tensor in config.output}
    try:
        pipeline = Pipeline(
            model=config.name,
            labels=_labels(parameters[PipelineParameter.LABELS.value]),
            input_width=int(parameters[PipelineParameter.INPUT_WIDTH.value]),
            input_height=int(parameters[PipelineParameter.INPUT_HEIGHT.value]),
            head=parameters[PipelineParameter.HEAD.value],
            conf=float(parameters[PipelineParameter.CONF.value]),
            iou=float(parameters[PipelineParameter.IOU.value]),
            max_det=int(parameters[PipelineParameter.MAX_DET.value]),
            class_agnostic=parameters[PipelineParameter.CLASS_AGNOSTIC.value] == "true",
            max_batch_size=config.max_batch_size,
            builder_version=parameters[PipelineParameter.VERSION.value],
            version=_version(config),
            turns=_obeys(parameters, STREAM_OPTIONS),
            looks=_obeys(parameters, (DETECT_FPS,)),
            tracks=_obeys(parameters, TRACK_PARAMETERS),
            look_outputs=tuple(each.name for each in LOOK_OUTPUTS if each.name in outputs),
        )
        _check_numbers(pipeline)
        return pipeline
    except KeyError as error:
        problem = f"has no parameter {error.args[0]}"
    except ValueError as error:
        problem = f"has a parameter that cannot be read ({error})"
    raise ContractMismatch(
        f"the config of the pipeline {config.name!r} {problem}; rebuild it with 'framewire build'"
    )


def the_only_pipeline(models: Sequence[Any], url: str) -> str:
    """Return the name of the server's pipeline when it has exactly one.

    Args:
        models: of a ``RepositoryIndexResponse``.
        url: the server's address, for the sentences.

    Raises:
        PipelineNotFound: it has none.
        PipelineNotReady: it has one that is not loaded.
        AmbiguousPipeline: it has several.
    """
    pipelines = _pipelines(models)
    if not pipelines:
        served = ", ".join(sorted({model.name for model in models})) or "no models at all"
        raise PipelineNotFound(
            f"the server at {url} serves no Framewire pipeline, only: {served};"
            " build one with 'framewire build'"
        )
    if len(pipelines) > 1:
        raise AmbiguousPipeline(
            f"the server at {url} serves several pipelines: {', '.join(pipelines)};"
            " name one (model, --model)"
        )
    (name,) = pipelines
    entry = _entry(name, models)
    if entry.state != "READY":
        raise _not_ready(entry, url)
    return name


def explain_missing(model: str, models: Sequence[Any], url: str) -> FramewireError:
    """Return why ``model`` was not found: it is not loaded, or the server has only others.

    Args:
        model: the name that was asked for.
        models: of a ``RepositoryIndexResponse``.
        url: the server's address, for the sentences.
    """
    if any(entry.name == model for entry in models):
        return _not_ready(_entry(model, models), url)
    pipelines = ", ".join(_pipelines(models)) or "none"
    return PipelineNotFound(
        f"the server at {url} has no pipeline {model!r}; its pipelines: {pipelines}"
        " (model, --model)"
    )


def _pipelines(models: Iterable[Any]) -> list[str]:
    """Return the names whose inner models stand beside them, loaded or not, sorted."""
    names = {model.name for model in models}
    found = []
    for name in names:
        parts = model_names(name)
        if names.issuperset({parts.preprocess, parts.network, parts.postprocess}):
            found.append(name)
    return sorted(found)


def _entry(model: str, models: Iterable[Any]) -> Any:
    """Return the entry of the repository index that says most about a model.

    There is one for each version that the server has met, the unloaded ones too, so that after a
    change or a rollback several bear a name. One version that is ready is enough; where none is,
    that one is told of which is being loaded, else one that failed, else the newest.
    """

    def says(entry: Any) -> tuple[bool, bool, bool, int]:
        failed = entry.reason not in {"", "unloaded"}
        number = int(entry.version) if entry.version.isdecimal() else 0
        return entry.state == "READY", entry.state == "LOADING", failed, number

    return max((entry for entry in models if entry.name == model), key=says)


def _not_ready(entry: Any, url: str) -> PipelineNotReady:
    # The reason may go on with a traceback.
    why = entry.reason.splitlines()[0] if entry.reason else entry.state.lower() or "not loaded"
    return PipelineNotReady(
        f"the pipeline {entry.name!r} at {url} is not ready ({why}); the server's log says more"
    )


def _check_fingerprint(model: str, parameters: dict[str, str]) -> None:
    theirs, ours = parameters[PipelineParameter.CONTRACT.value], contract_fingerprint()
    if theirs != ours:
        builder = parameters.get(PipelineParameter.VERSION.value, "unknown")
        raise ContractMismatch(
            f"the pipeline {model!r} was built by framewire {builder} and speaks contract {theirs},"
            f" framewire-client {thin_client.__version__} speaks {ours}; install the client of the"
            " pipeline's version, or rebuild the pipeline"
        )


def _version(config: Any) -> str:
    """Return the one version that a config names; '' where it leaves that to Triton."""
    versions = config.version_policy.specific.versions
    return str(versions[0]) if len(versions) == 1 else ""


def _obeys(parameters: Mapping[str, str], options: Iterable[str]) -> bool:
    known = parameters.get(PipelineParameter.STREAM_OPTIONS.value, "").split(",")
    return set(options) <= set(known)


def _check_numbers(pipeline: Pipeline) -> None:
    if min(pipeline.input_width, pipeline.input_height, pipeline.max_det) < 1:
        raise ValueError("a size or max_det is less than 1")
    if not (math.isfinite(pipeline.conf) and math.isfinite(pipeline.iou)):
        raise ValueError("a threshold is no number")


def _labels(text: str) -> tuple[str, ...]:
    try:
        labels = json.loads(text)
    except RecursionError as error:
        raise ValueError("labels is nested too deeply") from error
    if not isinstance(labels, list):
        raise ValueError("labels is not a JSON array")
    return tuple(str(label) for label in labels)
