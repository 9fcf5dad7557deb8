"""What ``framewire bench`` measures with, from its options, checked before anything takes time."""

from __future__ import annotations

import argparse
import importlib.util
import os
from dataclasses import fields
from pathlib import Path

from builder.benchmark.comparison import Measuring, Setup, Ultralytics
from builder.benchmark.frames import jpeg_files
from builder.benchmark.perf_analyzer import find_perf_analyzer
from builder.benchmark.repositories import check_baselines, only_pipeline
from builder.commands.options import tell
from builder.errors import BenchmarkError
from builder.pipelines.manifest import Manifest, read_manifest
from builder.settings import Runtime


def measuring_of(arguments: argparse.Namespace) -> Measuring:
    """Return what every measurement needs, and make the folder for the results.

    Raises:
        BenchmarkError: there is no perf_analyzer, no image or no such folder.
    """
    analyzer = find_perf_analyzer(arguments.perf_analyzer)
    images = jpeg_files(arguments.images)
    try:
        arguments.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(
            f"cannot write into {arguments.out} ({error.strerror}): choose another folder with "
            "--out"
        ) from error
    return Measuring(
        analyzer=analyzer,
        images=images,
        out=arguments.out,
        rounds=arguments.rounds,
        window_ms=arguments.window_ms,
        progress=tell,
    )


def setup_of(arguments: argparse.Namespace) -> Setup:
    """Return what is needed to measure a pipeline of a repository.

    Raises:
        BuilderError: something that was asked for cannot be done with it, or here.
    """
    repository: Path = arguments.repository
    on_cpu = not (arguments.no_sweep and arguments.no_comparison) or arguments.soak
    if not arguments.no_comparison or arguments.soak or arguments.gpu:
        check_baselines(arguments.baselines)
    manifest = read_manifest(repository, arguments.name or only_pipeline(repository))
    if on_cpu:
        _check_runtime(manifest)
    if arguments.gpu:
        _check_torch()
    measuring = measuring_of(arguments)
    return Setup(
        **{each.name: getattr(measuring, each.name) for each in fields(measuring)},
        repository=repository,
        manifest=manifest,
        baselines=arguments.baselines,
        cores=len(os.sched_getaffinity(0)),
        ultralytics=_ultralytics(arguments.ultralytics) if arguments.ultralytics else None,
        labelled=arguments.labelled,
    )


def _ultralytics(given: list[Path]) -> Ultralytics:
    python, *models = given
    if not models:
        raise BenchmarkError(
            "--ultralytics needs the detector's file too, as in `--ultralytics PYTHON yolo11n.pt`"
        )
    if missing := [file for file in models if not file.is_file()]:
        raise BenchmarkError(f"there is no model {missing[0]}: check --ultralytics")
    return Ultralytics(python, tuple(models))


def _check_runtime(manifest: Manifest) -> None:
    if manifest.runtime is not Runtime.PYTHON:
        raise BenchmarkError(
            f"the embedded Triton cannot run {manifest.name}, whose network is built with "
            f"--runtime {manifest.runtime.value}: serve it in NVIDIA's container and name "
            "that with --url, or build it with --runtime python too, under another name"
        )


def _check_torch() -> None:
    missing = [name for name in ("torch", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        raise BenchmarkError(
            f"this Python has no {' and no '.join(missing)}, which run the network on the GPU "
            f"here: pip install {' '.join(missing)}, or name a server that runs already with --url"
        )
