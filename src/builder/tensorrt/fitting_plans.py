"""A repository whose plans fit this machine, for a server that is about to start.

A server that starts elsewhere, or after its image or its GPU has changed, finds a plan that is
missing or does not fit. It gets one that does, and versions whose plans do not fit are unloaded.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from builder.errors import PlanError, TrtexecError
from builder.pipelines.manifest import pipelines, read_manifest
from builder.pipelines.publication import mend_repository
from builder.pipelines.version_changes import prune
from builder.pipelines.versions import loaded_versions
from builder.serving.server_options import check_repository
from builder.settings import Runtime
from builder.tensorrt.engine_cache import working_folder
from builder.tensorrt.engine_machine import find_gpus
from builder.tensorrt.engine_options import EngineOptions
from builder.tensorrt.plan import check_plan, misfit, network_folder
from builder.tensorrt.wanted_plan import WantedPlan, wanted_plan

SERVED = "served-"

BuildPlan = Callable[[Path, str, EngineOptions], object]
"""Gives a pipeline of a repository a plan that fits, and says what it does."""


@contextmanager
def fitting_plans(
    repository: Path, options: EngineOptions, build_plan: BuildPlan
) -> Iterator[Path]:
    """Give a repository in which every plan fits this machine.

    It is ``repository`` itself where nothing has to be changed, or it can be; else a copy in the
    cache folder, for as long as the context lasts.

    Args:
        repository: that is to be served.
        options: for plans that have to be made.
        build_plan: makes them.

    Raises:
        PlanError: a plan cannot be made here.
        RepositoryError: there is nothing to serve, or something is broken.
    """
    check_repository(repository)
    mend_repository(repository)
    names = [
        name
        for name in pipelines(repository)
        if read_manifest(repository, name).runtime is Runtime.TENSORRT
    ]
    unfit = [name for name in names if _is_unfit(repository, name, options)]
    if not unfit:
        yield repository
        return
    with ExitStack() as stack:
        if not _writable(repository, unfit):
            cache = options.cache_folder(repository)
            repository = stack.enter_context(_writable_copy(repository, cache))
        for name in unfit:
            build_plan(repository, name, options)
            if _other_unfit_versions(repository, name, wanted_plan(repository, name, options)):
                # No server has them loaded that could not go without: this one is yet to start.
                prune(repository, name)
        yield repository


def _is_unfit(repository: Path, name: str, options: EngineOptions) -> bool:
    try:
        wanted = wanted_plan(repository, name, options)
        gpus = find_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    except TrtexecError as error:
        raise PlanError(
            f"{name} needs TensorRT and a GPU ({error}); without them, serve a pipeline built with "
            "`--runtime onnxruntime` or `--runtime python`"
        ) from error
    if len({capability for _, capability in gpus}) > 1:
        # Triton loads the plan on every GPU that it sees.
        found = ", ".join(f"{gpu} ({capability})" for gpu, capability in gpus)
        raise PlanError(
            f"{name} would need a plan for each kind of GPU here, found {found}: give each "
            "container GPUs of one kind, as with `docker run --gpus device=0`"
        )
    try:
        # With whatever options it was compiled: `framewire engine` knows more of them.
        check_plan(repository, name, wanted.machine)
    except PlanError:
        return True
    return bool(_other_unfit_versions(repository, name, wanted))


def _other_unfit_versions(repository: Path, name: str, wanted: WantedPlan) -> list[int]:
    """Return the versions beside the active one that Triton would load and this machine cannot."""
    return [
        version
        for version in loaded_versions(repository, name)
        if version != wanted.manifest.version
        and misfit(network_folder(repository, name, version), wanted.machine)
    ]


def _writable(repository: Path, names: list[str]) -> bool:
    folders = [repository]
    for name in names:
        version = read_manifest(repository, name).version
        folders += [repository / name, network_folder(repository, name, version)]
    return all(_accepts_files(folder) for folder in folders)


def _accepts_files(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK)


@contextmanager
def _writable_copy(repository: Path, cache: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            copy = stack.enter_context(working_folder(cache, SERVED)) / "repository"
            shutil.copytree(repository, copy)
            for folder in (copy, *filter(Path.is_dir, copy.rglob("*"))):
                folder.chmod(0o700)  # a folder that was read-only is so as a copy too
        except OSError as error:
            raise PlanError(
                f"{repository} cannot be written and not be copied to {cache} "
                f"({error.strerror or error}), and its plan has to be made here: name a folder "
                "with --cache, writable and with room for the repository and the plan"
            ) from error
        yield copy
