"""Folders of this machine that a container must read."""

from __future__ import annotations

import shlex
import stat
from pathlib import Path

from builder.errors import RepositoryError

# The user of the images.
CONTAINER_USER = 1000
OPEN_TO_OTHERS = stat.S_IROTH | stat.S_IXOTH


def readable_folder(folder: Path) -> Path:
    """Return a folder that the user of a container can read.

    Raises:
        RepositoryError: it is there, but not for that user.
    """
    if not folder.is_dir():
        return folder  # whoever reads it first says so
    status = folder.stat()
    if status.st_uid != CONTAINER_USER and status.st_mode & OPEN_TO_OTHERS != OPEN_TO_OTHERS:
        raise RepositoryError(
            f"the user of the container, {CONTAINER_USER}, cannot read {folder} (mode "
            f"{stat.S_IMODE(status.st_mode):o}): run `chmod -R a+rX {shlex.quote(str(folder))}`"
        )
    return folder
