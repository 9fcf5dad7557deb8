"""PyAV, imported when a video is first opened for streaming."""

from __future__ import annotations

import importlib
from typing import Any

from thin_client.errors import PyAVMissing

__all__ = ["load_pyav"]


def load_pyav(purpose: str) -> Any:
    """Return the module ``av``, its log kept off stderr.

    Args:
        purpose: what it is needed for, as the subject of the error's sentence.

    Raises:
        PyAVMissing: it is not installed, or cannot be loaded.
    """
    try:
        av = importlib.import_module("av")
    except ImportError as error:
        found = "which is not installed" if error.name == "av" else f"which fails to load ({error})"
        raise PyAVMissing(
            f"{purpose} needs PyAV, {found}; run: pip install 'framewire-client[stream]'"
        ) from error
    # What matters becomes an exception here; FFmpeg's own words about broken packets do not help.
    av.logging.set_level(None)
    return av
