"""Whether /dev/shm is large enough for the repository, and has room."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from builder.doctor.case import Case
from builder.doctor.finding import ELSEWHERE, CannotLook, Finding, Seen, error, warning
from builder.errors import BuilderError
from builder.pipelines.servable import unservable
from builder.serving.shared_memory import SHM_FOLDER, shared_memory_bytes

MIB = 2**20
# Regions that a Triton makes: those of `framewire serve`, and others.
OUR_REGIONS = "framewire_*"
TRITON_REGIONS = "triton_python_backend_shm_region_*"


def look_at_shared_memory(case: Case) -> Seen:
    """Compare what full batches of the repository may need with what there is, and is free."""
    folder = case.shared_memory
    if case.elsewhere:
        raise CannotLook(ELSEWHERE)
    try:
        repository = case.the_repository()
        # Others tell of what is damaged; `framewire serve` goes without.
        needed = shared_memory_bytes(repository, left_out=unservable(repository))
        total, free = _sizes(folder)
    except (BuilderError, OSError) as reason:
        raise CannotLook(str(reason)) from reason
    words = (
        f"{free / MIB:.0f} of {total / MIB:.0f} MB free, full batches need up to "
        f"{needed / MIB:.0f} MB"
    )
    return Seen(words, tuple(_shortage(folder, needed, total, free)))


def _shortage(folder: Path, needed: int, total: int, free: int) -> Iterator[Finding]:
    give_more = (
        f"`docker run --shm-size {_round_up(needed)}m`, `mount -o remount,size={_round_up(needed)}m"
        f" {SHM_FOLDER}`, or `framewire build` with a smaller --max-batch"
    )
    if total < needed:
        yield error(
            "shared-memory-small",
            f"{SHM_FOLDER} has {total / MIB:.0f} MB and full batches of this repository may need "
            f"{needed / MIB:.0f} MB, beyond which requests fail and models crash",
            give_more,
        )
        return
    # What a running server has already is its own.
    ours = sum(size for _, size in regions(folder))
    if free + ours < needed:
        name, size = _largest_other(folder)
        most = f" ({name} has {size / MIB:.0f} MB)" if name else ""
        yield warning(
            "shared-memory-full",
            f"only {free / MIB:.0f} MB of {SHM_FOLDER} are free beside the {ours / MIB:.0f} MB of "
            f"models' processes, others hold the rest{most}, and full batches may need "
            f"{needed / MIB:.0f} MB",
            f"`ls -lS {SHM_FOLDER}` shows who holds it: remove what nobody uses, or {give_more}",
        )


def regions(folder: Path) -> list[tuple[str, int]]:
    """Return the names of models' shared-memory regions and the bytes that each takes."""
    found = []
    for pattern in (OUR_REGIONS, TRITON_REGIONS):
        for file in folder.glob(pattern):
            with suppress(OSError):  # gone meanwhile
                found.append((file.name, bytes_of(file)))
    return sorted(found)


def bytes_of(file: Path) -> int:
    """Return what a file takes, which may be less than its length.

    Raises:
        OSError: it is gone.
    """
    return file.stat().st_blocks * 512


def _sizes(folder: Path) -> tuple[int, int]:
    found = os.statvfs(folder)
    return found.f_frsize * found.f_blocks, found.f_frsize * found.f_bavail


def _largest_other(folder: Path) -> tuple[str, int]:
    ours = {name for name, _ in regions(folder)}
    others = [("", 0)]
    for file in folder.iterdir():
        with suppress(OSError):
            if file.is_file() and file.name not in ours:
                others.append((file.name, bytes_of(file)))
    return max(others, key=lambda each: each[1])


def _round_up(needed: int) -> int:
    return -(-needed // (64 * MIB)) * 64
