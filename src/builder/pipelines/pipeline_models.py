"""Which models a pipeline has: five, and two more where it takes streams of video packets.

Whether it takes streams is decided for a pipeline and not for each of its versions: Triton would go
on with the models of a version that has none of its own to replace them.
"""

from __future__ import annotations

from pathlib import Path

from thin_client.contract import model_names

# As in config_files, which is slow to import for a health check.
CONFIG_FILE = "config.pbtxt"


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
    return (*steps, names.decode) if streams else steps


def has_streams(repository: Path, name: str) -> bool:
    """Return whether the pipeline in a repository takes streams."""
    return (repository / model_names(name).stream / CONFIG_FILE).is_file()


def models_in(repository: Path, name: str) -> tuple[str, ...]:
    """Return Triton's names of the models that a pipeline in a repository has."""
    return models_of(name, streams=has_streams(repository, name))
