"""Memory that was freed, given back to the system."""

from __future__ import annotations

import ctypes


def return_memory() -> None:
    """Give what was freed back to the system, which glibc else keeps for whoever asks next."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
