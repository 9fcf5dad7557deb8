"""What a container may use: what ``framewire deploy`` says of its repository, or what was said."""

from __future__ import annotations

from pathlib import Path

from builder.deployment.needs import needs_of
from builder.deployment.pipeline_facts import MIB
from builder.deployment.wishes import Wishes

# For the demo pipeline in the image, of which this process may have no copy.
DEMO_SHM_BYTES = 2**30


def container_limits(
    repository: Path | None, shm_bytes: int | None, memory_bytes: int | None
) -> dict[str, int]:
    """Return docker-py's options for what was asked for, and else for what is needed."""
    if repository is not None:
        needs = needs_of(Wishes(repository))
        shm_bytes = shm_bytes or needs.shared_memory_mib * MIB
        memory_bytes = memory_bytes or needs.memory_mib * MIB
    limits = {"shm_size": shm_bytes or DEMO_SHM_BYTES}
    if memory_bytes is not None:
        limits |= {"mem_limit": memory_bytes, "memswap_limit": memory_bytes}
    return limits
