"""Changing a repository: one process at a time, all or nothing, whatever happens.

A staging folder beside the repository holds what is being made, what is being replaced, and a
journal of the change under way. If the process dies in between, the next one that changes the
repository finds the folder and mends it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from builder.errors import RepositoryBusyError, RepositoryError
from builder.pipelines.durable import flush, flush_tree, move
from builder.pipelines.version_switch import (
    REMOVAL_JOURNAL,
    SWITCH_JOURNAL,
    mend_removal,
    mend_switch,
)

MODELS, REPLACED, DISCARDED, JOURNAL = "models", "replaced", "discarded", "journal.json"


@dataclass(frozen=True)
class Publication:
    """A change of a repository under way.

    Attributes:
        repository: that is locked for it.
        staging: on the same file system, so that every move is a rename.
    """

    repository: Path
    staging: Path

    @property
    def models(self) -> Path:
        """The folder in which new models are made."""
        return self.staging / MODELS

    def publish_folders(self, names: Sequence[str], instead_of: Sequence[str] = ()) -> None:
        """Move whole model folders into the repository, in place of any that bear their names.

        Args:
            names: of the models in :attr:`models`, in the order in which a server may see them.
            instead_of: other models of the repository that go, if they are there, before the new
                ones come, in this order.

        Raises:
            OSError: a rename failed; the repository is as it was before.
        """
        replaced = self.staging / REPLACED
        replaced.mkdir()
        for name in instead_of:
            # Stays where it is, so that whoever takes this back knows that none came.
            (self.models / name).mkdir()
        flush_tree(self.models)
        (self.staging / JOURNAL).write_text(json.dumps([*instead_of, *names]))
        flush(self.staging / JOURNAL)
        flush(self.staging)
        try:
            for name in instead_of:
                if os.path.lexists(self.repository / name):
                    move(self.repository / name, replaced / name)
            for name in names:
                # A link to nowhere does not exist and is in the way.
                if os.path.lexists(self.repository / name):
                    move(self.repository / name, replaced / name)
                move(self.models / name, self.repository / name)
            # From this rename on the new models stand, whatever happens.
            move(replaced, self.staging / DISCARDED)
        except BaseException:
            _roll_back(self.repository, self.staging)
            raise
        (self.staging / JOURNAL).unlink()


@contextmanager
def publishing(repository: Path) -> Iterator[Publication]:
    """Lock ``repository``, mend what an interrupted command left, and stage a change.

    Raises:
        RepositoryBusyError: another process is changing it.
        RepositoryError: it is no folder, cannot be written, or the disk is full.
    """
    with _told_as_repository_error(repository):
        if not repository.exists():
            raise RepositoryError(
                f"there is no model repository {repository}: make one with `framewire build "
                f"MODEL.onnx --name NAME --repository {shlex.quote(str(repository))}`"
            )
        resolved = repository.resolve()
        with _locked(resolved):
            for left_over in left_overs(resolved):
                _mend(resolved, left_over)
            parent = _staging_parent(resolved)
            staging = Path(tempfile.mkdtemp(prefix=_staging_prefix(resolved), dir=parent))
            try:
                (staging / MODELS).mkdir()
                yield Publication(resolved, staging)
            finally:
                journals = (JOURNAL, SWITCH_JOURNAL, REMOVAL_JOURNAL)
                # Where even the way back failed, the journal waits for the next command.
                if not any((staging / journal).exists() for journal in journals):
                    shutil.rmtree(staging, ignore_errors=True)


def mend_repository(repository: Path) -> None:
    """Mend what an interrupted command left in ``repository``, if this process may.

    Raises:
        RepositoryError: something is broken and cannot be mended by this process.
    """
    resolved = repository.resolve()
    if not left_overs(resolved):
        return
    try:
        with publishing(repository):
            pass
    except RepositoryBusyError:
        return  # not left over: somebody is at work


def left_overs(repository: Path) -> list[Path]:
    """Return the staging folders of a resolved repository: of a command at work, or killed."""
    # No glob: the repository's name may hold what a pattern takes for its own, as in `models[v1]`.
    prefix = _staging_prefix(repository)
    try:
        beside = list(_staging_parent(repository).iterdir())
    except PermissionError:
        return []  # then no command of this user's left anything there
    return sorted(path for path in beside if path.name.startswith(prefix))


def _staging_prefix(repository: Path) -> str:
    return f".{repository.name}.framewire-build-"


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
        raise RepositoryBusyError(
            f"another build is writing to {repository}: wait for it, then try again"
        ) from error
    finally:
        os.close(descriptor)


@contextmanager
def _told_as_repository_error(repository: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(repository, error) from error


def unwritable(repository: Path, error: OSError) -> RepositoryError:
    """Return what to say of an OSError while a repository was written."""
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return RepositoryError(f"{repository} is a file, not a model repository: name a folder")
    return RepositoryError(
        f"cannot write the model repository {repository} ({error.strerror or error}): check "
        "that the folder is writable and its disk has room"
    )


def _mend(repository: Path, left_over: Path) -> None:
    _roll_back(repository, left_over)
    mend_switch(repository, left_over)
    mend_removal(repository, left_over)
    shutil.rmtree(left_over)


def _roll_back(repository: Path, staging: Path) -> None:
    replaced, journal = staging / REPLACED, staging / JOURNAL
    if not replaced.exists() or not journal.exists():
        return
    withdrawn = Path(tempfile.mkdtemp(prefix="withdrawn-", dir=staging))
    names: list[str] = []
    with suppress(ValueError):  # half a journal: nothing had happened yet
        names = json.loads(journal.read_text())
    # They came in steps first; the ensemble, which needs them, leaves first.
    for name in reversed(names):
        moved_in = not (staging / MODELS / name).exists()
        if moved_in and os.path.lexists(repository / name):
            move(repository / name, withdrawn / name)
        if os.path.lexists(replaced / name):
            move(replaced / name, repository / name)
    journal.unlink()
