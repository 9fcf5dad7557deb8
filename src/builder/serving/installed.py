"""A Triton that is installed on the machine, as in NVIDIA's container."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.errors import TritonNotFoundError


@dataclass(frozen=True)
class InstalledTriton:
    """Files of an installed server.

    Attributes:
        binary: the ``tritonserver`` program; its backends lie in ``../backends``.
    """

    binary: Path

    # It decides about GPUs, pinned memory and the like by itself.
    arguments = ()

    @property
    def backends(self) -> Path:
        """Folder of its backends."""
        return self.binary.resolve().parent.parent / "backends"

    def make_backend_directory(self, _parent: Path) -> Path:
        """Return the folder of its backends; nothing has to be made."""
        return self.backends

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the server and its stubs."""
        return dict(inherited)


def find_installed_triton(binary: Path) -> InstalledTriton:
    """Find an installed server.

    Raises:
        TritonNotFoundError: there is no such program, or no Python backend beside it.
    """
    triton = InstalledTriton(binary)
    if not (binary.is_file() and os.access(binary, os.X_OK)):
        raise TritonNotFoundError(
            f"--triton {binary} is no program: give the path of `tritonserver` (in NVIDIA's "
            "container /opt/tritonserver/bin/tritonserver), or leave it out for the embedded one"
        )
    if not (triton.backends / "python").is_dir():
        raise TritonNotFoundError(
            f"--triton {binary} has no Python backend, which the pipelines' steps need: expected "
            f"{triton.backends / 'python'}"
        )
    return triton
