"""What a crash left behind: shared memory, folders, half-published versions."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from builder.doctor.case import Case
from builder.doctor.finding import ELSEWHERE, CannotLook, Finding, Seen, hint, listed, warning
from builder.doctor.processes import PROC, all_pids, is_locked, mapped_in, option_of
from builder.doctor.shared_memory import MIB, regions
from builder.pipelines.config_files import version_folders
from builder.pipelines.pipeline_models import models_in
from builder.pipelines.publication import left_overs
from builder.pipelines.versions import kept_versions
from builder.serving.server import FALLBACK_TEMPORARY, SCRATCH_PREFIX
from builder.serving.shared_memory import SHM_FOLDER
from builder.tensorrt.engine_cache import BUILDING
from builder.tensorrt.engine_options import EngineOptions
from builder.tensorrt.fitting_plans import SERVED

# Leftovers that hold this much of /dev/shm are more than untidy.
MUCH_OF_SHARED_MEMORY = 256 * MIB
UUID_LENGTH = 36


def look_for_regions(case: Case) -> Seen:
    """Look for shared memory of models that no process has mapped any more."""
    folder = case.shared_memory
    if case.elsewhere:
        raise CannotLook(ELSEWHERE)
    _check_that_processes_are_seen()
    found = regions(folder)
    # In this order a region that is made meanwhile is not taken for a leftover.
    mapped, hidden = mapped_in(SHM_FOLDER)
    unmapped = [(name, size) for name, size in found if name not in mapped]
    abandoned = [each for each in unmapped if _is_ours(folder / each[0], hidden)]
    if not abandoned:
        others = len(unmapped)
        seen = f", {others} of other users, who alone see whether they use them" if others else ""
        return Seen(f"{len(found) or 'none'} of models, none that a killed server left{seen}")
    size = sum(size for _, size in abandoned)
    kind = warning if size >= MUCH_OF_SHARED_MEMORY else hint
    kept = {name for name, _ in found} - {name for name, _ in abandoned}
    files = " ".join(f"{folder}/{each}" for each in _patterns(abandoned, mapped | kept))
    return Seen(
        f"{len(found)} of models, {len(abandoned)} of them in nobody's use",
        (
            kind(
                "leftover-shared-memory",
                f"{len(abandoned)} shared-memory regions of models ({size / MIB:.0f} MB) are in "
                "the memory of no process that can be seen from here: a server that was killed "
                "left them",
                f"`rm {files}`, unless a container shares this {SHM_FOLDER}",
            ),
        ),
    )


def _check_that_processes_are_seen() -> None:
    if not (PROC / "self").exists():
        raise CannotLook(f"{PROC} does not show processes, nor so what they use")


def _is_ours(file: Path, hidden: Collection[int] = ()) -> bool:
    """Return whether this process could see who uses a file, and may remove it.

    Args:
        file: or folder; one that is gone is nobody's.
        hidden: users whose processes may not be looked at.
    """
    try:
        owner = file.stat().st_uid
    except OSError:
        return False
    return os.geteuid() in {0, owner} and owner not in hidden


def _patterns(abandoned: list[tuple[str, int]], mapped: set[str]) -> list[str]:
    """Return what a shell takes for the abandoned regions and for nothing that is in use."""
    patterns = set()
    for name, _ in abandoned:
        # Triton ends a name with a UUID.
        server = name[:-UUID_LENGTH]
        in_use = not server or any(other.startswith(server) for other in mapped)
        whole = in_use or not name.startswith("framewire_")
        patterns.add(name if whole else f"{server}*")
    return sorted(patterns)


def look_for_scratch_folders(_case: Case) -> Seen:
    """Look for the folders in which `framewire serve` lays out a Triton, without that Triton."""
    _check_that_processes_are_seen()
    used = set()
    for pid in all_pids():
        if folder := option_of(pid, "--model-repository"):
            used.add(Path(folder).parent)
    parents = {Path(tempfile.gettempdir()), Path(FALLBACK_TEMPORARY)}
    found = [
        folder
        for parent in sorted(parents)
        for folder in sorted(parent.glob(f"{SCRATCH_PREFIX}*"))
        # A folder of another kind, or of a server that is about to start, is none.
        if _is_ours(folder)
        and (folder / "repository").is_symlink()
        and (folder / "backends").is_dir()
    ]
    abandoned = [folder for folder in found if folder not in used]
    if not abandoned:
        return Seen(f"{len(found) or 'none'} of servers, none that a killed one left")
    several = f"{len(abandoned)} folders" if len(abandoned) > 1 else "a folder"
    return Seen(
        f"{len(found)} of servers, {len(abandoned)} of them in nobody's use",
        (
            hint(
                "leftover-scratch-folder",
                f"{several} of servers that were killed: {listed(list(map(str, abandoned)))}",
                f"`rm -r {' '.join(shlex.quote(str(folder)) for folder in abandoned)}`",
            ),
        ),
    )


def look_for_half_published(case: Case) -> Seen:
    """Look for changes of the repository that a killed command did not finish."""
    repository = case.the_repository()
    if not repository.is_dir():
        raise CannotLook(f"there is no folder {repository}")
    findings = _staged(repository)
    for name in case.pipelines():
        findings += _half_versions(repository, name)
    if findings and is_locked(repository):
        findings = []  # somebody is at work
    findings += _caches(repository)
    words = "no change is half done" if not findings else "a killed command left its traces"
    return Seen(words, tuple(findings))


def _staged(repository: Path) -> list[Finding]:
    staged = left_overs(repository.resolve())
    if not staged:
        return []
    return [
        warning(
            "half-published",
            f"a command that changed {repository} was killed and left "
            f"{listed([folder.name for folder in staged])} beside or in it: what it was doing is "
            "half done",
            f"`framewire list --repository {shlex.quote(str(repository))}` takes it back or "
            "finishes it",
        )
    ]


def _half_versions(repository: Path, name: str) -> list[Finding]:
    kept = set(kept_versions(repository, name))
    there = {
        version
        for model in models_in(repository, name)
        for version in version_folders(repository / model)
    }
    half = sorted(there - kept)
    if not half:
        return []
    several = len(half) > 1
    paths = [
        shlex.quote(str(repository / model / str(version)))
        for version in half
        for model in models_in(repository, name)
        if (repository / model / str(version)).is_dir()
    ]
    return [
        warning(
            "half-version",
            f"version{'s' if several else ''} {', '.join(map(str, half))} of {name} in "
            f"{repository} {'are' if several else 'is'} there in some of its models only, and can "
            "neither be served nor gone back to",
            f"`rm -r {' '.join(paths)}`",
        )
    ]


def _caches(repository: Path) -> list[Finding]:
    abandoned = []
    cache = EngineOptions().cache_folder(repository)
    for prefix in (BUILDING, SERVED):
        for folder in sorted(cache.glob(f"{prefix}*")):
            with suppress(OSError):
                if not is_locked(folder):
                    abandoned.append(folder)
    if not abandoned:
        return []
    paths = " ".join(shlex.quote(str(folder)) for folder in abandoned)
    return [
        hint(
            "leftover-plan-folder",
            f"{len(abandoned)} folders of plans in the making are nobody's any more: "
            f"{listed([str(folder) for folder in abandoned])}",
            f"`rm -r {paths}`, or the next `framewire engine` removes them",
        )
    ]
