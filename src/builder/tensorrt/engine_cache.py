"""The folder in which trtexec works, and what stays in it between builds."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from builder.errors import PlanError

BUILDING = "building-"


def timing_cache_name(tensorrt_version: str | None, capability: str | None) -> str:
    """Return the file name of a timing cache; None is what is not known.

    TensorRT takes no timing cache of another version; one of another GPU would be useless.
    """
    return (
        "-".join(["timing", *(part for part in (tensorrt_version, capability) if part)]) + ".cache"
    )


@contextmanager
def timing_cache(cache: Path, scratch: Path, name: str) -> Iterator[Path]:
    """Give a copy of a timing cache to work on, and keep it if all goes well.

    Args:
        cache: folder that keeps it.
        scratch: folder for the copy, on the same file system.
        name: of the file, as :func:`timing_cache_name` returns it.
    """
    kept, copy = cache / name, scratch / name
    if kept.is_file():
        shutil.copyfile(kept, copy)
    yield copy
    if copy.is_file():
        copy.replace(kept)


@contextmanager
def building_folder(cache: Path) -> Iterator[Path]:
    """Make a folder to compile in, in ``cache``.

    Raises:
        PlanError: there is no room, or no permission.
    """
    try:
        with working_folder(cache, BUILDING) as scratch:
            yield scratch
    except OSError as error:
        raise PlanError(
            f"cannot work in the cache folder {cache} ({error.strerror or error}): name another "
            "with --cache, writable, with room for the plan, and kept when the container goes"
        ) from error


@contextmanager
def working_folder(cache: Path, prefix: str) -> Iterator[Path]:
    """Make a folder in ``cache``, and remove those of processes that were killed.

    Args:
        cache: made if it is not there.
        prefix: of the folder's name.

    Raises:
        OSError: there is no room, or no permission.
    """
    cache.mkdir(parents=True, exist_ok=True)
    for left_over in cache.glob(f"{prefix}*"):
        with _held(left_over) as is_ours:
            if is_ours:
                shutil.rmtree(left_over, ignore_errors=True)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=cache))
    with _held(scratch):
        try:
            yield scratch
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[bool]:
    """Lock a folder for as long as this process lives; give whether nobody else holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        yield False
        return
    try:
        yield True
    finally:
        os.close(descriptor)
