"""Which plans fit where; the plans are files of other content, which is all that is looked at."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from builder.detectors.onnx_file import sha256_of
from builder.errors import PlanError
from builder.pipelines.model_configs import NETWORK_FILE, PLAN_FILE
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Runtime
from builder.tensorrt.plan import (
    FINGERPRINT_FILE,
    Fingerprint,
    Machine,
    check_plan,
    fingerprint_text,
    misfit,
    read_fingerprint,
)
from tests.tiny_detector import save_tiny_detector

HERE = Machine("10.5.0.18", "8.9", "NVIDIA L4")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    settings = BuildSettings("tiny", max_batch=4, runtime=Runtime.TENSORRT)
    build_pipeline(model, tmp_path / "r", settings)
    put(tmp_path / "r")
    return tmp_path / "r"


def folder(repository: Path) -> Path:
    return repository / "tiny_network" / "1"


def put(repository: Path, **changes: object) -> Fingerprint:
    network = folder(repository)
    (network / PLAN_FILE).write_bytes(b"plan")
    made = Fingerprint(
        onnx_sha256=sha256_of(network / NETWORK_FILE),
        tensorrt_version="10.5.0.18",
        compute_capability="8.9",
        gpu="NVIDIA L4",
        options=("--stronglyTyped",),
        max_batch=4,
        plan_sha256=sha256_of(network / PLAN_FILE),
    )
    made = dataclasses.replace(made, **changes)
    (network / FINGERPRINT_FILE).write_text(fingerprint_text(made))
    return made


def test_a_fingerprint_survives_being_written(repository: Path) -> None:
    made = put(repository, options=("--fp16", "--noTF32"))
    assert read_fingerprint(folder(repository)) == made
    assert check_plan(repository, "tiny", HERE) == made


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"tensorrt_version": "10.4.0.26"}, "by TensorRT 10.4.0.26, and here is 10.5.0.18"),
        ({"compute_capability": "8.6", "gpu": "NVIDIA A10"}, r"8.6 \(NVIDIA A10\), and the GPU"),
        ({"onnx_sha256": "0"}, "was compiled from another model.onnx"),
        ({"plan_sha256": "0"}, "is not the file that model.plan.json describes"),
        ({"max_batch": 2}, "takes batches of 2, and the pipeline 4"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused_with_the_command_that_mends_it(
    repository: Path, changes: dict[str, object], complaint: str
) -> None:
    put(repository, **changes)
    with pytest.raises(PlanError, match=complaint) as refused:
        check_plan(repository, "tiny", HERE)
    command = f"run `framewire engine --repository {repository} --name tiny`"
    assert command in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("missing", "complaint"),
    [
        (PLAN_FILE, "the plan of tiny is missing"),
        (FINGERPRINT_FILE, "has no readable model.plan"),
        (NETWORK_FILE, "was compiled from another model.onnx"),
    ],
)
def test_a_missing_file_is_named(repository: Path, missing: str, complaint: str) -> None:
    (folder(repository) / missing).unlink()
    with pytest.raises(PlanError, match=complaint):
        check_plan(repository, "tiny", HERE)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"options": 3}', "\x00"])
def test_a_damaged_fingerprint_is_none(repository: Path, text: str) -> None:
    (folder(repository) / FINGERPRINT_FILE).write_text(text)
    assert read_fingerprint(folder(repository)) is None


def test_what_is_not_known_of_a_machine_is_not_compared(repository: Path) -> None:
    put(repository, tensorrt_version="10.4.0.26")
    assert check_plan(repository, "tiny", Machine(None, "8.9", "NVIDIA L4"))
    with pytest.raises(PlanError):
        check_plan(repository, "tiny", Machine(None, "9.0", "NVIDIA H100"))
    assert check_plan(repository, "tiny", Machine(None, None, None))


@pytest.mark.parametrize(
    ("options", "version", "capability", "fits"),
    [
        ((), "10.9.0.34", "8.9", False),
        (("--versionCompatible",), "10.9.0.34", "8.9", True),
        (("--versionCompatible",), "10.4.0.26", "8.9", False),
        (("--versionCompatible",), "11.0.0.1", "8.9", False),
        ((), "10.5.0.18", "9.0", False),
        (("--hardwareCompatibilityLevel=ampere+",), "10.5.0.18", "9.0", True),
        (("--hardwareCompatibilityLevel=ampere+",), "10.5.0.18", "12.0", True),
        (("--hardwareCompatibilityLevel=ampere+",), "10.5.0.18", "7.5", False),
    ],
)
def test_plans_compiled_to_run_elsewhere_fit_there(
    repository: Path, options: tuple[str, ...], version: str, capability: str, fits: bool
) -> None:
    put(repository, options=options)
    reason = misfit(folder(repository), Machine(version, capability, "a GPU"))
    assert (reason is None) == fits
