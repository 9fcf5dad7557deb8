"""Class names from a file."""

from __future__ import annotations

from pathlib import Path

from builder.errors import LabelsError


def read_labels(path: Path) -> tuple[str, ...]:
    """Read class names, one to a line, in class order; empty lines are skipped.

    Raises:
        LabelsError: there is no such file, or no name in it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelsError(
            f"{path} cannot be read as class names ({error}): check --labels"
        ) from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise LabelsError(f"{path} holds no class names: write one to a line")
    return names
