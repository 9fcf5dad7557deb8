"""Changing which version of a pipeline answers: a new one, a kept one, only one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from builder.errors import RepositoryError, SettingsError
from builder.pipelines.config_files import CONFIG_FILE, config_text, parse_config, with_versions
from builder.pipelines.manifest import Manifest, active_version, read_manifest, write_manifest
from builder.pipelines.pipeline_models import has_streams, models_of
from builder.pipelines.publication import Publication, publishing
from builder.pipelines.version_switch import (
    Switch,
    drop_old_versions,
    remove_version,
    switch_version,
)
from builder.pipelines.versions import is_whole, kept_versions, loaded_versions, next_version
from thin_client.contract import ModelNames, model_names

# Old versions that stay for a rollback: the one before, and the one before that in case two bad
# ones follow each other.
KEPT_OLD_VERSIONS = 2


@dataclass(frozen=True)
class StagedVersion:
    """A version of a pipeline that is being made.

    Attributes:
        manifest: of the version; a copy of the active one's but for its number.
        models: a folder laid out as a repository that holds this version only.
    """

    manifest: Manifest
    models: Path

    @property
    def version(self) -> int:
        """Its number."""
        return self.manifest.version

    @property
    def names(self) -> ModelNames:
        """Triton's names of the models."""
        return model_names(self.manifest.name)

    @property
    def all_models(self) -> tuple[str, ...]:
        """Those that the pipeline has."""
        streams = has_streams(self.models, self.manifest.name) or self.manifest.stream
        return models_of(self.manifest.name, streams=streams)

    def folder(self, model: str) -> Path:
        """Return the version's folder in one of the models."""
        return self.models / model / str(self.version)


def publish_version(
    publication: Publication, name: str, version: int, *, keep: int = KEPT_OLD_VERSIONS
) -> None:
    """Make a staged version the active one, and delete the oldest beyond what is to be kept.

    Args:
        publication: holds the version in ``models/NAME_x/<version>``.
        name: of a pipeline that is there already.
        version: a number that the pipeline has not had.
        keep: old versions to keep; at least 1, the one that requests in flight still need.

    Raises:
        SettingsError: ``keep`` is less than 1.
        OSError: the old version is still the active one.
    """
    check_keep(keep)
    repository = publication.repository
    old = active_version(repository, name)
    switch = Switch(name, old=old, new=version, staged=True, streams=has_streams(repository, name))
    switch_version(repository, publication.staging, switch, keep=keep)
    needed = {version, *loaded_versions(repository, name)}
    others = [each for each in kept_versions(repository, name) if each not in {version, old}]
    for superfluous in reversed([old, *reversed(others)][keep:]):
        if superfluous not in needed:
            # If it cannot be deleted now, the next command tries again.
            with suppress(OSError):
                remove_version(repository, publication.staging, name, superfluous)


def check_keep(keep: int) -> None:
    """Check how many old versions are to be kept.

    Raises:
        SettingsError: fewer than one.
    """
    if keep < 1:
        raise SettingsError(
            f"--keep must be at least 1, got {keep}: requests in flight need the version before "
            "(--replace throws away all of them)"
        )


@contextmanager
def new_version(
    repository: Path, name: str, *, keep: int = KEPT_OLD_VERSIONS
) -> Iterator[StagedVersion]:
    """Stage a copy of a pipeline's active version under the next number, and publish it at the end.

    If the body raises, the repository stays as it is.

    Raises:
        RepositoryError: there is no such pipeline, or the repository cannot be written.
    """
    with publishing(repository) as publication:
        _check_whole(repository, name)
        old = read_manifest(publication.repository, name)
        number = next_version(publication.repository, name)
        staged = StagedVersion(replace(old, version=number), publication.models)
        for model in staged.all_models:
            source = publication.repository / model / str(old.version)
            shutil.copytree(source, staged.folder(model))
            _renumber(staged.folder(model) / CONFIG_FILE, old.version, number)
        write_manifest(staged.folder(name), staged.manifest)
        for model in staged.all_models:
            shutil.copyfile(
                staged.folder(model) / CONFIG_FILE, publication.models / model / CONFIG_FILE
            )
        yield staged
        publish_version(publication, name, number, keep=keep)


def roll_back(repository: Path, name: str, to: int | None = None) -> Manifest:
    """Make a kept version of a pipeline the active one again; return what it is.

    Args:
        repository: that holds it.
        name: of the pipeline.
        to: the version; by default the newest that is older than the active one.

    Raises:
        RepositoryError: there is no such pipeline or version, or nothing to go back to.
    """
    with publishing(repository) as publication:
        _check_whole(repository, name)
        active, kept = active_version(repository, name), kept_versions(repository, name)
        older = [version for version in kept if version < active]
        if to is None and not older:
            raise RepositoryError(
                f"{name} has no version older than {active}, the active one, its versions are: "
                f"{_listed(kept)}: name one with --to"
            )
        chosen = older[-1] if to is None else to
        if chosen not in kept:
            raise RepositoryError(
                f"{name} has no version {chosen}, its versions are: {_listed(kept)}: name one of "
                "them with --to"
            )
        # Before anything changes: it may be damaged.
        manifest = read_manifest(repository, name, chosen)
        if chosen != active:
            switch = Switch(
                name,
                old=active,
                new=chosen,
                staged=False,
                streams=has_streams(repository, name),
            )
            switch_version(
                publication.repository, publication.staging, switch, keep=KEPT_OLD_VERSIONS
            )
        return manifest


def prune(repository: Path, name: str, active: int | None = None) -> tuple[int, ...]:
    """Have servers unload every version but the active one; its files stay.

    Args:
        repository: that holds the pipeline.
        name: of the pipeline.
        active: the version that is expected to be active, if that matters.

    Returns:
        The versions that were loaded besides.

    Raises:
        RepositoryError: there is no such pipeline, or another version is active by now.
    """
    with publishing(repository) as publication:
        _check_whole(repository, name)
        found = active_version(repository, name)
        if active not in {None, found}:
            raise RepositoryError(
                f"version {found} of {name} was published while servers loaded version {active}: "
                f"run `framewire load {name}` again"
            )
        return drop_old_versions(publication.repository, publication.staging, name, found)


def _renumber(config_file: Path, old: int, new: int) -> None:
    config = with_versions(parse_config(config_file), new)
    for step in config.ensemble_scheduling.step:
        step.model_version = new
    for output in config.output:
        if output.label_filename:
            output.label_filename = output.label_filename.replace(f"{old}/", f"{new}/", 1)
    config_file.write_text(config_text(config))


def _check_whole(repository: Path, name: str) -> None:
    version = active_version(repository, name)
    if not is_whole(repository, name):
        raise RepositoryError(
            f"version {version} of {name} in {repository} lacks some of its files: build it again "
            "with --replace"
        )


def _listed(versions: tuple[int, ...]) -> str:
    return ", ".join(map(str, versions))
