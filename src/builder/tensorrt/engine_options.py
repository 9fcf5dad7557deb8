"""What ``framewire engine`` can be told, and the trtexec options that follow from it."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from builder.detectors.frame_shapes import Framing
from builder.detectors.onnx_file import load_onnx
from builder.errors import PlanError, SettingsError
from builder.pipelines.manifest import Manifest
from builder.pipelines.model_configs import NETWORK_FILE
from builder.pipelines.version_framing import framing_of_version
from builder.settings import Precision
from builder.tensorrt.frame_profiles import (
    DEFAULT_ASPECTS,
    Batches,
    frame_profiles,
    parse_aspects,
    profile_options,
)
from builder.tensorrt.plan import network_folder
from thin_client.contract import FRAME

STRONGLY_TYPED, SKIP_INFERENCE, PROFILE = "--stronglyTyped", "--skipInference", "--profile"
# trtexec is given these by us, in one way and once.
OUR_OPTIONS = (
    "--onnx",
    "--saveEngine",
    "--loadEngine",
    "--minShapes",
    "--optShapes",
    "--maxShapes",
    PROFILE,
    "--timingCacheFile",
    "--memPoolSize",
    "--fp16",
    "--best",
    "--device",
    STRONGLY_TYPED,
    SKIP_INFERENCE,
)


class EnginePrecision(str, enum.Enum):
    """Which types TensorRT may compute in."""

    GRAPH = "graph"
    """Those of the graph: float32, as TF32 where TensorRT does so, or float16 where it says so."""
    FP16 = "fp16"
    """float16 too, wherever TensorRT finds it faster; up to TensorRT 10."""
    BEST = "best"
    """Every type that the GPU has, int8 without calibration too; up to TensorRT 10."""


@dataclass(frozen=True)
class EngineOptions:
    """How plans are compiled.

    Attributes:
        min_batch: smallest batch that the plan takes.
        opt_batch: the batch it is made fastest for; the largest when None.
        max_batch: largest batch that it takes; the pipeline's when None.
        precision: which types TensorRT may compute in.
        workspace_mib: GPU memory for intermediate results, MiB; all there is when None.
        extra: further options, given to trtexec as they are.
        cache: folder for timing caches; beside the repository when None.
        aspects: of the pictures that it is made fastest for, see
            :func:`builder.tensorrt.frame_profiles.parse_aspects`; None for what is usual.
        device: index or UUID of the GPU; the first when None.
        force: whether a plan that fits is compiled again.

    Raises:
        SettingsError: on creation, when a value is out of range.
    """

    min_batch: int = 1
    opt_batch: int | None = None
    max_batch: int | None = None
    precision: EnginePrecision = EnginePrecision.GRAPH
    workspace_mib: int | None = None
    extra: tuple[str, ...] = ()
    cache: Path | None = None
    aspects: str | None = None
    device: str | None = None
    force: bool = False

    def __post_init__(self) -> None:
        """Check what needs no pipeline to be checked."""
        if self.aspects is not None:
            parse_aspects(self.aspects)
        if self.workspace_mib is not None and self.workspace_mib < 1:
            raise SettingsError(f"--workspace must be at least 1 MiB, got {self.workspace_mib}")
        for option in self.extra:
            if option.split("=")[0] in OUR_OPTIONS:
                raise SettingsError(
                    f"--trtexec-option={option} is set by framewire itself: use the options that "
                    "`framewire engine --help` shows"
                )

    def cache_folder(self, repository: Path) -> Path:
        """Return the folder for timing caches.

        It stands beside the repository, not in it: Triton takes every folder there for a model.
        """
        resolved = repository.resolve()
        return self.cache or resolved.parent / f".{resolved.name}.framewire-cache"


def batches_of(options: EngineOptions, manifest: Manifest) -> Batches:
    """Return the batch sizes asked for, or those of the pipeline.

    Raises:
        SettingsError: they are not in order, or the pipeline's largest batch would not fit.
    """
    largest = manifest.max_batch if options.max_batch is None else options.max_batch
    best = largest if options.opt_batch is None else options.opt_batch
    if not 1 <= options.min_batch <= best <= largest:
        raise SettingsError(
            f"--min-batch, --opt-batch and --max-batch must be in order from 1 on, got "
            f"{options.min_batch}, {best} and {largest}"
        )
    if largest < manifest.max_batch:
        raise SettingsError(
            f"--max-batch {largest} is less than the {manifest.max_batch} images that "
            f"{manifest.name} takes at a time: build the pipeline with --max-batch {largest}"
        )
    return Batches(options.min_batch, best, largest)


def plan_options(
    options: EngineOptions, repository: Path, manifest: Manifest, known: str | None
) -> tuple[str, ...]:
    """Return the options of trtexec that decide what the plan is.

    Args:
        options: as asked for.
        repository: that holds the pipeline.
        manifest: of the pipeline.
        known: the help text of trtexec, which tells what it takes; None when there is none to ask,
            and then it is taken to be that of TensorRT 10 or later.

    Raises:
        SettingsError: an option does not suit the pipeline or this trtexec.
        PlanError: the network's input is not a frame of images.
        ModelFileError: the network is missing or damaged.
    """
    batches, framing = batches_of(options, manifest), framing_of_version(repository, manifest)
    folder = network_folder(repository, manifest.name, manifest.version)
    chosen = _shapes(batches, framing, options, folder / NETWORK_FILE, known)
    chosen += _precision(options.precision, manifest, known)
    if options.workspace_mib is not None:
        chosen.append(f"--memPoolSize=workspace:{options.workspace_mib}")
    return (*chosen, *options.extra)


def trtexec_arguments(
    onnx_file: Path, plan: Path, timing_cache: Path, chosen: Sequence[str], known: str | None
) -> list[str]:
    """Return all arguments of trtexec.

    Args:
        onnx_file: to compile.
        plan: to write.
        timing_cache: to read if it is there, and to write.
        chosen: as :func:`plan_options` returns them.
        known: the help text of trtexec, or None.
    """
    arguments = [f"--onnx={onnx_file}", f"--saveEngine={plan}", *chosen]
    arguments.append(f"--timingCacheFile={timing_cache}")
    # Without it trtexec goes on to measure the plan.
    if known is None or SKIP_INFERENCE in known:
        arguments.append(SKIP_INFERENCE)
    return arguments


def _precision(precision: EnginePrecision, manifest: Manifest, known: str | None) -> list[str]:
    if precision is EnginePrecision.GRAPH:
        # From TensorRT 11 on every network is strongly typed; 10 has to be told.
        if known is None or STRONGLY_TYPED in known:
            return [STRONGLY_TYPED]
        # Older ones take no type that they were not given leave for.
        leave = {Precision.FP16: "--fp16", Precision.INT8: "--int8"}.get(manifest.precision, "")
        return [leave] if leave and leave in known else []
    option = f"--{precision.value}"
    if known is not None and option not in known:
        raise SettingsError(
            f"this trtexec has no {option}, as from TensorRT 11 on the graph says which type is "
            f"computed in: leave {option} out, and build {manifest.name} with `--precision fp16` "
            "for float16"
        )
    return [option]


def _shapes(
    batches: Batches,
    framing: Framing,
    options: EngineOptions,
    onnx_file: Path,
    known: str | None,
) -> list[str]:
    if framing.stride is not None:
        if known is not None and PROFILE not in known:
            raise SettingsError(
                "this trtexec compiles for frames of one size only: build the pipeline with "
                "--shape square, or take a newer TensorRT"
            )
        aspects = options.aspects or DEFAULT_ASPECTS
        return profile_options(frame_profiles(framing, batches, aspects), FRAME.name)
    if options.aspects is not None:
        raise SettingsError(
            "--aspects is for pipelines whose frames are the smallest rectangles, and those of "
            "this one are whole: leave it out, or build it with --shape rect"
        )
    frame = _frame_shape(onnx_file)
    # A graph of one fixed batch has its shapes from itself.
    if frame[0] is not None:
        return []
    size = "x".join(str(dim) for dim in frame[1:])
    return [
        f"--{name}Shapes={FRAME.name}:{batch}x{size}"
        for name, batch in (
            ("min", batches.smallest),
            ("opt", batches.best),
            ("max", batches.largest),
        )
    ]


def _frame_shape(onnx_file: Path) -> list[int | None]:
    graph = load_onnx(onnx_file).graph
    shapes = {
        value.name: [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]
        for value in graph.input
    }
    shape = shapes.get(FRAME.name, [])
    if len(shape) != 4 or None in shape[1:]:
        raise PlanError(
            f"{onnx_file.name} has the inputs {shapes}, expected {FRAME.name} [N, height, width, "
            "3]: build the pipeline again"
        )
    return shape
