"""Packages that are imported only with the first request that wants them.

A start, and so every restart after a fault, is mostly imports.
"""

from __future__ import annotations

from importlib.util import find_spec


def must_be_installed(package: str) -> None:
    """Refuse to begin without a package that is imported later.

    Raises:
        ModuleNotFoundError: it is not installed; as importing it would say.
    """
    if find_spec(package) is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
