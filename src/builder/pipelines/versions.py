"""The versions of a pipeline that a repository holds, and what servers make of them."""

from __future__ import annotations

import enum
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from builder.pipelines.config_files import CONFIG_FILE, named_versions, read_config, version_folders
from builder.pipelines.manifest import (
    MANIFEST_FILE,
    Manifest,
    active_version,
    is_pipeline,
    pipelines,
    read_manifest,
)
from builder.pipelines.pipeline_models import has_streams, models_in, step_models
from builder.pipelines.version_switch import unshareable_steps


class VersionState(str, enum.Enum):
    """What a server that reads the repository does with a version."""

    ACTIVE = "active"
    """Answers the pipeline's clients."""
    LOADED = "loaded"
    """Stays loaded beside the active one, for requests that began before it was replaced."""
    KEPT = "kept"
    """Is left alone; `framewire rollback` makes it the active one again."""


@dataclass(frozen=True)
class PipelineVersion:
    """One version of a pipeline.

    Attributes:
        manifest: how it was built.
        state: what servers do with it.
        built: when, in local time.
    """

    manifest: Manifest
    state: VersionState
    built: datetime


def kept_versions(repository: Path, name: str) -> tuple[int, ...]:
    """Return the versions that could answer, the active one among them, ascending."""
    return tuple(
        version
        for version in version_folders(repository / name)
        if (repository / name / str(version) / MANIFEST_FILE).is_file()
        and all(
            (repository / model / str(version) / CONFIG_FILE).is_file()
            for model in models_in(repository, name)
        )
    )


def is_whole(repository: Path, name: str) -> bool:
    """Return whether there is a pipeline of ours to which a version can be added."""
    return is_pipeline(repository, name) and active_version(repository, name) in kept_versions(
        repository, name
    )


def next_version(repository: Path, name: str) -> int:
    """Return a number that no version of the pipeline has had and left a trace of."""
    folders = (version_folders(repository / model) for model in models_in(repository, name))
    return max((version for each in folders for version in each), default=0) + 1


def loaded_versions(repository: Path, name: str) -> tuple[int, ...]:
    """Return the versions that some step's config has servers load, ascending."""
    steps = step_models(name, streams=has_streams(repository, name))
    named = (named_versions(read_config(repository / step)) for step in steps)
    return tuple(sorted({version for each in named for version in each}))


def versions_of(repository: Path, name: str) -> tuple[PipelineVersion, ...]:
    """Return what a repository holds of a pipeline, newest first.

    Raises:
        RepositoryError: there is no pipeline of this name.
        InvalidPipelineError: a config or a manifest is damaged.
    """
    active = active_version(repository, name)
    loaded = loaded_versions(repository, name)

    def state(version: int) -> VersionState:
        if version == active:
            return VersionState.ACTIVE
        return VersionState.LOADED if version in loaded else VersionState.KEPT

    return tuple(
        PipelineVersion(
            manifest=read_manifest(repository, name, version),
            state=state(version),
            built=datetime.fromtimestamp(
                (repository / name / str(version) / MANIFEST_FILE).stat().st_mtime
            ),
        )
        for version in reversed(kept_versions(repository, name))
    )


def prune_hints(repository: Path, left_out: Collection[str] = ()) -> list[str]:
    """Return a sentence for each pipeline of which servers load more than the active version.

    Args:
        repository: that holds them.
        left_out: names of those that are not served, and may be damaged.
    """
    hints = []
    for name in pipelines(repository):
        if name in left_out:
            continue
        others = set(loaded_versions(repository, name)) - {active_version(repository, name)}
        if others:
            hints.append(
                f"version {', '.join(map(str, sorted(others)))} of {name} is loaded beside the "
                f"active one: once no server needs it, `framewire prune {name} --repository "
                f"{shlex.quote(str(repository))}` frees its memory"
            )
    return hints


def gap_line(repository: Path, name: str, old: int, new: int) -> str | None:
    """Return what clients notice while servers change between two versions; None if nothing."""
    steps = unshareable_steps(repository, name, old, new)
    if not steps:
        return None
    return (
        f"servers have a gap while they change to it, because {' and '.join(steps)} cannot serve "
        f"version {old} too: clients get UNAVAILABLE or NOT_FOUND until it is loaded; "
        "framewire-client tries again for about a second, longer with more --retries"
    )


def publication_line(repository: Path, name: str) -> str:
    """Return one line on the version that was published last: what else is there, what servers do.

    Raises:
        RepositoryError: there is no pipeline of this name.
        InvalidPipelineError: a config is damaged.
    """
    active = active_version(repository, name)
    others = [version for version in kept_versions(repository, name) if version != active]
    line = f"version {active} of {name} is active"
    if not others:
        return line
    loaded = [version for version in others if version in loaded_versions(repository, name)]
    previous = loaded[-1] if loaded else others[-1]
    if gap := gap_line(repository, name, previous, active):
        return f"{line}; {gap}"
    if loaded:
        stay = (
            f"version {previous} stays"
            if len(loaded) == 1
            else f"versions {' and '.join(map(str, loaded))} stay"
        )
        return (
            f"{line}; {stay} loaded beside it until `framewire load {name} --url SERVER` or "
            f"`framewire prune {name}`"
        )
    return f"{line}; kept for `framewire rollback {name}`: {', '.join(map(str, others))}"
