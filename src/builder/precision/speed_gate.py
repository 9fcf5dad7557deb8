"""``framewire build --precision``: publish a network in less than float32 only if it is faster."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx

from builder.benchmark.sample import Ratio
from builder.errors import PrecisionError
from builder.network_graph import network_graph
from builder.pipelines.model_configs import NETWORK_FILE
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.precision.network_speed import check_measurable, measure_speed
from builder.settings import Precision, Runtime

# What is chosen for its speed. float16 is not: it halves the file, and on a processor OpenVINO
# computes it in float32.
FOR_SPEED = frozenset({Precision.BF16, Precision.INT8})


def speed_gate(
    *, force: bool = False, tell: Callable[[str], None]
) -> Callable[[Path, PipelineSpec], None]:
    """Return the check that ``build_pipeline`` makes before it publishes.

    Args:
        force: whether a network that is slower here, or cannot be measured here, is published too.
        tell: called with a sentence: what was measured.

    Raises:
        PrecisionError: by the check, when the network is slower than in float32, or cannot be
            measured here.
    """

    def approve(staged: Path, spec: PipelineSpec) -> None:
        precision, runtime = spec.settings.precision, spec.settings.runtime
        if runtime is not Runtime.PYTHON:
            tell(
                f"how fast {precision.value} is was not measured: {runtime.value} runs in "
                "NVIDIA's container, where `framewire bench --url` compares it with float32"
            )
            return
        try:
            gain = _measured(staged, spec)
        except PrecisionError as reason:
            if not force:
                raise
            tell(f"not measured: {reason}")
            return
        tell(
            f"the network in {precision.value} is {gain.median:.2f} times as fast as in float32 "
            f"on this machine ({gain.low:.2f} to {gain.high:.2f} over {gain.rounds} rounds by "
            "turns)"
        )
        if gain.median < 1 and not force:
            raise PrecisionError(
                f"{precision.value} is slower than float32 here: leave --precision "
                f"{precision.value} out, build on the machine that serves it, or publish it all "
                "the same with --force"
            )

    return approve


def _measured(staged: Path, spec: PipelineSpec) -> Ratio:
    check_measurable()
    folder = staged / spec.names.network / str(spec.version)
    with tempfile.TemporaryDirectory(prefix="framewire-precision-") as scratch:
        float32 = Path(scratch) / NETWORK_FILE
        settings = replace(spec.settings, precision=Precision.FP32)
        onnx.save(network_graph(spec.detector, settings), float32)
        return measure_speed(folder, (folder / NETWORK_FILE, spec.settings.precision), float32)
