"""Which models a pipeline has: five, and three more where it takes streams of video packets.

Whether it takes streams is decided for a pipeline and not for each of its versions: Triton would go
on with the models of a version that has none of its own to replace them.
"""

from __future__ import annotations

import enum
from contextlib import suppress
from pathlib import Path

from thin_client.contract import model_names

# As in config_files, which is slow to import for a health check.
CONFIG_FILE = "config.pbtxt"
# In NAME/<version>/ of every pipeline.
MANIFESTS = "*/*/pipeline.json"


class Streams(enum.IntEnum):
    """How a pipeline takes streams; as good as a bool where only whether it does matters."""

    NONE = 0
    DETECT = 1
    """Decode and detect, which calls the network."""
    NETWORK = 2
    """Decode, network and postprocess: as pipelines were built before there was a detect step."""


def models_of(name: str, *, streams: Streams | bool) -> tuple[str, ...]:
    """Return Triton's names of a pipeline's models: what clients call first, then the steps."""
    names = model_names(name)
    if not streams:
        return names.all
    return (*public_models(name, streams=streams), *step_models(name, streams=streams))


def public_models(name: str, *, streams: Streams | bool) -> tuple[str, ...]:
    """Return the models that clients call, the ensemble first."""
    names = model_names(name)
    return (names.ensemble, names.bls, *((names.stream,) if streams else ()))


def step_models(name: str, *, streams: Streams | bool) -> tuple[str, ...]:
    """Return the models that ensembles call; their configs may name two versions."""
    names = model_names(name)
    steps = (names.preprocess, names.network, names.postprocess)
    if not streams:
        return steps
    return (*steps, names.decode, *(() if streams == Streams.NETWORK else (names.detect,)))


def has_streams(repository: Path, name: str) -> Streams:
    """Return whether and how the pipeline in a repository takes streams."""
    if (repository / model_names(name).stream / CONFIG_FILE).is_file():
        return _how(repository, name)
    return Streams.NONE


def _how(repository: Path, name: str) -> Streams:
    names = model_names(name)
    if (repository / names.detect).is_dir():
        return Streams.DETECT
    # Its detect step may be lost, and then the ensemble still names it.
    with suppress(OSError, UnicodeDecodeError):
        if f'"{names.detect}"' in (repository / names.stream / CONFIG_FILE).read_text():
            return Streams.DETECT
    return Streams.NETWORK


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
    return models_of(name, streams=_how(repository, name) if streams else Streams.NONE)
