"""Compiling the networks of pipelines to TensorRT plans, on the GPU that serves them.

trtexec works in a cache folder, for minutes, while the repository is free for others. What it made
is then put in place at once: into the active version when that has no plan yet, else as a new
version, so that a server goes on with the plan it has until it loads the new one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from builder.detectors.onnx_file import sha256_of
from builder.errors import PlanError, TrtexecError
from builder.pipelines.manifest import pipelines, read_manifest
from builder.pipelines.model_configs import NETWORK_FILE, PLAN_FILE
from builder.settings import Runtime
from builder.tensorrt.engine_cache import building_folder, timing_cache, timing_cache_name
from builder.tensorrt.engine_machine import (
    ask_trtexec,
    device_environment,
    device_of,
    find_gpu,
    find_trtexec,
)
from builder.tensorrt.engine_options import (
    EngineOptions,
    batches_of,
    plan_options,
    trtexec_arguments,
)
from builder.tensorrt.engine_trtexec import Progress, run_trtexec
from builder.tensorrt.kept_plans import kept_plan
from builder.tensorrt.plan import (
    Fingerprint,
    network_folder,
    read_fingerprint,
)
from builder.tensorrt.plan_publication import put_plan
from builder.tensorrt.wanted_plan import WantedPlan, wanted_plan


@dataclass(frozen=True)
class NewPlan:
    """Why and how a pipeline got another plan.

    Attributes:
        reason: why, to go after "the plan that was there".
        seconds: that trtexec took; None when the plan was in the cache.
        size_bytes: of the plan.
    """

    reason: str
    seconds: float | None
    size_bytes: int


@dataclass(frozen=True)
class EngineResult:
    """What became of a pipeline's plan.

    Attributes:
        name: of the pipeline.
        version: the active one, in which the plan is.
        fingerprint: of the plan.
        new_plan: None when the plan that was there fits.
    """

    name: str
    version: int
    fingerprint: Fingerprint
    new_plan: NewPlan | None = None


def tensorrt_pipelines(repository: Path, name: str | None = None) -> tuple[str, ...]:
    """Return the pipelines whose network is a TensorRT plan: ``name``, or all of them.

    Raises:
        PlanError: there is none, or ``name`` is not one.
        RepositoryError: there is no pipeline ``name``.
    """
    names = (name,) if name else pipelines(repository)
    runtimes = {each: read_manifest(repository, each).runtime for each in names}
    chosen = tuple(each for each, runtime in runtimes.items() if runtime is Runtime.TENSORRT)
    if not chosen:
        found = ", ".join(f"{each} ({runtime.value})" for each, runtime in runtimes.items())
        raise PlanError(
            f"no pipeline in {repository} runs its network with TensorRT, found "
            f"{found or 'no pipeline'}: build one with `framewire build --runtime tensorrt`"
        )
    return chosen


def engine_command(repository: Path, name: str, options: EngineOptions) -> str:
    """Return the trtexec command for a pipeline, quoted for a shell; nothing is compiled.

    Where trtexec is not here to be asked which options it knows, they are those of TensorRT 10 and
    later.

    Raises:
        BuilderError: the options do not suit the pipeline.
    """
    manifest = read_manifest(repository, name)
    folder = network_folder(repository, name, manifest.version)
    trtexec = ask_trtexec(repository) if find_trtexec() else None
    known = trtexec.help_text if trtexec else None
    try:
        capability = find_gpu(device_of(options.device, os.environ))[1]
    except TrtexecError:
        capability = None
    timings = timing_cache_name(trtexec.version if trtexec else None, capability)
    arguments = trtexec_arguments(
        folder / NETWORK_FILE,
        folder / PLAN_FILE,
        options.cache_folder(repository) / timings,
        plan_options(options, repository, manifest, known),
        known,
    )
    device = [f"CUDA_VISIBLE_DEVICES={shlex.quote(options.device)}"] if options.device else []
    program = str(trtexec.path) if trtexec else "trtexec"
    return " ".join([*device, shlex.join([program, *arguments])])


def build_engine(
    repository: Path,
    name: str,
    options: EngineOptions,
    *,
    progress: Progress,
    interval_s: float = 30,
) -> EngineResult:
    """Give a pipeline's active version a plan that fits, unless the one there does.

    The plan is taken from the cache where it was compiled before, else compiled.

    Args:
        repository: that holds the pipeline.
        name: of a pipeline whose network is a TensorRT plan.
        options: how to compile it.
        progress: called every ``interval_s`` seconds while trtexec works.
        interval_s: seconds between two calls.

    Raises:
        BuilderError: the repository is as it was before.
    """
    wanted = wanted_plan(repository, name, options)
    reason, fingerprint = wanted.misfit(), read_fingerprint(wanted.folder)
    if fingerprint and not reason:
        if not options.force:
            return EngineResult(name, wanted.manifest.version, fingerprint)
        reason = "was to be replaced (--force)"
    cache = options.cache_folder(repository)
    with building_folder(cache) as scratch:
        onnx_file, plan = scratch / NETWORK_FILE, scratch / PLAN_FILE
        # What is compiled and what is hashed are one file, whatever a build does meanwhile.
        shutil.copyfile(wanted.folder / NETWORK_FILE, onnx_file)
        with kept_plan(
            cache,
            wanted.key(onnx_file),
            waiting=lambda seconds: progress(seconds, "another process compiles the same plan"),
            interval_s=interval_s,
        ) as kept:
            seconds, made = None, None if options.force else kept.find()
            if made is None:
                seconds, made = _compile(
                    wanted, options, cache, scratch, progress=progress, interval_s=interval_s
                )
                kept.keep(plan, made)
            size = kept.plan.stat().st_size
            version = put_plan(repository, name, kept.plan, made)
    return EngineResult(name, version, made, NewPlan(str(reason), seconds, size))


def _compile(
    wanted: WantedPlan,
    options: EngineOptions,
    cache: Path,
    scratch: Path,
    *,
    progress: Progress,
    interval_s: float,
) -> tuple[float, Fingerprint]:
    """Compile ``model.onnx`` in ``scratch`` to ``model.plan``; return seconds and what that is."""
    onnx_file, plan = scratch / NETWORK_FILE, scratch / PLAN_FILE
    name, trtexec = wanted.manifest.name, wanted.trtexec
    log = cache / f"{name}.trtexec.log"
    cache_name = timing_cache_name(trtexec.version, wanted.compute_capability)
    start = time.monotonic()
    with timing_cache(cache, scratch, cache_name) as timings:
        arguments = trtexec_arguments(onnx_file, plan, timings, wanted.options, trtexec.help_text)
        run_trtexec(
            [str(trtexec.path), *arguments],
            device_environment(wanted.device),
            log=log,
            progress=progress,
            interval_s=interval_s,
        )
    seconds = time.monotonic() - start
    if not plan.is_file() or not plan.stat().st_size:
        raise TrtexecError(
            f"trtexec ended without an error and without a plan of {name}: see what it said in "
            f"{log}"
        )
    return seconds, Fingerprint(
        onnx_sha256=sha256_of(onnx_file),
        tensorrt_version=trtexec.version,
        compute_capability=wanted.compute_capability,
        gpu=wanted.gpu,
        options=wanted.options,
        max_batch=batches_of(options, wanted.manifest).largest,
        plan_sha256=sha256_of(plan),
    )
