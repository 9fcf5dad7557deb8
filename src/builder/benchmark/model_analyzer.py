"""A search by Triton's Model Analyzer over the embedded server: its config, and what that names.

Option names are those of Model Analyzer's docs/config.md. It finds the best instances, batches and
load by starting a server of its own for each configuration and measuring it with perf_analyzer.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from builder.benchmark.analyzer_programs import write_perf_analyzer, write_server
from builder.benchmark.input_data import write_image_data
from builder.benchmark.perf_analyzer import ANY_SPREAD_PERCENT, WINDOWS, PerfAnalyzer
from builder.benchmark.repositories import link_pipeline
from builder.errors import BenchmarkError, ModelAnalyzerMissingError
from builder.pipelines.manifest import Manifest
from builder.serving.embedded import EmbeddedTriton
from builder.serving.server_options import SHELL_SAFE, ServerOptions
from thin_client.contract import model_names

PROGRAM = "model-analyzer"
CONFIG_FILE = "config.yaml"
RESULTS = "results"
INSTALL = (
    "install it apart with `python3 -m venv build/analyzer && build/analyzer/bin/pip "
    "install triton-model-analyzer` and add --model-analyzer build/analyzer/bin/model-analyzer"
)
# Its numba would find a GPU, and then it wants DCGM; the embedded Triton computes on the CPU.
NO_GPU = {"CUDA_VISIBLE_DEVICES": ""}


@dataclass(frozen=True)
class Search:
    """What to search.

    Attributes:
        manifest: of the pipeline.
        options: its repository, and the ports of the servers that will be started.
        images: JPEGs to send.
        bls: whether its BLS variant, in place of the ensemble.
        p99_ms: the latency constraint, at the 99th percentile.
        max_batch: the largest ``max_batch_size`` of a model.
        max_instances: the most instances of a model.
        max_concurrency: the most requests in flight.
        trials: how many configurations, besides the pipeline's own.
        window_ms: of perf_analyzer, which takes three for a measurement.
    """

    manifest: Manifest
    options: ServerOptions
    images: tuple[Path, ...]
    bls: bool = False
    p99_ms: int = 100
    max_batch: int = 16
    max_instances: int = 2
    max_concurrency: int = 32
    trials: int = 12
    window_ms: int = 1000

    @property
    def model(self) -> str:
        """Triton's name of what is measured."""
        names = model_names(self.manifest.name)
        return names.bls if self.bls else names.ensemble

    @property
    def composing_models(self) -> tuple[str, ...]:
        """The models that it calls."""
        names = model_names(self.manifest.name)
        return (
            (names.network,) if self.bls else (names.preprocess, names.network, names.postprocess)
        )


def write_search(
    search: Search, triton: EmbeddedTriton, analyzer: PerfAnalyzer, folder: Path
) -> Path:
    """Write everything a search needs into ``folder``; return the config.

    What is there from an earlier search is kept, so that Model Analyzer goes on with it as long as
    pipeline, images and settings are the same.

    Args:
        search: what to search.
        triton: the embedded server.
        analyzer: the load generator.
        folder: to write into.

    Raises:
        BenchmarkError: the folder's path has characters that a shell does not take as they are, or
            it cannot be written.
    """
    absolute = folder.resolve()
    if not SHELL_SAFE.fullmatch(str(absolute)):
        raise BenchmarkError(
            f"Model Analyzer and Triton cannot work in {absolute}, whose path they split or "
            "misread: choose a folder of letters, digits, '.', '_' and '-' with --out"
        )
    try:
        config = _lay_out(search, triton, analyzer, absolute)
        (folder / CONFIG_FILE).write_text(yaml.safe_dump(config, sort_keys=False))
    except OSError as error:
        raise BenchmarkError(
            f"cannot write into {folder} ({error.strerror}): choose another folder with --out"
        ) from error
    return folder / CONFIG_FILE


def find_model_analyzer(named: Path | None = None) -> Path:
    """Find Model Analyzer: as named, on PATH, or in this environment.

    Raises:
        ModelAnalyzerMissingError: there is none.
    """
    candidates = [Path(sys.prefix) / "bin" / PROGRAM]
    if on_path := shutil.which(PROGRAM):
        candidates.insert(0, Path(on_path))
    if named is not None:
        candidates = [named]
    for program in candidates:
        if program.is_file() and os.access(program, os.X_OK):
            return program
    where = f"at {named}" if named else "on PATH or in this environment"
    raise ModelAnalyzerMissingError(f"there is no model-analyzer {where}: {INSTALL}")


def profile_command(program: str, config: Path) -> list[str]:
    """Return the command line of a search."""
    return [program, "profile", "-f", str(config)]


def _lay_out(
    search: Search, triton: EmbeddedTriton, analyzer: PerfAnalyzer, folder: Path
) -> dict[str, Any]:
    """Write all but the config, which is returned."""
    repository, backends = folder / "repository", folder / "backends"
    for links in (repository, backends):
        shutil.rmtree(links, ignore_errors=True)
    results = folder / RESULTS
    results.mkdir(parents=True, exist_ok=True)
    link_pipeline(search.options.repository, search.manifest.name, repository)
    triton.make_backend_directory(folder)
    data = folder / "images.json"
    write_image_data([image.read_bytes() for image in search.images], data)
    server = write_server(triton, search.options, repository, backends, folder / "tritonserver")
    config = {
        "model_repository": str(repository),
        **_searched(search, data),
        **_launched(server, search.options, folder),
        "perf_analyzer_path": str(write_perf_analyzer(analyzer, folder / "perf_analyzer")),
        "export_path": str(results),
        "output_model_repository_path": str(folder / "output_model_repository"),
        "override_output_model_repository": True,
    }
    # Model Analyzer takes a measurement from its checkpoint when the models' names and settings and
    # the load are the same, whatever the models and images were.
    identity = repr((search.manifest, config, _configs(repository))).encode() + data.read_bytes()
    checkpoints = folder / "checkpoints" / hashlib.sha256(identity).hexdigest()[:12]
    checkpoints.mkdir(parents=True, exist_ok=True)
    return {**config, "checkpoint_directory": str(checkpoints)}


def _configs(repository: Path) -> list[str]:
    return [file.read_text() for file in sorted(repository.glob("*/config.pbtxt"))]


def _searched(search: Search, data: Path) -> dict[str, Any]:
    """Return what to measure and the bounds of the search.

    Ensembles and BLS models can be searched in the modes quick and optuna. Bounds do not end the
    climb of the quick mode: past them nothing changes, and it may go on until 2**1024 overflows.
    """
    profiled: dict[str, Any] = {
        "objectives": ["perf_throughput"],
        "constraints": {"perf_latency_p99": {"max": search.p99_ms}},
        "perf_analyzer_flags": {
            "input-data": str(data),
            "measurement-mode": "time_windows",
            "measurement-interval": search.window_ms,
            "max-trials": WINDOWS,
            "stability-percentage": ANY_SPREAD_PERCENT,
        },
    }
    calls: dict[str, Any] = {"cpu_only_composing_models": list(search.composing_models)}
    if search.bls:
        profiled["cpu_only"] = True
        calls["bls_composing_models"] = list(search.composing_models)
    return {
        "profile_models": {search.model: profiled},
        **calls,
        "run_config_search_mode": "optuna",
        "optuna_min_trials": search.trials,
        "optuna_max_trials": search.trials,
        "run_config_search_max_model_batch_size": search.max_batch,
        "run_config_search_max_instance_count": search.max_instances,
        "run_config_search_max_concurrency": search.max_concurrency,
    }


def _launched(server: Path, options: ServerOptions, folder: Path) -> dict[str, Any]:
    host = options.local_address
    return {
        "triton_launch_mode": "local",
        "triton_server_path": str(server),
        "triton_output_path": str(folder / "tritonserver.log"),
        "triton_http_endpoint": f"{host}:{options.http_port}",
        "triton_grpc_endpoint": f"{host}:{options.grpc_port}",
        "triton_metrics_url": f"http://{host}:{options.metrics_port}/metrics",
        "client_protocol": "grpc",
    }
