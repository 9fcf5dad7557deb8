"""The image files that a person names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.errors import VerificationError
from thin_client.sources import image_paths


def image_files(names: Sequence[str]) -> list[Path]:
    """Return the files that files, folders and patterns stand for.

    Raises:
        VerificationError: a name stands for no file.
    """
    files = [Path(name) for name in image_paths(names)]
    for file in files:
        if file.is_dir():
            raise VerificationError(f"the folder {file} holds no images: name one that does")
        if not file.is_file():
            raise VerificationError(f"there is no image {file}: check its name")
    return files
