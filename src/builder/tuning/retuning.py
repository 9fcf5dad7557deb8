"""A version of a pipeline with other settings: to try, and to publish.

Only what the settings are written in changes, so that the files are those of a build with these
settings; the network is the version's own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from builder.errors import TuningError
from builder.pipelines.config_files import CONFIG_FILE, config_text, parse_config
from builder.pipelines.manifest import Manifest, read_manifest, write_manifest
from builder.pipelines.model_configs import NETWORK_FILE
from builder.pipelines.pipeline_models import models_in
from builder.pipelines.repository import SETTINGS_FILE
from builder.pipelines.version_changes import KEPT_OLD_VERSIONS, new_version
from builder.settings import Precision
from builder.tuning.parameters import Choice
from thin_client.contract import model_names

# What a version's code must read for the settings to do anything.
READ_FROM_SETTINGS = ("decoder", "instances", "decode_threads")
READ_BY_NETWORK = ("precision",)


def check_retunable(repository: Path, manifest: Manifest, *, precision: bool = False) -> None:
    """Check that a version's code reads what may be changed.

    Args:
        repository: that holds the pipeline.
        manifest: of the version.
        precision: whether that of the network may be.

    Raises:
        TuningError: it is of a builder that did not know all of it.
    """
    names = model_names(manifest.name)
    read: dict[str, tuple[str, ...]] = {
        names.preprocess: READ_FROM_SETTINGS,
        names.bls: READ_FROM_SETTINGS,
    }
    network = repository / names.network / str(manifest.version)
    if precision and (network / SETTINGS_FILE).exists():
        read[names.network] = READ_BY_NETWORK
    elif precision:
        raise TuningError(_built_before(manifest, READ_BY_NETWORK))
    for model, wanted in read.items():
        file = repository / model / str(manifest.version) / SETTINGS_FILE
        try:
            known = json.loads(file.read_text())
        except (OSError, ValueError) as error:
            raise TuningError(
                f"{model}/{manifest.version}/{SETTINGS_FILE} in {repository} cannot be read "
                f"({type(error).__name__}): build the pipeline again"
            ) from error
        if missing := [name for name in wanted if name not in known]:
            raise TuningError(_built_before(manifest, missing))


def _built_before(manifest: Manifest, missing: Sequence[str]) -> str:
    return (
        f"version {manifest.version} of {manifest.name} was built before there was "
        f"{' and '.join(missing)} to choose: build it again with `framewire build`"
    )


def stage_retuned(
    repository: Path, manifest: Manifest, choice: Choice, folder: Path, int8: Path | None = None
) -> Path:
    """Make a repository that holds one version with other settings, its network linked; return it.

    Args:
        repository: that holds the pipeline.
        manifest: of the version.
        choice: the settings.
        folder: to make.
        int8: the version's network in int8, where the choice wants that.
    """
    version = str(manifest.version)
    for model in models_in(repository, manifest.name):
        shutil.copytree(
            repository / model / version, folder / model / version, copy_function=_copy_or_link
        )
        shutil.copyfile(folder / model / version / CONFIG_FILE, folder / model / CONFIG_FILE)
    write_choice(folder, manifest, choice, int8)
    return folder


def write_choice(
    models: Path, manifest: Manifest, choice: Choice, int8: Path | None = None
) -> None:
    """Write settings into the configs and the settings files of a version, and its manifest.

    Args:
        models: a folder laid out as a repository that holds this version only.
        manifest: of the version.
        choice: the settings.
        int8: the version's network in int8, where the choice wants that.

    Raises:
        InvalidPipelineError: a config is damaged.
    """
    names, version = model_names(manifest.name), str(manifest.version)
    decoding = [names.preprocess, names.bls, *([names.decode] if manifest.stream else [])]
    for model in models_in(models, manifest.name):
        for file in (models / model / CONFIG_FILE, models / model / version / CONFIG_FILE):
            config = parse_config(file)
            if model != names.stream:  # a packet comes alone
                config.max_batch_size = choice.max_batch
            if model in decoding:
                config.instance_group[0].count = choice.instances
            file.write_text(config_text(config))
    for model in decoding:
        file = models / model / version / SETTINGS_FILE
        settings = json.loads(file.read_text())
        settings |= {name: str(choice.values[name]) for name in READ_FROM_SETTINGS}
        file.write_text(json.dumps(settings, indent=1, ensure_ascii=False) + "\n")
    if choice.precision is not manifest.precision:
        file = models / names.network / version / SETTINGS_FILE
        if choice.precision is Precision.INT8 and int8 is not None:
            network = file.with_name(NETWORK_FILE)
            network.unlink()
            shutil.copyfile(int8, network)
        settings = json.loads(file.read_text()) | {"precision": choice.precision.value}
        file.write_text(json.dumps(settings, indent=1, ensure_ascii=False) + "\n")
    write_manifest(models / names.ensemble / version, replace(manifest, **vars(choice)))


def publish_choice(
    repository: Path,
    measured: Manifest,
    choice: Choice,
    evidence: Mapping[str, str],
    *,
    keep: int = KEPT_OLD_VERSIONS,
    int8: Path | None = None,
) -> int:
    """Publish a version with other settings as the pipeline's next one; return its number.

    Args:
        repository: that holds the pipeline.
        measured: the version that was measured; the new one is a copy of it.
        choice: the settings.
        evidence: texts of files to put beside the new version's manifest, by name.
        keep: old versions to keep.
        int8: the version's network in int8, where the choice wants that.

    Raises:
        TuningError: another version has become the active one.
        RepositoryError: the repository cannot be written; it is as it was before.
    """
    with new_version(repository, measured.name, keep=keep) as staged:
        if read_manifest(repository, measured.name) != measured:
            raise TuningError(
                f"{measured.name} was built anew while version {measured.version} was measured: "
                "run `framewire tune` again"
            )
        write_choice(staged.models, staged.manifest, choice, int8)
        for file, text in evidence.items():
            (staged.folder(measured.name) / file).write_text(text)
    return staged.version


def _copy_or_link(source: str, target: str) -> None:
    if Path(source).name == NETWORK_FILE:
        Path(target).symlink_to(Path(source).resolve())
    else:
        shutil.copyfile(source, target)
