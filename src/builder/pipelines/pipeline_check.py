"""Whether what a repository holds is whole: configs, network, plan."""

from __future__ import annotations

from pathlib import Path

from tritonclient.grpc import model_config_pb2 as pb

from builder.detectors.onnx_file import load_onnx
from builder.errors import BuilderError, InvalidPipelineError, RepositoryError
from builder.pipelines.config_files import CONFIG_FILE, named_versions, read_config
from builder.pipelines.manifest import Manifest, read_manifest
from builder.pipelines.model_configs import NETWORK_FILE
from builder.pipelines.pipeline_models import all_names, has_streams, models_of
from builder.pipelines.validation import check_fit
from builder.settings import Runtime
from builder.tensorrt.plan import (
    Machine,
    check_plan,
    network_folder,
)
from thin_client.contract import model_names


def checked_names(repository: Path, name: str | None = None) -> tuple[str, ...]:
    """Return the pipelines to check: ``name``, or every one, the damaged ones too.

    Raises:
        RepositoryError: there is no repository, or no pipeline in it.
    """
    if not repository.is_dir():
        raise RepositoryError(f"there is no model repository {repository}: name one")
    found = all_names(repository)
    if not found or (name and name not in found):
        raise RepositoryError(
            f"{repository} has no pipeline{f' {name}' if name else ''}, its pipelines are: "
            f"{', '.join(found) or 'none'} (make one with `framewire build`)"
        )
    return (name,) if name else found


def pipeline_problems(repository: Path, name: str, machine: Machine) -> tuple[str, ...]:
    """Return what is wrong with a pipeline's active version, a sentence each; none if it is whole.

    1. The manifest and the configs can be read and name the same version, and its files are
       there.
    2. The steps fit each other and the network's graph, and that is valid ONNX.
    3. A TensorRT plan is there and fits its graph and ``machine``.

    Args:
        repository: that holds it.
        name: of the pipeline.
        machine: that is to serve it; what is None in it is not compared.
    """
    try:
        manifest = read_manifest(repository, name)
    except BuilderError as error:
        return (str(error),)
    problems = []
    for check in (_check_models, _check_plan):
        try:
            check(repository, manifest, machine)
        except BuilderError as error:
            problems.append(str(error))
    return tuple(problems)


def _check_models(repository: Path, manifest: Manifest, _machine: Machine) -> None:
    names, version = model_names(manifest.name), manifest.version
    configs = {model: read_config(repository / model) for model in _models(repository, manifest)}
    for config in configs.values():
        _check_version(repository, config, version)
    onnx_file = network_folder(repository, manifest.name, version) / NETWORK_FILE
    check_fit(configs, names, load_onnx(onnx_file).graph)


def _models(repository: Path, manifest: Manifest) -> tuple[str, ...]:
    # Both, because either may be what is missing.
    streams = has_streams(repository, manifest.name) or manifest.stream
    return models_of(manifest.name, streams=streams)


def _check_version(repository: Path, config: pb.ModelConfig, version: int) -> None:
    model = repository / config.name
    if version not in named_versions(config):
        raise InvalidPipelineError(
            f"{config.name} serves the versions {list(named_versions(config))}, the pipeline is at "
            f"{version}: build it again with --replace"
        )
    needed = [f"{version}/{CONFIG_FILE}", *(output.label_filename for output in config.output)]
    if config.backend == "python":
        needed.append(f"{version}/model.py")
    missing = [file for file in needed if file and not (model / file).is_file()]
    if missing:
        raise InvalidPipelineError(
            f"{config.name} lacks {', '.join(missing)}: build the pipeline again with --replace"
        )


def _check_plan(repository: Path, manifest: Manifest, machine: Machine) -> None:
    if manifest.runtime is Runtime.TENSORRT:
        check_plan(repository, manifest.name, machine)
