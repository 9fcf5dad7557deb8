"""The Triton server inside the nvidia-pytriton wheel, made ready to run without a container.

The wheel holds the server, its Python backend and one stub process for each version of Python. The
stub needs the shared library of its Python, which many distributions package apart from Python.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from builder.errors import EmbeddedUnavailableError

DISTRIBUTION = "nvidia-pytriton"
DOCKER_WAY = (
    "run it in a container instead: `docker build -f docker/Dockerfile.cpu -t framewire-cpu . && "
    "docker run --rm -p 127.0.0.1:8001:8001 --shm-size 1g framewire-cpu`"
)
# Where `make` unpacks a libpython that the system does not have; see .ci/make-environment.
PRIVATE_LIBRARIES = Path(sys.prefix) / "lib" / "framewire"
# Left set, they would lead the stub of Python 3.10 away from its environment.
PYTHON_VARIABLES = frozenset({"PYTHONHOME", "PYTHONPATH"})
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


@dataclass(frozen=True)
class EmbeddedTriton:
    """Files of the embedded server.

    Attributes:
        binary: the ``tritonserver`` program.
        python_backend: folder of its Python backend, without a stub.
        stub: the stub process for the running version of Python.
        library_path: folders the dynamic linker must search.
    """

    binary: Path
    python_backend: Path
    stub: Path
    library_path: tuple[Path, ...]

    # It has no GPU to ask or to copy to.
    arguments = ("--allow-gpu-metrics=false", "--pinned-memory-pool-byte-size=0")

    def make_backend_directory(self, parent: Path) -> Path:
        """Lay out ``parent/backends`` as Triton wants it, with links; return it."""
        backend = parent / "backends" / "python"
        backend.mkdir(parents=True)
        for file in self.python_backend.iterdir():
            (backend / file.name).symlink_to(file)
        (backend / self.stub.name).symlink_to(self.stub)
        return backend.parent

    def environment(self, inherited: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the server and its stubs."""
        libraries = [str(folder) for folder in self.library_path]
        if inherited.get("LD_LIBRARY_PATH"):
            libraries.append(inherited["LD_LIBRARY_PATH"])
        # The stub embeds Python, which takes the first python3 on PATH for itself and so finds the
        # virtual environment and its packages; from 3.11 on it heeds no PYTHON... variable.
        search_path = [str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)]
        kept = {name: value for name, value in inherited.items() if name not in PYTHON_VARIABLES}
        return {
            **kept,
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "PATH": os.pathsep.join(search_path),
        }


def find_embedded_triton() -> EmbeddedTriton:
    """Find the embedded server and check that it can run here.

    Raises:
        EmbeddedUnavailableError: with what is missing and how to get it.
    """
    triton = _locate()
    _check_libraries(triton)
    return triton


def missing_libpython() -> bool:
    """Return whether the embedded server lacks nothing but Python's shared library.

    Raises:
        EmbeddedUnavailableError: it is not installed or not made for this machine.
    """
    triton = _locate()
    _, missing = _linked(triton.stub, triton.environment(os.environ))
    return any(name.startswith("libpython") for name in missing)


def _locate() -> EmbeddedTriton:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise EmbeddedUnavailableError(
            f"the embedded Triton runs on 64-bit x86 Linux, this is {platform.system()} on "
            f"{platform.machine()}: {DOCKER_WAY}"
        )
    site = _wheel_folder()
    server = site / "pytriton" / "tritonserver"
    stub = server / "python_backend_stubs" / PYTHON_VERSION / "triton_python_backend_stub"
    if not stub.exists():
        raise EmbeddedUnavailableError(
            f"the embedded Triton has no stub for Python {PYTHON_VERSION}: use Python 3.10 to 3.12 "
            f"(make PYTHON=python3.11 demo), or {DOCKER_WAY}"
        )
    return EmbeddedTriton(
        binary=server / "bin" / "tritonserver",
        python_backend=server / "backends" / "python",
        stub=stub,
        library_path=(site / "nvidia_pytriton.libs", *_libpython_folders()),
    )


def _wheel_folder() -> Path:
    try:
        return Path(str(metadata.distribution(DISTRIBUTION).locate_file(""))).resolve()
    except metadata.PackageNotFoundError as error:
        raise EmbeddedUnavailableError(
            f"the embedded Triton is not installed: `pip install -e '.[embedded]'`, or {DOCKER_WAY}"
        ) from error


def _libpython_folders() -> list[Path]:
    folders = [PRIVATE_LIBRARIES, Path(sysconfig.get_config_var("LIBDIR") or "/nowhere")]
    name = f"libpython{PYTHON_VERSION}.so.1.0"
    return [folder for folder in folders if (folder / name).exists()]


def _linked(program: Path, environment: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return what the dynamic linker says of a program, and the libraries it does not find."""
    listed = subprocess.run(
        ["ldd", str(program)], env=environment, capture_output=True, text=True, check=False
    )
    output = listed.stdout + listed.stderr
    return output, re.findall(r"^\s*(\S+) => not found", output, re.MULTILINE)


def _check_libraries(triton: EmbeddedTriton) -> None:
    for program in (triton.binary, triton.stub):
        output, missing = _linked(program, triton.environment(os.environ))
        if any(name.startswith("libpython") for name in missing):
            raise EmbeddedUnavailableError(
                f"the embedded Triton needs {missing[0]}: on Debian and Ubuntu "
                f"`apt-get install libpython{PYTHON_VERSION}`, or {DOCKER_WAY}"
            )
        if missing or "GLIBC" in output:
            found = ", ".join(missing) or f"glibc {platform.libc_ver()[1]}"
            raise EmbeddedUnavailableError(
                f"the embedded Triton needs glibc 2.35 and the libraries of its wheel, this "
                f"machine lacks or has {found}: use Debian 12, Ubuntu 22.04 or later, or "
                f"{DOCKER_WAY}"
            )
