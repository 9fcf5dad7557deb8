"""Image files: from what a person types to files and their bytes."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from thin_client.errors import SourceUnreadable
from thin_client.redaction import shown_address

__all__ = ["IMAGE_SUFFIXES", "image_paths", "read_image", "shown_source"]

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})


def image_paths(names: Iterable[str]) -> Iterator[str]:
    """Yield the files that names of files, folders and globs stand for, in their order.

    A folder stands for the images right inside it, by name; a pattern that the shell left alone,
    for the files it matches, by name. A file is taken whatever its suffix: the server looks at the
    bytes. A name that stands for nothing is yielded itself, so that reading it says why.
    """
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = [str(p) for p in sorted(path.iterdir()) if p.suffix.lower() in IMAGE_SUFFIXES]
        # Path.glob cannot take a pattern that is absolute.
        elif not path.exists() and glob.has_magic(name):
            matches = sorted(glob.glob(_pattern(path), recursive=True))  # noqa: PTH207
            found = [match for match in matches if Path(match).is_file()]
        else:
            found = [name]
        yield from found or [name]


def _pattern(path: Path) -> str:
    """Return a pattern in which folders that exist stand for themselves: ``photos[1]/*.jpg``."""
    there = next(folder for folder in path.parents if folder.exists())
    return str(Path(glob.escape(str(there))) / path.relative_to(there))


def shown_source(name: str) -> str:
    """Return the name of a file as it is, and any other without what lets somebody in."""
    # os.path: a name may be too long for a path.
    return name if os.path.exists(name) else shown_address(name)  # noqa: PTH110


def read_image(name: str) -> bytes:
    """Return the bytes of an image file.

    Raises:
        SourceUnreadable: there is no such file, or it cannot be read.
    """
    path = Path(name)
    if path.is_dir():
        raise SourceUnreadable("the folder holds no images")
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SourceUnreadable("there is no such file") from None
    except OSError as error:
        raise SourceUnreadable(f"the file cannot be read: {error.strerror}") from None
