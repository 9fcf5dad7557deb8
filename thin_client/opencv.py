"""OpenCV, imported when a picture or a video is first needed."""

from __future__ import annotations

import importlib
from typing import Any

from thin_client.errors import OpenCVMissing

__all__ = ["load_opencv"]


def load_opencv(purpose: str) -> Any:
    """Return the module ``cv2``.

    Args:
        purpose: what it is needed for, as the subject of the error's sentence.

    Raises:
        OpenCVMissing: it is not installed, or cannot be loaded.
    """
    try:
        return importlib.import_module("cv2")
    except ImportError as error:
        found = (
            "which is not installed" if error.name == "cv2" else f"which fails to load ({error})"
        )
        raise OpenCVMissing(
            f"{purpose} needs OpenCV, {found}; run: pip install 'framewire-client[video]'"
        ) from error
