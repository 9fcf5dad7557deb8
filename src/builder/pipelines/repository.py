"""Assembling and checking the model folders of a pipeline."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace as with_fields
from importlib import resources
from pathlib import Path

import onnx

from builder.detectors.detector import Detector, read_detector
from builder.errors import PipelineExistsError, SettingsError
from builder.network_graph import network_graph
from builder.pipelines.config_files import CONFIG_FILE, config_text
from builder.pipelines.config_parts import LABELS_FILE
from builder.pipelines.manifest import write_manifest
from builder.pipelines.model_configs import NETWORK_FILE
from builder.pipelines.new_manifest import manifest_of
from builder.pipelines.pipeline_configs import pipeline_configs, pipeline_settings
from builder.pipelines.pipeline_models import Streams, has_streams, public_models
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.pipelines.publication import publishing, unwritable
from builder.pipelines.validation import validate_pipeline
from builder.pipelines.version_changes import KEPT_OLD_VERSIONS, check_keep, publish_version
from builder.pipelines.versions import is_whole, next_version
from builder.settings import BuildSettings, Precision, Runtime
from builder.trial.network_trial import try_network

# Beside the code of a version, where served models look for it.
SETTINGS_FILE = "settings.json"

# A file where Python would make a folder for its bytecode. A Triton in poll mode would take that
# folder for a change and load every new version twice. No setting reaches the model's process, in
# which Python ignores its environment.
NO_BYTECODE = "__pycache__"

# Which files of served_models/ each model needs beside its own model.py.
SHARED_FILES = ("shared/triton_requests.py",)
DECODE_FILES = (
    "shared/cores.py",
    "shared/later.py",
    "shared/metrics.py",
    "shared/request_parameters.py",
    "preprocess/decode.py",
    "preprocess/exif.py",
    "preprocess/formats.py",
    "preprocess/frames.py",
    "preprocess/jpeg.py",
    "preprocess/jpeg_pixels.py",
    "preprocess/jpeg_scans.py",
    "preprocess/letterbox.py",
    "preprocess/pillow.py",
    "preprocess/plain_jpeg.py",
    "preprocess/png.py",
    "preprocess/unreadable.py",
)
PREPROCESS_FILES = (
    *DECODE_FILES,
    "preprocess/frame_batch.py",
    "preprocess/frame_loader.py",
    "preprocess/image_batch.py",
    "preprocess/image_counts.py",
)
POSTPROCESS_FILES = (
    "shared/metrics.py",
    "shared/request_parameters.py",
    "postprocess/detection_counts.py",
    "postprocess/detections.py",
    "postprocess/nms.py",
    "postprocess/request_thresholds.py",
)
PIPELINE_FILES = (
    "shared/network_calls.py",
    "shared/network_share.py",
    *PREPROCESS_FILES,
    *POSTPROCESS_FILES,
)
NETWORK_FILES = (
    "shared/cores.py",
    "shared/freed_memory.py",
    "network/compilation.py",
    "network/frame_runs.py",
    "network/runtime.py",
    "network/wanted_compilations.py",
)
HAND_OVER_FILES = (
    "shared/ticket_memory.py",
    "shared/network_calls.py",
    "shared/network_share.py",
    "preprocess/frame_tickets.py",
)
RETURN_FILES = ("shared/ticket_memory.py", "postprocess/returned_tickets.py")
DETECT_FILES = (
    *POSTPROCESS_FILES,
    *RETURN_FILES,
    "shared/network_calls.py",
    "shared/network_share.py",
    "shared/stream_frames.py",
    "detect/assignment.py",
    "detect/byte_track.py",
    "detect/detect_counts.py",
    "detect/frame_steps.py",
    "detect/kalman.py",
    "detect/look_scheduler.py",
    "detect/stream_answers.py",
)
STREAM_FILES = (
    *HAND_OVER_FILES,
    "shared/stream_frames.py",
    *DECODE_FILES,
    "shared/freed_memory.py",
    "stream/bits.py",
    "stream/decoder_log.py",
    "stream/frame_queue.py",
    "stream/h264_numbers.py",
    "stream/h264_order.py",
    "stream/h264_pictures.py",
    "stream/h264_references.py",
    "stream/h264_sets.py",
    "stream/h264_slices.py",
    "stream/h264_usability.py",
    "stream/h265_pictures.py",
    "stream/h265_sets.py",
    "stream/known_sets.py",
    "stream/looks.py",
    "stream/nal_units.py",
    "stream/open_streams.py",
    "stream/orientation.py",
    "stream/packet_counts.py",
    "stream/packet_tensors.py",
    "stream/packets.py",
    "stream/parameter_sets.py",
    "stream/picture_decoder.py",
    "stream/pictures.py",
    "stream/recovery_points.py",
    "stream/refusals.py",
    "stream/reorder.py",
    "stream/stream.py",
    "stream/video_decoder.py",
)


def build_pipeline(
    model_file: Path,
    repository: Path,
    settings: BuildSettings,
    *,
    detector: Detector | None = None,
    source: Path | None = None,
    replace: bool = False,
    keep: int = KEPT_OLD_VERSIONS,
    quantize: Callable[[onnx.ModelProto, PipelineSpec], onnx.ModelProto] | None = None,
    approve: Callable[[Path, PipelineSpec], None] | None = None,
) -> PipelineSpec:
    """Build the models of a pipeline from an ONNX detector and publish them.

    Over a pipeline that is there already they become its next version. The network is loaded and
    run once before anything is written.

    Args:
        model_file: the detector.
        repository: a Triton model repository; made if it is not there. Other models in it stay as
            they are.
        settings: of the pipeline.
        detector: the file as it was read, when it was read with options.
        source: what the manifest names as the pipeline's origin, when the file was exported.
        replace: whether to begin anew with version 1, in place of whatever has these models' names
            and of all its versions; they are kept until every new one is in place.
        keep: old versions to keep.
        quantize: called with the network in float32 where the settings want int8, and with what is
            built; returns it in int8, see :mod:`builder.precision.calibration`.
        approve: called with the finished models, laid out as a repository that can be served, and
            with what they are; raises to refuse them.

    Returns:
        What was built.

    Raises:
        BuilderError: nothing in ``repository`` has changed then.
    """
    check_keep(keep)
    detector = detector or read_detector(model_file)
    if detector.precision is Precision.FP16:
        # What was rounded away does not come back.
        _refuse_rounded(settings, source or model_file)
        settings = with_fields(settings, precision=Precision.FP16)
    spec = PipelineSpec(settings.with_defaults(detector.defaults), detector)
    network = network_graph(spec.detector, spec.settings)
    if spec.settings.precision is Precision.INT8:
        if quantize is None:
            raise SettingsError(
                "--precision int8 is calibrated with images like those that are to be served: name "
                "them with --calibrate IMAGES"
            )
        network = quantize(network, spec)
    name = (source or model_file).name
    trial = try_network(network, spec.detector, spec.settings, name=name)
    spec = with_fields(spec, trial=trial)
    try:
        repository.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(repository, error) from error
    with publishing(repository) as publication:
        adds_version = not replace and is_whole(repository, settings.name)
        if adds_version:
            _check_same_streams(repository, spec)
            spec = with_fields(spec, version=next_version(repository, settings.name))
        elif not replace:
            _refuse_overwriting(repository, spec.models)
        write_pipeline(publication.models, spec, network)
        ensemble = publication.models / spec.names.ensemble
        write_manifest(ensemble / str(spec.version), manifest_of(spec, source or model_file))
        validate_pipeline(publication.models, spec)
        if approve is not None:
            approve(publication.models, spec)
        if adds_version:
            publish_version(publication, settings.name, spec.version, keep=keep)
        else:
            # A server that looks in between must not find an ensemble without its steps.
            superfluous = () if settings.stream else spec.names.streaming
            publication.publish_folders(tuple(reversed(spec.models)), instead_of=superfluous)
    return spec


def write_pipeline(folder: Path, spec: PipelineSpec, network: onnx.ModelProto) -> None:
    """Write the folders of all models into ``folder``."""
    version, names = str(spec.version), spec.names
    for name, config in pipeline_configs(spec).items():
        (folder / name / version).mkdir(parents=True)
        # The copy in the version's folder is for going back to it.
        for place in (folder / name, folder / name / version):
            (place / CONFIG_FILE).write_text(config_text(config))
    for name in public_models(spec.settings.name, streams=spec.settings.stream):
        labels = "\n".join(spec.detector.labels) + "\n"
        (folder / name / version / LABELS_FILE).write_text(labels)
    for name, settings in pipeline_settings(spec).items():
        text = json.dumps(settings, indent=1, ensure_ascii=False)
        (folder / name / version / SETTINGS_FILE).write_text(text + "\n")
    _copy_served(
        folder / names.preprocess / version,
        "preprocess/model.py",
        *PREPROCESS_FILES,
        *HAND_OVER_FILES,
    )
    if spec.settings.runtime is Runtime.PYTHON:
        _copy_served(folder / names.network / version, "network/model.py", *NETWORK_FILES)
    _copy_served(
        folder / names.postprocess / version,
        "postprocess/model.py",
        *POSTPROCESS_FILES,
        *RETURN_FILES,
    )
    _copy_served(folder / names.bls / version, "pipeline/model.py", *PIPELINE_FILES)
    if spec.settings.stream:
        _copy_served(folder / names.decode / version, "stream/model.py", *STREAM_FILES)
        _copy_served(folder / names.detect / version, "detect/model.py", *DETECT_FILES)
    onnx.save(network, folder / names.network / version / NETWORK_FILE)


def _copy_served(target: Path, *files: str) -> None:
    served = resources.files("builder") / "served_models"
    for file in (*SHARED_FILES, *files):
        source = served.joinpath(*file.split("/"))
        (target / Path(file).name).write_bytes(source.read_bytes())
    contract = resources.files("thin_client") / "contract.py"
    (target / "contract.py").write_bytes(contract.read_bytes())
    (target / NO_BYTECODE).touch()


def _refuse_rounded(settings: BuildSettings, source: Path) -> None:
    if settings.precision not in {Precision.FP32, Precision.FP16}:
        raise SettingsError(
            f"{source.name} has float16 weights, and --precision {settings.precision.value} begins "
            "with those in float32: export it again without half=True, or leave --precision out"
        )


def _check_same_streams(repository: Path, spec: PipelineSpec) -> None:
    name = spec.settings.name
    there = has_streams(repository, name)
    wanted = Streams.DETECT if spec.settings.stream else Streams.NONE
    if there == wanted:
        return
    if there and wanted:
        raise SettingsError(
            f"the streams of {name} in {repository} were built before they had a detect step, and "
            "all versions of a pipeline have the same steps: begin anew with --replace"
        )
    had, way_out = (
        ("without --stream", "leave it out")
        if spec.settings.stream
        else ("with --stream", "add it")
    )
    raise SettingsError(
        f"{name} in {repository} was built {had}, which all versions of a pipeline share: "
        f"{way_out}, or begin anew with --replace"
    )


def _refuse_overwriting(repository: Path, models: tuple[str, ...]) -> None:
    taken = [name for name in models if os.path.lexists(repository / name)]
    if taken:
        raise PipelineExistsError(
            f"{repository} already holds {', '.join(taken)}, which is no whole pipeline of this "
            "builder: choose another --name, or add --replace to replace them"
        )
