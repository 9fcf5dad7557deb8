"""The speed of a network against the same in float32, on this machine, as it is served."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

from builder.benchmark.sample import Ratio, ratio
from builder.errors import PrecisionError
from builder.settings import Precision

PROGRAM = Path(__file__).with_name("time_networks.py")
ROUNDS = 5
# A turn of two frames that take ten seconds each, in every round and by both.
TIMEOUT_S = 600


def check_measurable() -> None:
    """Check that networks can run here.

    Raises:
        PrecisionError: OpenVINO is not installed.
    """
    if importlib.util.find_spec("openvino") is None:
        raise PrecisionError(
            "this Python has no OpenVINO, so nothing can tell whether the network is faster than "
            "in float32: pip install 'framewire[served]', or publish it unmeasured with --force"
        )


def measure_speed(
    code: Path, candidate: tuple[Path, Precision], float32: Path, *, rounds: int = ROUNDS
) -> Ratio:
    """Measure a network against float32: alternating rounds in one process, under full load.

    Args:
        code: folder of a version of the network step, whose own code runs both.
        candidate: an ONNX file and what it is computed in.
        float32: the ONNX file of the same network in float32.
        rounds: how many turns each has.

    Returns:
        Images a second of the candidate over those of float32, a ratio taken in each round.

    Raises:
        PrecisionError: one of them cannot be run, or this processor would compute the candidate in
            something else.
    """
    file, precision = candidate
    command = [
        *(sys.executable, str(PROGRAM), "--code", str(code), "--rounds", str(rounds)),
        *("--network", str(float32), Precision.FP32.value),
        *("--network", str(file), precision.value),
    ]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise PrecisionError(
            f"the network in {precision.value} was not measured against float32 within "
            f"{TIMEOUT_S} s: leave --precision out, or publish it unmeasured with --force"
        ) from error
    try:
        found = json.loads(done.stdout.splitlines()[-1])
        remark = found.get("remark", "")
        speeds = found.get("images_per_s", [])
    except (IndexError, ValueError) as error:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise PrecisionError(
            f"the network in {precision.value} could not be measured against float32 ({lines[-1]}):"
            " leave --precision out, or publish it unmeasured with --force"
        ) from error
    if remark:
        raise PrecisionError(
            f"{remark}: build it on the machine that serves it, leave --precision "
            f"{precision.value} out, or publish it all the same with --force"
        )
    float32_speeds, candidate_speeds = speeds
    return ratio(candidate_speeds, float32_speeds)
