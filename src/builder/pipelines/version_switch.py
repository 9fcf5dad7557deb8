"""From one version of a pipeline to another while Triton watches and anything may be killed.

Every step is one rename, and after each of them the old version answers or the new one does:

1. The new version's folders go into the five models, the ensemble's last. No config names them yet.
2. The configs of the steps are replaced; they name both versions, so that a server which
   reads them has both when the ensemble changes, and those before that nobody has pruned.
3. The ensemble's config is replaced: the new version is the pipeline's. Then those of
   ``NAME_bls`` and ``NAME_stream``.

A journal tells the next command what a killed one was at. Before the third step it takes the
version back, after it the rest is done.
"""

from __future__ import annotations

import json
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from builder.pipelines.config_files import (
    CONFIG_FILE,
    config_text,
    named_versions,
    parse_config,
    read_config,
    with_versions,
)
from builder.pipelines.config_messages import pb
from builder.pipelines.durable import flush, flush_tree, move, replace_file
from builder.pipelines.pipeline_models import (
    Streams,
    has_streams,
    models_in,
    models_of,
    public_models,
    step_models,
)

SWITCH_JOURNAL = "switch.json"
REMOVAL_JOURNAL = "removal.json"
WRITTEN, REMOVED = "written", "removed"
# A server in poll mode looks at one model after the other. One that had looked at the steps before
# they changed must have looked at the ensemble too before that changes: it would find it without
# its steps, unload it, and not try again.
LOOK_S = 1.0


@dataclass(frozen=True)
class Switch:
    """A change of a pipeline's active version.

    Attributes:
        name: of the pipeline.
        old: the version that is active before.
        new: the version that is active afterwards.
        staged: whether the new version's folders are still in the staging folder.
        streams: whether and how the pipeline takes streams.
    """

    name: str
    old: int
    new: int
    staged: bool
    streams: Streams | bool = False

    @property
    def models(self) -> tuple[str, ...]:
        """The models, the ensemble first."""
        return models_of(self.name, streams=self.streams)

    @property
    def public(self) -> tuple[str, ...]:
        """The models whose configs name one version, the ensemble first."""
        return public_models(self.name, streams=self.streams)

    @property
    def steps(self) -> tuple[str, ...]:
        """The models whose configs may name two versions."""
        return step_models(self.name, streams=self.streams)


def switch_version(repository: Path, staging: Path, switch: Switch, *, keep: int) -> None:
    """Make another version the active one.

    Args:
        repository: that holds the pipeline; no other process is writing to it.
        staging: folder on the same file system; a new version is staged in ``models/NAME_x/<new>``.
        switch: what to do.
        keep: how many of the versions that servers load may stay loaded beside the new one, the
            latest of them first. A server that missed the last change still serves one of them.

    Raises:
        OSError: the old version is the active one then.
        InvalidPipelineError: likewise.
    """
    models = staging / "models"
    source = models if switch.staged else repository
    configs = {name: _kept_config(source, name, switch.new) for name in switch.models}
    policies = {
        step: [switch.new, *_served_beside(repository, step, switch, configs[step])[:keep]]
        for step in switch.steps
    }
    # Everything is written before anything moves: renames need no room on the disk.
    if switch.staged:
        flush_tree(models)
    written = staging / WRITTEN
    written.mkdir()
    for name, config in configs.items():
        versions = policies.get(name, [switch.new])
        (written / name).write_text(config_text(with_versions(config, *versions)))
    flush_tree(written)
    before = {name: (repository / name / CONFIG_FILE).read_text() for name in switch.models}
    _write_journal(staging / SWITCH_JOURNAL, {"switch": vars(switch), "configs": before})
    try:
        if switch.staged:
            for name in reversed(switch.models):
                move(models / name / str(switch.new), _version(repository, name, switch.new))
        for step in switch.steps:
            move(written / step, repository / step / CONFIG_FILE)
        time.sleep(LOOK_S)
        for name in switch.public:
            move(written / name, repository / name / CONFIG_FILE)
    except BaseException:
        mend_switch(repository, staging)
        raise
    (staging / SWITCH_JOURNAL).unlink()


def mend_switch(repository: Path, staging: Path) -> None:
    """Finish or take back the switch whose journal lies in a staging folder, if there is one."""
    journal = staging / SWITCH_JOURNAL
    if not journal.exists():
        return
    with suppress(ValueError):  # half a journal: nothing had happened yet
        content = json.loads(journal.read_text())
        switch, before = Switch(**content["switch"]), content["configs"]
        if named_versions(read_config(repository / switch.name)) == (switch.new,):
            for name in switch.public[1:]:
                config = _kept_config(repository, name, switch.new)
                _write_config(repository, staging, name, config_text(config))
        else:
            for name in (*switch.steps, *switch.public[1:]):
                _write_config(repository, staging, name, before[name])
            if switch.staged:
                _remove_folders(repository, staging, switch.name, switch.new)
    journal.unlink()


def remove_version(repository: Path, staging: Path, name: str, version: int) -> None:
    """Delete a version that no config names."""
    _write_journal(staging / REMOVAL_JOURNAL, {"name": name, "version": version})
    _remove_folders(repository, staging, name, version)
    (staging / REMOVAL_JOURNAL).unlink()


def mend_removal(repository: Path, staging: Path) -> None:
    """Finish the removal whose journal lies in a staging folder, if there is one."""
    journal = staging / REMOVAL_JOURNAL
    if not journal.exists():
        return
    with suppress(ValueError):  # half a journal: nothing had happened yet
        _remove_folders(repository, staging, **json.loads(journal.read_text()))
    journal.unlink()


def drop_old_versions(repository: Path, staging: Path, name: str, active: int) -> tuple[int, ...]:
    """Have the steps' configs name the active version only; return what they named besides."""
    dropped: set[int] = set()
    for step in step_models(name, streams=has_streams(repository, name)):
        config = read_config(repository / step)
        others = set(named_versions(config)) - {active}
        if others:
            _write_config(repository, staging, step, config_text(with_versions(config, active)))
            dropped |= others
    return tuple(sorted(dropped))


def unshareable_steps(repository: Path, name: str, old: int, new: int) -> tuple[str, ...]:
    """Return the steps of which no config can serve both versions."""
    return tuple(
        step
        for step in step_models(name, streams=has_streams(repository, name))
        if not _one_config_serves(
            _kept_config(repository, step, new), _kept_config(repository, step, old)
        )
    )


def _served_beside(
    repository: Path, step: str, switch: Switch, config: pb.ModelConfig
) -> list[int]:
    """Return the versions that servers load and the new config can serve too, latest first."""
    named = set(named_versions(read_config(repository / step))) - {switch.old, switch.new}
    return [
        version
        for version in (switch.old, *sorted(named, reverse=True))
        if _is_kept(repository, step, version)
        and _one_config_serves(config, _kept_config(repository, step, version))
    ]


def _one_config_serves(new: pb.ModelConfig, old: pb.ModelConfig) -> bool:
    """Return whether the new version's config can serve the old version's files as well."""
    return bool(_identity(new) == _identity(old))


def _identity(config: pb.ModelConfig) -> pb.ModelConfig:
    return pb.ModelConfig(
        platform=config.platform,
        backend=config.backend,
        default_model_filename=config.default_model_filename,
        max_batch_size=config.max_batch_size,
        input=config.input,
        output=config.output,
    )


def _version(repository: Path, name: str, version: int) -> Path:
    return repository / name / str(version)


def _is_kept(repository: Path, name: str, version: int) -> bool:
    return (_version(repository, name, version) / CONFIG_FILE).is_file()


def _kept_config(repository: Path, name: str, version: int) -> pb.ModelConfig:
    return parse_config(_version(repository, name, version) / CONFIG_FILE)


def _write_config(repository: Path, staging: Path, name: str, text: str) -> None:
    file = repository / name / CONFIG_FILE
    if file.read_text() != text:
        replace_file(file, text, staging)


def _write_journal(journal: Path, content: dict[str, object]) -> None:
    journal.write_text(json.dumps(content))
    flush(journal)
    flush(journal.parent)


def _remove_folders(repository: Path, staging: Path, name: str, version: int) -> None:
    # The ensemble's goes first: without it a version is none.
    (staging / REMOVED).mkdir(exist_ok=True)
    for model in models_in(repository, name):
        folder, removed = _version(repository, model, version), staging / REMOVED / model
        if folder.exists():
            shutil.rmtree(removed, ignore_errors=True)
            move(folder, removed)
    shutil.rmtree(staging / REMOVED, ignore_errors=True)
