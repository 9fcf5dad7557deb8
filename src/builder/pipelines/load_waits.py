"""How long whoever starts pipelines waits for their models to load."""

from __future__ import annotations

from pathlib import Path

from builder.errors import BuilderError
from builder.pipelines.manifest import pipelines, read_manifest
from builder.trial.load_wait import LEAST_WAIT_S


def wait_of(repository: Path, name: str) -> int:
    """Return the seconds to wait for the active version of a pipeline; 120 where nobody knows."""
    try:
        return max(LEAST_WAIT_S, int(read_manifest(repository, name).load_wait_s))
    except (BuilderError, OSError, TypeError, ValueError):
        return LEAST_WAIT_S


def longest_wait(repository: Path) -> int:
    """Return the seconds to wait for all pipelines of a repository, which load together."""
    return max((wait_of(repository, name) for name in pipelines(repository)), default=LEAST_WAIT_S)
