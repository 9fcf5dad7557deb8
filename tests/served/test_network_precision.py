"""The arithmetic of the network in OpenVINO, on this processor and on one without bfloat16."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.conftest import ROOT, SERVED_MODELS

CODES = ROOT / "model_repository" / "codes_network" / "1" / "model.onnx"
# OpenVINO's own way to take instructions from itself.
WITHOUT_BFLOAT16 = {"OV_CPU_MAX_ISA": "AVX2"}
RUN = f"""
import json, sys
sys.path[:0] = {[str(SERVED_MODELS / name) for name in ("network", "shared")]}
import numpy as np
import openvino as ov
from runtime import Network, computes_bfloat16
network = Network(sys.argv[1], 1, (640, 640), sys.argv[2])
frame = np.random.default_rng(0).integers(0, 256, network.grey_frame.shape, np.uint8)
print(json.dumps({{
    "boxes": network.infer(frame, alone=True)[0].tolist(),
    "remark": network.remark,
    "has_bfloat16": computes_bfloat16(ov.Core()),
}}))
"""


def run(precision: str, environment: Mapping[str, str] = {}) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(CODES), precision],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_what_is_not_bf16_is_computed_in_float32(precision: str) -> None:
    assert run(precision)["boxes"] == run("fp32")["boxes"]


def test_bf16_is_computed_in_bfloat16_where_the_processor_does() -> None:
    found = run("bf16")
    assert (found["boxes"] != run("fp32")["boxes"]) == found["has_bfloat16"]
    assert bool(found["remark"]) == (not found["has_bfloat16"])


def test_a_processor_without_bfloat16_computes_in_float32_and_says_so() -> None:
    found = run("bf16", WITHOUT_BFLOAT16)
    assert not found["has_bfloat16"]
    assert "this processor computes no bfloat16" in found["remark"]
    assert found["boxes"] == run("fp32", WITHOUT_BFLOAT16)["boxes"]
