"""TensorRT plans of a pipeline's network: what one was compiled from and for, and whether it fits.

A plan runs only with the TensorRT that compiled it, on a GPU of the same compute capability, and
the plan itself does not say so until it fails to load. A file beside it does.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from builder.detectors.onnx_file import sha256_of
from builder.errors import PlanError
from builder.pipelines.manifest import read_manifest
from builder.pipelines.model_configs import NETWORK_FILE, PLAN_FILE
from thin_client.contract import model_names

# Beside the plan; Triton leaves it alone.
FINGERPRINT_FILE = "model.plan.json"

# Options of trtexec that let a plan run elsewhere too, see docs/tensorrt.md.
NEWER_TENSORRT = ("--versionCompatible", "--vc")
AMPERE_OR_NEWER = "--hardwareCompatibilityLevel=ampere+"


@dataclass(frozen=True)
class Machine:
    """Where plans are compiled or served; None is what could not be found out.

    Attributes:
        tensorrt_version: as "10.5.0.18".
        compute_capability: of the GPU, as "8.9".
        gpu: its name.
    """

    tensorrt_version: str | None
    compute_capability: str | None
    gpu: str | None


@dataclass(frozen=True)
class Fingerprint:
    """What a plan was compiled from and for.

    Attributes:
        onnx_sha256: of the network, in hex.
        tensorrt_version: as "10.5.0.18".
        compute_capability: of the GPU, as "8.9".
        gpu: its name; a plan runs on other models of the same compute capability, though perhaps
            not as fast.
        options: of trtexec, without those that only name files.
        max_batch: the largest batch it takes.
        plan_sha256: of the plan, in hex.
    """

    onnx_sha256: str
    tensorrt_version: str
    compute_capability: str
    gpu: str
    options: tuple[str, ...]
    max_batch: int
    plan_sha256: str


def fingerprint_text(fingerprint: Fingerprint) -> str:
    """Return what stands in the file beside the plan."""
    return json.dumps(asdict(fingerprint), indent=1) + "\n"


def read_fingerprint(folder: Path) -> Fingerprint | None:
    """Read the fingerprint in a version's folder; None when there is none that can be read."""
    try:
        values = json.loads((folder / FINGERPRINT_FILE).read_text())
        known = {field.name: values[field.name] for field in fields(Fingerprint)}
        return Fingerprint(**{**known, "options": tuple(known["options"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def check_plan(repository: Path, name: str, machine: Machine) -> Fingerprint:
    """Check that a pipeline has a plan that fits its network and this machine.

    Args:
        repository: that holds the pipeline.
        name: of a pipeline whose network is a TensorRT plan.
        machine: that is to serve it; what is None in it is not compared.

    Raises:
        PlanError: there is no plan, or it does not fit.
        RepositoryError: there is no such pipeline.
    """
    manifest = read_manifest(repository, name)
    folder = network_folder(repository, name, manifest.version)
    fingerprint = read_fingerprint(folder)
    reason = misfit(folder, machine)
    if not reason and fingerprint and fingerprint.max_batch < manifest.max_batch:
        reason = f"takes batches of {fingerprint.max_batch}, and the pipeline {manifest.max_batch}"
    if reason or not fingerprint:
        raise PlanError(
            f"the plan of {name} {reason}: run `framewire engine --repository "
            f"{shlex.quote(str(repository))} --name {name}` in the image and on the GPU "
            "that serve it"
        )
    return fingerprint


def misfit(folder: Path, machine: Machine, options: Sequence[str] | None = None) -> str | None:
    """Return why the plan in a version's folder does not fit, to go after "the plan", or None.

    Args:
        folder: ``NAME_network/<version>``.
        machine: that is to serve it; what is None in it is not compared.
        options: of trtexec that are wanted; None when any will do.
    """
    if not (folder / PLAN_FILE).is_file():
        return "is missing"
    fingerprint = read_fingerprint(folder)
    if fingerprint is None:
        return f"has no readable {FINGERPRINT_FILE} beside it that says what it fits"
    return _wrong_files(folder, fingerprint) or _wrong_place(fingerprint, machine, options)


def _wrong_files(folder: Path, fingerprint: Fingerprint) -> str | None:
    if sha256_of(folder / PLAN_FILE) != fingerprint.plan_sha256:
        return f"is not the file that {FINGERPRINT_FILE} describes"
    onnx_file = folder / NETWORK_FILE
    if not onnx_file.is_file() or sha256_of(onnx_file) != fingerprint.onnx_sha256:
        return f"was compiled from another {NETWORK_FILE} than the one beside it"
    return None


def _wrong_place(
    fingerprint: Fingerprint, machine: Machine, options: Sequence[str] | None
) -> str | None:
    if not _runs_with(fingerprint, machine.tensorrt_version):
        return (
            f"was compiled by TensorRT {fingerprint.tensorrt_version}, and here is "
            f"{machine.tensorrt_version}"
        )
    if not _runs_on(fingerprint, machine.compute_capability):
        return (
            f"was compiled for compute capability {fingerprint.compute_capability} "
            f"({fingerprint.gpu}), and the GPU here is of {machine.compute_capability} "
            f"({machine.gpu})"
        )
    if options is not None and tuple(options) != fingerprint.options:
        return (
            f"was compiled with {_shown(fingerprint.options)}, and now {_shown(options)} is wanted"
        )
    return None


def network_folder(repository: Path, name: str, version: int) -> Path:
    """Return the folder that holds a version's network."""
    return repository / model_names(name).network / str(version)


def _runs_with(fingerprint: Fingerprint, version: str | None) -> bool:
    built = fingerprint.tensorrt_version
    if version in {None, built}:
        return True
    if version is None or not set(NEWER_TENSORRT) & set(fingerprint.options):
        return False
    return _numbers(version)[0] == _numbers(built)[0] and _numbers(version) > _numbers(built)


def _runs_on(fingerprint: Fingerprint, capability: str | None) -> bool:
    if capability in {None, fingerprint.compute_capability}:
        return True
    ampere = _numbers(capability or "0") >= [8, 0]
    return AMPERE_OR_NEWER in fingerprint.options and ampere


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".") if number.isdecimal()]


def _shown(options: Sequence[str]) -> str:
    return " ".join(options) or "no options"
