"""Repositories to measure: the pipeline, the same with a stub network, and the usual recipe."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import onnx
from tritonclient.grpc import model_config_pb2 as pb

from builder.errors import BenchmarkError
from builder.pipelines.config_files import CONFIG_FILE, config_text, read_config
from builder.pipelines.manifest import Manifest, pipelines, read_manifest
from builder.pipelines.model_configs import NETWORK_FILE, PLAN_FILE
from builder.pipelines.pipeline_models import models_in
from builder.pipelines.repository import SETTINGS_FILE
from builder.settings import Decoder, Precision, Runtime, Shape
from builder.tuning.parameters import OF_FLOAT32, present_choice
from builder.tuning.retuning import stage_retuned
from thin_client.contract import model_names

BASELINES = Path("benchmarks")
USUAL = "usual"
USUAL_MODELS = (USUAL, "usual_preprocess", "usual_network", "usual_postprocess")
STUB_SETTINGS = "stub.json"
SCENE = "fixed_scene.py"
GPU_SETTINGS = "gpu.json"
# While one copies frames and answers, the other computes.
GPU_PROCESSES = 2


def check_baselines(baselines: Path) -> None:
    """Check that what the pipeline is compared with is there.

    Raises:
        BenchmarkError: it is not.
    """
    if not (baselines / "usual_recipe" / USUAL / CONFIG_FILE).is_file():
        raise BenchmarkError(
            f"there is no usual_recipe in {baselines}, which the pipeline is compared with: run in "
            "the root of a clone, name its folder with --baselines, or add --no-comparison"
        )


def measured_pipeline(repository: Path, name: str | None) -> Manifest:
    """Return what is to be measured: the named pipeline, or the only one of a repository.

    Raises:
        BenchmarkError: there is more than one or none, or the embedded Triton cannot run it.
        RepositoryError: there is none of that name.
    """
    manifest = read_manifest(repository, name or only_pipeline(repository))
    if manifest.runtime is not Runtime.PYTHON:
        raise BenchmarkError(
            f"the embedded Triton cannot run {manifest.name}, whose network is built with "
            f"--runtime {manifest.runtime.value}: build it with --runtime python too, under "
            "another name"
        )
    return manifest


def link_pipeline(repository: Path, name: str, folder: Path) -> Path:
    """Make a repository that holds one pipeline of another, by links; return it."""
    folder.mkdir(parents=True)
    for model in models_in(repository, name):
        (folder / model).symlink_to((repository / model).resolve())
    return folder


def stub_pipeline(
    repository: Path,
    manifest: Manifest,
    baselines: Path,
    folder: Path,
    *,
    delay_ms: float = 0,
    batching: bool = True,
    decoder: Decoder | None = None,
) -> Path:
    """Make a repository that holds a copy of a pipeline whose network computes nothing; return it.

    Args:
        repository: that holds the pipeline.
        manifest: of its active version.
        baselines: the folder ``benchmarks`` of a clone.
        folder: to make.
        delay_ms: how long a run of the network takes, whatever its batch.
        batching: whether the models keep their dynamic batching.
        decoder: in place of the pipeline's own.
    """
    names = model_names(manifest.name)
    for model in models_in(repository, manifest.name):
        shutil.copytree(repository / model, folder / model)
    if decoder is not None:
        for model in (names.preprocess, names.bls):
            file = folder / model / str(manifest.version) / SETTINGS_FILE
            settings = {**json.loads(file.read_text()), "decoder": decoder.value}
            file.write_text(json.dumps(settings))
    _replace_network(folder / names.network, manifest, baselines, delay_ms)
    if not batching:
        for model in models_in(folder, manifest.name):
            config = read_config(folder / model)
            config.ClearField("dynamic_batching")
            _write_config(folder / model, config)
    return folder


def gpu_pipeline(
    repository: Path, manifest: Manifest, baselines: Path, folder: Path, *, device: str
) -> Path:
    """Make a repository that holds a copy of a pipeline whose network torch runs; return it.

    Args:
        repository: that holds the pipeline.
        manifest: of its active version.
        baselines: the folder ``benchmarks`` of a clone.
        folder: to make.
        device: torch's name of where the network runs.
    """
    names = model_names(manifest.name)
    for model in models_in(repository, manifest.name):
        shutil.copytree(repository / model, folder / model)
    # Torch's program is made for one shape.
    _make_frames_whole(folder, manifest)
    _run_in_python(folder / names.network, processes=GPU_PROCESSES)
    version = folder / names.network / str(manifest.version)
    (version / PLAN_FILE).unlink(missing_ok=True)
    for file in (baselines / "gpu_network").glob("*.py"):
        shutil.copy(file, version)
    settings = {
        "device": device,
        "width": manifest.width,
        "height": manifest.height,
        "max_batch": manifest.max_batch,
    }
    (version / GPU_SETTINGS).write_text(json.dumps(settings))
    return folder


def pipeline_in(precision: Precision, repository: Path, manifest: Manifest, folder: Path) -> Path:
    """Make a repository that holds a pipeline whose network computes in another precision.

    Args:
        precision: float32 or bfloat16, which share their network.
        repository: that holds the pipeline.
        manifest: of its active version.
        folder: to make.

    Raises:
        BenchmarkError: the network cannot be brought to it.
    """
    if manifest.precision not in OF_FLOAT32:
        raise BenchmarkError(
            f"{manifest.name} was built in {manifest.precision.value}, so it cannot be measured in "
            f"{precision.value}: build it without --precision"
        )
    return stage_retuned(
        repository, manifest, replace(present_choice(manifest), precision=precision), folder
    )


def whole_frames_pipeline(repository: Path, manifest: Manifest, folder: Path) -> Path:
    """Make a repository that holds a copy of a pipeline with frames of one size; return it.

    As ``build --shape square`` makes it: the network's file says which size.
    """
    for model in models_in(repository, manifest.name):
        shutil.copytree(repository / model, folder / model)
    _make_frames_whole(folder, manifest)
    return folder


def _make_frames_whole(models: Path, manifest: Manifest) -> None:
    names, version = model_names(manifest.name), str(manifest.version)
    for model in (names.preprocess, names.bls, names.decode):
        file = models / model / version / SETTINGS_FILE
        if file.is_file():
            settings = {**json.loads(file.read_text()), "shape": Shape.SQUARE.value}
            file.write_text(json.dumps(settings))
    onnx_file = models / names.network / version / NETWORK_FILE
    network = onnx.load(onnx_file)
    dims = network.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_value, dims[2].dim_value = manifest.height, manifest.width
    onnx.save(network, onnx_file)


def usual_recipe(baselines: Path, folder: Path) -> Path:
    """Make a repository that holds the usual recipe; return it."""
    for model in USUAL_MODELS:
        shutil.copytree(baselines / "usual_recipe" / model, folder / model)
        # Triton wants a version of an ensemble too, and git keeps no empty folder.
        (folder / model / "1").mkdir(exist_ok=True)
    shutil.copy(baselines / SCENE, folder / "usual_network" / "1")
    return folder


def only_pipeline(repository: Path) -> str:
    """Return the name of the one pipeline in a repository.

    Raises:
        BenchmarkError: there is more than one or none.
    """
    found = pipelines(repository)
    if len(found) != 1:
        raise BenchmarkError(
            f"{repository} has {len(found)} pipelines ({', '.join(found) or 'none'}): choose one "
            "with --name, or another --repository"
        )
    return found[0]


def _replace_network(model: Path, manifest: Manifest, baselines: Path, delay_ms: float) -> None:
    _run_in_python(model, processes=1)
    version = model / str(manifest.version)
    for file in (NETWORK_FILE, PLAN_FILE):
        (version / file).unlink(missing_ok=True)
    shutil.copy(baselines / "stub_network" / "model.py", version)
    shutil.copy(baselines / SCENE, version)
    settings = {
        "width": manifest.width,
        "height": manifest.height,
        "classes": manifest.num_classes,
        "rows": manifest.candidates,
        "delay_ms": delay_ms,
    }
    (version / STUB_SETTINGS).write_text(json.dumps(settings))


def _run_in_python(model: Path, *, processes: int) -> None:
    """Have Python run a network, whatever ran it."""
    config = read_config(model)
    config.platform = config.default_model_filename = ""
    config.backend = "python"
    config.ClearField("optimization")
    config.ClearField("instance_group")
    # As far as Triton goes: what a GPU is for is the model's own business.
    config.instance_group.add(kind=pb.ModelInstanceGroup.KIND_CPU, count=processes)
    _write_config(model, config)


def _write_config(model: Path, config: pb.ModelConfig) -> None:
    (model / CONFIG_FILE).write_text(config_text(config))
