"""The image that a container runs where none is named."""

from __future__ import annotations

import os

from builder.deployment.wishes import CPU_IMAGE, GPU_IMAGE


def default_image(gpu: bool) -> str:
    """Return the image for CPUs or GPUs, as the environment or else `make` names it."""
    if gpu:
        return os.environ.get("FRAMEWIRE_GPU_IMAGE", GPU_IMAGE)
    return os.environ.get("FRAMEWIRE_CPU_IMAGE", CPU_IMAGE)
