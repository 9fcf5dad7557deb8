"""A repository whose plans fit this machine, for a server that is about to start.

A server that starts elsewhere, or after its image or its GPU has changed, finds a plan that is
missing or does not fit. It gets one that does, and versions whose plans do not fit are unloaded.
Where one pipeline's plan cannot be made, the others are served.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.errors import BuilderError, PlanError, TrtexecError
from builder.pipelines.manifest import pipelines, read_manifest
from builder.pipelines.publication import mend_repository
from builder.pipelines.version_changes import prune
from builder.pipelines.versions import loaded_versions
from builder.serving.server_options import ServerOptions, check_repository, served_models
from builder.settings import Runtime
from builder.tensorrt.engine_cache import working_folder
from builder.tensorrt.engine_machine import find_gpus
from builder.tensorrt.engine_options import EngineOptions
from builder.tensorrt.plan import check_plan, misfit, network_folder
from builder.tensorrt.wanted_plan import WantedPlan, wanted_plan

SERVED = "served-"

BuildPlan = Callable[[Path, str, EngineOptions], object]
"""Gives a pipeline of a repository a plan that fits, and says what it does."""


@dataclass(frozen=True)
class FittingPlans:
    """A repository for this machine.

    Attributes:
        repository: to serve.
        left_out: why pipelines in it are not to be served, by their names: theirs is no plan that
            fits, and none could be made.
    """

    repository: Path
    left_out: Mapping[str, str]


@contextmanager
def fitting_plans(
    repository: Path, options: EngineOptions, build_plan: BuildPlan
) -> Iterator[FittingPlans]:
    """Give a repository in which every plan that is to be served fits this machine.

    It is ``repository`` itself where nothing has to be changed, or it can be; else a copy in the
    cache folder, for as long as the context lasts. A pipeline whose plan cannot be made is left
    out, where there are others.

    Args:
        repository: that is to be served.
        options: for plans that have to be made.
        build_plan: makes them.

    Raises:
        BuilderError: no plan can be made here, and nothing else is there to serve.
        RepositoryError: there is nothing to serve.
    """
    check_repository(repository)
    mend_repository(repository)
    failed: dict[str, BuilderError] = {}
    unfit = _unfit(repository, options, failed)
    with ExitStack() as stack:
        served = repository
        if unfit and not _writable(repository, unfit):
            cache = options.cache_folder(repository)
            try:
                served = stack.enter_context(_writable_copy(repository, cache))
            except PlanError as error:
                failed |= dict.fromkeys(unfit, error)
                unfit = []
        for name in unfit:
            try:
                build_plan(served, name, options)
                if _other_unfit_versions(served, name, wanted_plan(served, name, options)):
                    # No server has them loaded that could not go without: this one is yet to start.
                    prune(served, name)
            except BuilderError as error:
                failed[name] = error
        left_out = {name: str(error) for name, error in failed.items()}
        if failed and not served_models(ServerOptions(served, left_out=left_out)):
            raise _nothing_left(list(failed.values()))
        yield FittingPlans(served, left_out)


def _nothing_left(errors: Sequence[BuilderError]) -> BuilderError:
    sentences = dict.fromkeys(map(str, errors))
    return errors[0] if len(sentences) == 1 else PlanError("; ".join(sentences))


def _unfit(repository: Path, options: EngineOptions, failed: dict[str, BuilderError]) -> list[str]:
    """Return the pipelines that need a plan; those that cannot have one here go to ``failed``."""
    unfit = []
    for name in pipelines(repository):
        try:
            runtime = read_manifest(repository, name).runtime
        except BuilderError:
            continue  # the server says what is wrong with it, and goes without
        try:
            if runtime is Runtime.TENSORRT and _is_unfit(repository, name, options):
                unfit.append(name)
        except BuilderError as error:
            failed[name] = error
    return unfit


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
