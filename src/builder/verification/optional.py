"""What only verification needs, and the extra ``verify`` installs; imported when it is needed."""

from __future__ import annotations

import importlib
import os
from typing import Any

from builder.errors import VerificationError

EXTRA = ("cv2", "onnxruntime", "pycocotools")


def check_installed() -> None:
    """Import all of it, before anything takes its time.

    Raises:
        VerificationError: a package is not installed.
    """
    for package in EXTRA:
        needed(package)


def needed(module: str) -> Any:
    """Return a module.

    Raises:
        VerificationError: it is not installed.
    """
    # ONNX Runtime 1.29 and later tells Microsoft the names and hashes of models unless told not to.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise VerificationError(
            f"verification needs {package}, which cannot be imported ({error}): "
            "pip install -e '.[verify]'"
        ) from error
