"""Which models a pipeline has: five, and three more where it takes streams of video packets.

Whether it takes streams is decided for a pipeline and not for each of its versions: Triton would go
on with the models of a version that has none of its own to replace them.
"""

from __future__ import annotations

from pathlib import Path

from thin_client.contract import model_names

# As in config_files, which is slow to import for a health check.
CONFIG_FILE = "config.pbtxt"
# In NAME/<version>/ of every pipeline.
MANIFESTS = "*/*/pipeline.json"


def models_of(name: str, *, streams: bool) -> tuple[str, ...]:
    """Return Triton's names of a pipeline's models: what clients call first, then the steps."""
    names = model_names(name)
    if not streams:
        return names.all
    return (*public_models(name, streams=True), *step_models(name, streams=True))


def public_models(name: str, *, streams: bool) -> tuple[str, ...]:
    """Return the models that clients call, the ensemble first."""
    names = model_names(name)
    return (names.ensemble, names.bls, *((names.stream,) if streams else ()))


def step_models(name: str, *, streams: bool) -> tuple[str, ...]:
    """Return the models that ensembles call; their configs may name two versions."""
    names = model_names(name)
    steps = (names.preprocess, names.network, names.postprocess)
    return (*steps, names.decode, names.detect) if streams else steps


def has_streams(repository: Path, name: str) -> bool:
    """Return whether the pipeline in a repository takes streams."""
    return (repository / model_names(name).stream / CONFIG_FILE).is_file()


def models_in(repository: Path, name: str) -> tuple[str, ...]:
    """Return Triton's names of the models that a pipeline in a repository has."""
    return models_of(name, streams=has_streams(repository, name))


def all_names(repository: Path) -> tuple[str, ...]:
    """Return the names of all pipelines in a repository, the damaged ones too, sorted.

    One whose ensemble is damaged still has its manifests, or its steps and ``NAME_bls``, which
    other people's models of such names have not.
    """
    if not repository.is_dir():
        return ()
    folders = {path.name for path in repository.iterdir() if path.is_dir()}
    names = {manifest.parent.parent.name for manifest in repository.glob(MANIFESTS)}
    for folder in folders:
        name = folder.removesuffix("_network")
        names_of = model_names(name)
        if folder != name and {names_of.postprocess, names_of.bls} <= folders:
            names.add(name)
    return tuple(sorted(names))


def wanted_models(repository: Path, name: str) -> tuple[str, ...]:
    """Return the models that a pipeline should have, those whose folders are damaged too."""
    streaming = model_names(name).streaming
    streams = any((repository / model / CONFIG_FILE).is_file() for model in streaming)
    return models_of(name, streams=streams)
