"""How pictures become frames in a published version of a pipeline."""

from __future__ import annotations

import json
from pathlib import Path

from builder.detectors.frame_shapes import Framing
from builder.detectors.heads import Placement
from builder.errors import RepositoryError
from builder.pipelines.manifest import Manifest
from builder.pipelines.repository import SETTINGS_FILE
from builder.settings import Shape
from thin_client.contract import model_names


def framing_of_version(repository: Path, manifest: Manifest) -> Framing:
    """Return it.

    Args:
        repository: that holds the pipeline.
        manifest: of the version.

    Raises:
        RepositoryError: what its preprocess step is told cannot be read.
    """
    model = model_names(manifest.name).preprocess
    file = repository / model / str(manifest.version) / SETTINGS_FILE
    try:
        settings = json.loads(file.read_text())
        rectangles = manifest.shape is Shape.RECT
        return Framing(
            manifest.width,
            manifest.height,
            Placement(settings["placement"]),
            stride=int(settings["stride"]) if rectangles else None,
            least_side=int(settings["least_side"]) if rectangles else 0,
        )
    except (OSError, ValueError, KeyError) as error:
        raise RepositoryError(
            f"{model}/{manifest.version}/{SETTINGS_FILE} in {repository} cannot be read "
            f"({type(error).__name__}): build the pipeline again"
        ) from error
