"""Reading config.pbtxt files, and which versions of a model they name."""

from __future__ import annotations

import re
from pathlib import Path

from google.protobuf import text_format

from builder.errors import InvalidPipelineError
from builder.pipelines.config_messages import pb

CONFIG_FILE = "config.pbtxt"
# Triton takes no folder whose name begins with 0 for a version, and counts in 64 bits.
VERSION_FOLDER = re.compile(r"[1-9][0-9]{0,17}")


def read_config(model_folder: Path) -> pb.ModelConfig:
    """Parse the config.pbtxt of a model.

    Raises:
        InvalidPipelineError: there is none, or it is not a ModelConfig.
    """
    return parse_config(model_folder / CONFIG_FILE)


def parse_config(file: Path) -> pb.ModelConfig:
    """Parse one config file.

    Raises:
        InvalidPipelineError: it cannot be read, or is not a ModelConfig.
    """
    try:
        return text_format.Parse(file.read_text(), pb.ModelConfig())
    except (OSError, UnicodeDecodeError, text_format.ParseError) as error:
        folder = file.parent
        model = folder.parent.name + "/" if folder.name.isdecimal() else ""
        why = error.strerror if isinstance(error, OSError) else error
        raise InvalidPipelineError(
            f"{model}{folder.name} has no valid {file.name} ({why}): build the pipeline again with "
            "--replace"
        ) from error


def config_text(config: pb.ModelConfig) -> str:
    """Return a config as it stands in a file."""
    return str(text_format.MessageToString(config))


def named_versions(config: pb.ModelConfig) -> tuple[int, ...]:
    """Return the versions that a config's version policy names, in its order."""
    return tuple(config.version_policy.specific.versions)


def with_versions(config: pb.ModelConfig, *versions: int) -> pb.ModelConfig:
    """Return a copy of a config that has Triton serve these versions and no others."""
    changed = pb.ModelConfig()
    changed.CopyFrom(config)
    changed.ClearField("version_policy")
    changed.version_policy.specific.versions.extend(sorted(set(versions)))
    return changed


def version_folders(model_folder: Path) -> tuple[int, ...]:
    """Return the numbers of the version folders of a model, ascending; none if it is not there."""
    if not model_folder.is_dir():
        return ()
    names = [path.name for path in model_folder.iterdir() if path.is_dir()]
    return tuple(sorted(int(name) for name in names if VERSION_FOLDER.fullmatch(name)))
