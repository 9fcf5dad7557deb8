"""Putting a plan into a repository: into the active version, or into a new one."""

from __future__ import annotations

import shutil
from pathlib import Path

from builder.detectors.onnx_file import sha256_of
from builder.errors import PlanError
from builder.pipelines.durable import flush, move, replace_file
from builder.pipelines.manifest import read_manifest
from builder.pipelines.model_configs import NETWORK_FILE, PLAN_FILE
from builder.pipelines.publication import publishing
from builder.pipelines.version_changes import new_version
from builder.tensorrt.plan import (
    FINGERPRINT_FILE,
    Fingerprint,
    fingerprint_text,
    network_folder,
)


def put_plan(repository: Path, name: str, plan: Path, fingerprint: Fingerprint) -> int:
    """Put a plan in place and return the version that has it, which is then the active one.

    A version without a plan gets it. One that has a plan keeps it, and a copy of that version gets
    the new one: a server goes on with the plan it has until it loads the new version.

    Args:
        repository: that holds the pipeline.
        name: of the pipeline.
        plan: file with the plan.
        fingerprint: of the plan.

    Raises:
        PlanError: the network is not the one that the plan was compiled from.
        RepositoryError: it cannot be written; the repository is as it was before.
    """
    active = read_manifest(repository, name).version
    if (network_folder(repository, name, active) / PLAN_FILE).exists():
        with new_version(repository, name) as staged:
            folder = staged.folder(staged.names.network)
            _check_network(folder, name, fingerprint)
            shutil.copyfile(plan, folder / PLAN_FILE)
            (folder / FINGERPRINT_FILE).write_text(fingerprint_text(fingerprint))
        return staged.version
    with publishing(repository) as publication:
        active = read_manifest(repository, name).version
        folder = network_folder(repository, name, active)
        _check_network(folder, name, fingerprint)
        staged_plan = publication.staging / PLAN_FILE
        shutil.copyfile(plan, staged_plan)
        flush(staged_plan)
        # In this order a kill leaves a fingerprint without a plan, which counts as no plan, and
        # never a plan without its fingerprint.
        replace_file(folder / FINGERPRINT_FILE, fingerprint_text(fingerprint), publication.staging)
        move(staged_plan, folder / PLAN_FILE)
    return active


def _check_network(folder: Path, name: str, fingerprint: Fingerprint) -> None:
    if sha256_of(folder / NETWORK_FILE) != fingerprint.onnx_sha256:
        raise PlanError(
            f"{name} was built anew while its plan was compiled: run `framewire engine` again"
        )
