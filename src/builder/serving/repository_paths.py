"""Whether what a repository names lies in it: files in configs, links, names of models.

Whoever may write to a repository can have the server run any Python, and no check changes that.
This is for repositories that were unpacked, copied or put together wrongly, so that a server never
reads out what lies beside them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from builder.errors import InvalidPipelineError, RepositoryError
from builder.pipelines.config_files import CONFIG_FILE, parse_config
from builder.pipelines.config_messages import pb

# Triton's Python backend takes the interpreter and its packages from there.
ENVIRONMENT_PARAMETER = "EXECUTION_ENV_PATH"


def check_paths(repository: Path) -> None:
    """Check that nothing in a repository leads out of it.

    1. A model's config bears the name of its folder.
    2. The files that configs name lie in the model's folder.
    3. Links lead to what is in the repository.

    Raises:
        RepositoryError: naming the first that does.
    """
    for file in sorted(repository.glob(f"*/{CONFIG_FILE}")):
        try:
            config = parse_config(file)
        except InvalidPipelineError:
            continue  # Triton says what is wrong with it
        _check_config(file.parent, config)
    root = repository.resolve()
    for path in sorted(repository.rglob("*")):
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise RepositoryError(
                f"{path.relative_to(repository)} in {repository} is a link to a file outside of "
                "it: copy the file there instead"
            )


def _check_config(folder: Path, config: pb.ModelConfig) -> None:
    if config.name not in {"", folder.name}:
        raise RepositoryError(
            f"the config of {folder.name} calls its model {config.name!r}: a model's name is that "
            "of its folder"
        )
    for named in _named_files(config):
        path = PurePosixPath(named)
        if path.is_absolute() or ".." in path.parts:
            raise RepositoryError(
                f"the config of {folder.name} names the file {named!r}, which lies outside of the "
                "model's folder: put it there, and name it from there"
            )


def _named_files(config: pb.ModelConfig) -> Iterator[str]:
    # The libraries that run a model are found by these names, which may be paths as well.
    yield from (config.backend, config.runtime, config.platform)
    yield from (agent.name for agent in config.model_repository_agents.agents)
    yield from config.model_operations.op_library_filename
    yield config.default_model_filename
    yield from config.cc_model_filenames.values()
    yield from (output.label_filename for output in config.output)
    for warmup in config.model_warmup:
        yield from (each.input_data_file for each in warmup.inputs.values())
    if ENVIRONMENT_PARAMETER in config.parameters:
        yield config.parameters[ENVIRONMENT_PARAMETER].string_value
