"""Putting finished model folders into a repository: all of them or none, whatever happens.

A staging folder beside the repository holds the new models while they are made, and the old ones
while they are replaced. If the process dies in between, the next build finds the folder and puts
the repository back as it was.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from builder.errors import RepositoryError

MODELS, REPLACED, DISCARDED, JOURNAL = "models", "replaced", "discarded", "journal.json"


@dataclass(frozen=True)
class Publication:
    """New models on their way into a repository.

    Attributes:
        repository: where they go.
        staging: on the same file system, so that every move is a rename.
    """

    repository: Path
    staging: Path

    @property
    def models(self) -> Path:
        """The folder in which the new models are made."""
        return self.staging / MODELS

    def publish(self, names: Sequence[str]) -> None:
        """Move the new models into the repository, in place of any that bear their names.

        Raises:
            OSError: a rename failed; the repository is as it was before.
        """
        replaced = self.staging / REPLACED
        replaced.mkdir()
        (self.staging / JOURNAL).write_text(json.dumps(list(names)))
        try:
            for name in names:
                if (self.repository / name).exists():
                    (self.repository / name).rename(replaced / name)
                (self.models / name).rename(self.repository / name)
            # From this rename on the new models stand, whatever happens.
            replaced.rename(self.staging / DISCARDED)
        except BaseException:
            _roll_back(self.repository, self.staging)
            raise


@contextmanager
def publishing(repository: Path) -> Iterator[Publication]:
    """Lock ``repository``, mend what an interrupted build left, and stage a new publication.

    Raises:
        RepositoryError: another build is at work in it.
    """
    repository = repository.resolve()
    parent, prefix = _staging_parent(repository), f".{repository.name}.framewire-build-"
    with _locked(repository):
        for left_over in parent.glob(f"{prefix}*"):
            _roll_back(repository, left_over)
            shutil.rmtree(left_over)
        staging = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            (staging / MODELS).mkdir()
            yield Publication(repository, staging)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _staging_parent(repository: Path) -> Path:
    # Triton takes every folder in a repository for a model, so the staging folder stands beside it,
    # unless the repository is a mount of its own, across which nothing can be renamed.
    parent = repository.parent
    same_file_system = parent.stat().st_dev == repository.stat().st_dev
    return parent if same_file_system and os.access(parent, os.W_OK) else repository


@contextmanager
def _locked(repository: Path) -> Iterator[None]:
    # A lock on the folder itself leaves no file behind and ends with the process that holds it.
    descriptor = os.open(repository, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise RepositoryError(
            f"another build is writing to {repository}: wait for it, then try again"
        ) from error
    finally:
        os.close(descriptor)


def _roll_back(repository: Path, staging: Path) -> None:
    replaced, journal = staging / REPLACED, staging / JOURNAL
    if not replaced.exists() or not journal.exists():
        return
    withdrawn = Path(tempfile.mkdtemp(prefix="withdrawn-", dir=staging))
    for name in json.loads(journal.read_text()):
        moved_in = not (staging / MODELS / name).exists()
        if moved_in and (repository / name).exists():
            (repository / name).rename(withdrawn / name)
        if (replaced / name).exists():
            (replaced / name).rename(repository / name)
