"""Assembling and checking the model folders of a pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path

import onnx
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as pb

from builder.errors import InvalidPipelineError, PipelineExistsError, RepositoryError
from builder.heads import read_detector
from builder.model_configs import (
    LABELS_FILE,
    OPEN,
    PipelineSpec,
    pipeline_configs,
    version_settings,
)
from builder.network_graph import network_graph
from builder.publication import publishing
from builder.settings import BuildSettings

# Beside the code of a version, where served models look for it.
SETTINGS_FILE = "settings.json"

# Which files of served_models/ each model needs beside its own model.py.
SHARED_FILES = ("shared/triton_requests.py",)
PREPROCESS_FILES = (
    "shared/cores.py",
    "preprocess/decode.py",
    "preprocess/frame_loader.py",
    "preprocess/frames.py",
    "preprocess/jpeg.py",
    "preprocess/letterbox.py",
)
POSTPROCESS_FILES = (
    "postprocess/detections.py",
    "postprocess/nms.py",
    "postprocess/request_thresholds.py",
)
NETWORK_FILES = ("shared/cores.py", "network/runtime.py")


def build_pipeline(
    model_file: Path, repository: Path, settings: BuildSettings, *, replace: bool = False
) -> PipelineSpec:
    """Build the five models of a pipeline from an ONNX detector and publish them.

    Args:
        model_file: an ultralytics YOLOv8 or YOLO11 export.
        repository: a Triton model repository; made if it is not there. Other models in it stay as
            they are.
        settings: of the pipeline.
        replace: whether models of the same names may be replaced; they are kept until every new one
            is in place.

    Returns:
        What was built.

    Raises:
        BuilderError: nothing in ``repository`` has changed then.
    """
    detector = read_detector(model_file)
    spec = PipelineSpec(settings.with_defaults(detector.defaults), detector)
    network = network_graph(spec.detector, settings.candidates)
    try:
        if repository.exists() and not repository.is_dir():
            raise RepositoryError(f"{repository} is a file, not a model repository: name a folder")
        repository.mkdir(parents=True, exist_ok=True)
        with publishing(repository) as publication:
            _refuse_overwriting(repository, spec, replace=replace)
            write_pipeline(publication.models, spec, network)
            validate_pipeline(publication.models, spec)
            publication.publish(spec.names.all)
    except OSError as error:
        raise RepositoryError(
            f"cannot write the model repository {repository} ({error.strerror or error}): check "
            "that the folder is writable and its disk has room"
        ) from error
    return spec


def write_pipeline(folder: Path, spec: PipelineSpec, network: onnx.ModelProto) -> None:
    """Write the folders of all five models into ``folder``."""
    version, names = str(spec.version), spec.names
    for name, config in pipeline_configs(spec).items():
        (folder / name / version).mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(text_format.MessageToString(config))
    for name in (names.ensemble, names.bls):
        labels = "\n".join(spec.detector.labels) + "\n"
        (folder / name / version / LABELS_FILE).write_text(labels)
    for name, settings in version_settings(spec).items():
        text = json.dumps(settings, indent=1, ensure_ascii=False)
        (folder / name / version / SETTINGS_FILE).write_text(text + "\n")
    _copy_served(folder / names.preprocess / version, "preprocess/model.py", *PREPROCESS_FILES)
    _copy_served(folder / names.network / version, "network/model.py", *NETWORK_FILES)
    _copy_served(folder / names.postprocess / version, "postprocess/model.py", *POSTPROCESS_FILES)
    _copy_served(
        folder / names.bls / version, "pipeline/model.py", *PREPROCESS_FILES, *POSTPROCESS_FILES
    )
    onnx.save(network, folder / names.network / version / "model.onnx")


def _copy_served(target: Path, *files: str) -> None:
    served = resources.files("builder") / "served_models"
    for file in (*SHARED_FILES, *files):
        source = served.joinpath(*file.split("/"))
        (target / Path(file).name).write_bytes(source.read_bytes())
    contract = resources.files("thin_client") / "contract.py"
    (target / "contract.py").write_bytes(contract.read_bytes())


def validate_pipeline(folder: Path, spec: PipelineSpec) -> None:
    """Read a written pipeline back and check that its parts fit each other.

    1. Every config parses and says what was meant.
    2. Every tensor of an ensemble step exists in the step's model, and every one that two models
       share has the same type and dims in both.
    3. The network's ONNX file takes and returns what its config promises.

    Raises:
        InvalidPipelineError: the first contradiction found.
    """
    configs = {name: read_config(folder / name) for name in spec.names.all}
    for name, expected in pipeline_configs(spec).items():
        if configs[name] != expected:
            raise InvalidPipelineError(f"the config of {name} does not survive being written")
    _check_steps(configs, spec.names.ensemble)
    network = configs[spec.names.network]
    graph = onnx.load(folder / network.name / str(spec.version) / "model.onnx").graph
    _check_graph_values(network.name, network.input, graph.input)
    _check_graph_values(network.name, network.output, graph.output)


def read_config(model_folder: Path) -> pb.ModelConfig:
    """Parse the config.pbtxt of a model.

    Raises:
        InvalidPipelineError: there is none, or it is not a ModelConfig.
    """
    try:
        text = (model_folder / "config.pbtxt").read_text()
        return text_format.Parse(text, pb.ModelConfig())
    except (OSError, text_format.ParseError) as error:
        raise InvalidPipelineError(
            f"{model_folder.name} has no valid config.pbtxt ({error})"
        ) from error


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


def _refuse_overwriting(repository: Path, spec: PipelineSpec, *, replace: bool) -> None:
    taken = [name for name in spec.names.all if (repository / name).exists()]
    if taken and not replace:
        raise PipelineExistsError(
            f"{repository} already holds {', '.join(taken)}: choose another --name, or add "
            "--replace to replace them"
        )
