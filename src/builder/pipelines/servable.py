"""What Triton is not to be given, because it would wait for ever or serve what nobody can call.

Only what can be seen in files at once: a network that its runtime refuses, or a model that raises
an exception when it is imported, Triton finds out.
"""

from __future__ import annotations

from pathlib import Path

from builder.errors import InvalidPipelineError, RepositoryError
from builder.pipelines.config_files import CONFIG_FILE, named_versions, read_config, version_folders
from builder.pipelines.manifest import is_pipeline, read_manifest
from builder.pipelines.pipeline_models import all_names, wanted_models

PYTHON_FILE = "model.py"


def unservable(repository: Path) -> dict[str, RepositoryError]:
    """Return why pipelines, and models of nobody's pipeline, cannot be served, by their names.

    Args:
        repository: to look at.
    """
    found: dict[str, RepositoryError] = {}
    models: set[str] = set()
    for name in all_names(repository):
        models.update(wanted_models(repository, name))
        try:
            check_servable(repository, name)
        except RepositoryError as error:
            found[name] = error
    for file in sorted(repository.glob(f"*/{CONFIG_FILE}")):
        if file.parent.name not in models:
            try:
                _check_model(file.parent)
            except RepositoryError as error:
                found[file.parent.name] = error
    return found


def check_servable(repository: Path, name: str) -> None:
    """Check that a pipeline has the files without which Triton is not to be given it.

    1. Every model has a config that can be read.
    2. Every version of a Python model that a config names has its ``model.py``: Triton 24.10 waits
       for ever for the process of one that has none, and loads nothing else meanwhile.
    3. The versions' manifests can be read.

    Raises:
        RepositoryError: naming what is missing or damaged, and how to mend it.
    """
    named = {
        version
        for model in wanted_models(repository, name)
        for version in _check_model(repository / model)
    }
    if is_pipeline(repository, name):
        for version in sorted(named):
            read_manifest(repository, name, version)


def _check_model(folder: Path) -> tuple[int, ...]:
    """Check one model and return the versions that its config names."""
    config = read_config(folder)
    named, there = named_versions(config), version_folders(folder)
    # Without a policy Triton loads the newest, and it goes without one that has no folder.
    loaded = [version for version in there if version in named] if named else list(there)
    if not loaded:
        wanted = f"version {', '.join(map(str, named))}" if named else "every version"
        raise InvalidPipelineError(
            f"{folder.name} lacks {wanted}: build the pipeline again with --replace"
        )
    file = config.default_model_filename or PYTHON_FILE
    for version in loaded if config.backend == "python" else ():
        if not (folder / str(version) / file).is_file():
            raise InvalidPipelineError(
                f"{folder.name} lacks {version}/{file}: build the pipeline again with --replace"
            )
    return named
