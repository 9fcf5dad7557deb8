"""What tests with containers need, and what becomes of them where it is missing."""

from __future__ import annotations

import enum
import os
import subprocess

import pytest


class Requirement(enum.Enum):
    """Something that a machine may lack; the value is the variable by which it must not."""

    DOCKER = "CI"
    GPU = "FRAMEWIRE_GPU_REQUIRED"


def missing(what: str | None, requirement: Requirement) -> None:
    """Skip the test, or fail it where its requirement must be there.

    Args:
        what: is missing, and what to do about it; None when nothing is.
        requirement: that it belongs to.
    """
    if what is None:
        return
    if os.environ.get(requirement.value, "").lower() in {"1", "true", "yes"}:
        pytest.fail(what)
    pytest.skip(what)


def gpu_is_missing() -> str | None:
    """Return in words why containers here have no GPU, or None."""
    advice = "run `make test-gpu` on a machine with an NVIDIA GPU and NVIDIA's container toolkit"
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"there is no NVIDIA GPU here: {advice}"
    if listed.returncode or "GPU 0" not in listed.stdout:
        return f"nvidia-smi lists no GPU here: {advice}"
    return None


def image_is_missing(image: str, target: str) -> str | None:
    """Return in words why an image cannot be run, or None.

    Args:
        image: as Docker knows it.
        target: of the Makefile, that makes it.
    """
    # Not with docker-py, which leaves a socket open that it could not connect.
    if not _succeeds("docker", "info"):
        return "no Docker daemon answers: run `.ci/start-docker`"
    if not _succeeds("docker", "image", "inspect", image):
        return f"there is no image {image}: run `make {target}`"
    return None


def _succeeds(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False
