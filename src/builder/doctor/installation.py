"""What is installed: Triton with its libraries, and the packages that the served models import."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import thin_client
from builder import __version__
from builder.doctor.case import Case
from builder.doctor.finding import (
    ELSEWHERE,
    CannotLook,
    Seen,
    Severity,
    error,
    from_message,
    warning,
)
from builder.errors import EmbeddedUnavailableError, TritonNotFoundError
from builder.serving.embedded import DISTRIBUTION, find_embedded_triton
from builder.serving.installed import find_installed_triton
from builder.serving.server_options import check_backends
from thin_client.contract import contract_fingerprint

# Where NVIDIA's container has it.
CONTAINERS_TRITON = Path("/opt/tritonserver/bin/tritonserver")
EMBEDDED = "pytriton"
# What the served models import, by the names of their packages.
SERVED_IMPORTS = {
    "av": "av",
    "cv2": "opencv-python-headless",
    "openvino": "openvino",
    "PIL": "pillow",
    "simplejpeg": "simplejpeg",
}


def installed_triton(case: Case) -> Path | None:
    """Return the installed ``tritonserver`` that is meant: the one named, else one that is there.

    None means the embedded one, which goes first where nothing is named.
    """
    if case.triton is not None or importlib.util.find_spec(EMBEDDED) is not None:
        return case.triton
    found = shutil.which("tritonserver")
    if found:
        return Path(found)
    return CONTAINERS_TRITON if CONTAINERS_TRITON.exists() else None


def look_at_triton(case: Case) -> Seen:
    """Look whether a Triton is installed and finds its libraries."""
    installed = installed_triton(case)
    try:
        if installed is not None:
            found = find_installed_triton(installed)
            return Seen(f"{found.binary}, with its Python backend")
        find_embedded_triton()
    except TritonNotFoundError as reason:
        return _failed("triton-missing", str(reason))
    except EmbeddedUnavailableError as reason:
        if case.elsewhere:
            raise CannotLook(ELSEWHERE) from reason
        name = "library-missing" if _has_wheel() else "triton-missing"
        return _failed(name, str(reason))
    return Seen(f"the embedded one of {DISTRIBUTION} is here with all its libraries")


def _failed(name: str, message: str) -> Seen:
    return Seen("it cannot run", (from_message(Severity.ERROR, name, message),))


def _has_wheel() -> bool:
    return importlib.util.find_spec(EMBEDDED) is not None


def look_at_packages(case: Case) -> Seen:
    """Look whether the packages that the served models import are installed."""
    if case.elsewhere:
        raise CannotLook(ELSEWHERE)
    missing = [
        package
        for module, package in SERVED_IMPORTS.items()
        if (spec := importlib.util.find_spec(module)) is None or spec.origin is None
    ]
    if not missing:
        return Seen("all that the served models import")
    return Seen(
        f"{len(missing)} are missing",
        (
            error(
                "package-missing",
                f"the served models import {', '.join(missing)}, which this Python does not have: "
                "pipelines will not load",
                f"`pip install {' '.join(missing)}`",
            ),
        ),
    )


def look_at_versions(_case: Case) -> Seen:
    """Compare the builder with the client beside it."""
    ours, client = __version__, thin_client.__version__
    words = f"framewire {ours}, framewire-client {client}, contract {contract_fingerprint()}"
    if ours == client:
        return Seen(words)
    return Seen(
        words,
        (
            warning(
                "versions-differ",
                f"framewire is {ours} and framewire-client beside it {client}: they are made to be "
                "of one version",
                "install both from one clone, `pip install ./thin_client -e .`, or one release",
            ),
        ),
    )


def look_at_backends(case: Case) -> Seen | None:
    """Look whether the Triton that is here has what runs the repository's networks."""
    if case.repository is None or case.running is not None or installed_triton(case) is not None:
        return None  # nothing to serve, it is served, or Triton has all backends
    try:
        check_backends(case.repository)
    except EmbeddedUnavailableError as reason:
        return Seen(
            "not for every network",
            (from_message(Severity.ERROR, "backend-missing", str(reason)),),
        )
    return Seen("one for every network")


def triton_version(binary: Path) -> str | None:
    """Return the version of an installed Triton, as its container has it; None if nobody says."""
    for folder in (binary.resolve().parent.parent, CONTAINERS_TRITON.parent.parent):
        file = folder / "TRITON_VERSION"
        if file.is_file():
            return file.read_text().strip()
    return os.environ.get("TRITON_SERVER_VERSION")
