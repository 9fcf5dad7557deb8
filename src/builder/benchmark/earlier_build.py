"""An earlier build of this project, taken from the history of the clone."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from builder.errors import BenchmarkError

# What p4 is measured against.
COMMIT = "5d42737"


def unpack_earlier_build(inside: Path, folder: Path, commit: str = COMMIT) -> None:
    """Put the files of a commit into a folder.

    Args:
        inside: any folder of a clone.
        folder: to make.
        commit: whose files.

    Raises:
        BenchmarkError: the clone has no such history, or is none, with the reason in words.
    """
    root = _git(inside, "rev-parse", "--show-toplevel").decode().strip()
    archive = _git(Path(root), "archive", "--format=tar", commit)
    folder.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, check=True
        )
    except OSError as error:
        raise BenchmarkError(
            f"the build of commit {COMMIT} is not at hand: there is no git"
        ) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise BenchmarkError(
            f"the build of commit {COMMIT} is not at hand: git says {said[-1]!r}"
        ) from error
    return done.stdout
