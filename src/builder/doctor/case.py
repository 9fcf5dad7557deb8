"""What is examined, and what has been watched of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from builder.doctor.finding import CannotLook
from builder.doctor.server import RunningTriton
from builder.doctor.watching import Watched, watch
from builder.errors import BuilderError
from builder.pipelines.manifest import Manifest, pipelines, read_manifest
from builder.serving.server_options import LOOPBACK
from builder.serving.shared_memory import SHM_FOLDER


@dataclass(frozen=True)
class Case:
    """A machine with what is on it, and a server.

    Attributes:
        repository: to examine; None where there is none and none was asked for.
        server: that answers, or was asked for; None where nobody asked and nobody answers.
        silent: why the server that was asked for does not answer; None when it does.
        ports: on which `framewire serve` is to listen, by what they serve; none where a server
            elsewhere is meant.
        triton: an installed ``tritonserver`` to look at; None for the embedded one.
        watch_s: seconds to watch.
    """

    repository: Path | None
    server: RunningTriton | None
    silent: str | None
    ports: Mapping[str, int]
    triton: Path | None
    watch_s: float

    @property
    def running(self) -> RunningTriton | None:
        """The server, if it answers."""
        return None if self.silent else self.server

    @property
    def address(self) -> str:
        """On which a server of this machine listens."""
        return LOOPBACK

    @property
    def shared_memory(self) -> Path:
        """The /dev/shm that matters: the server's, where one runs on this machine."""
        return self.running.shared_memory if self.running else SHM_FOLDER

    @property
    def elsewhere(self) -> bool:
        """Whether the server is another machine's, which this one need not be able to replace."""
        return self.running is not None and self.running.pid is None

    def pipelines(self) -> tuple[str, ...]:
        """Return the names of the repository's pipelines."""
        return pipelines(self.repository) if self.repository else ()

    def manifests(self) -> tuple[Manifest, ...]:
        """Return what the repository's pipelines are, but for damaged ones: others tell of them."""
        found = []
        for name in self.pipelines():
            with suppress(BuilderError):
                found.append(read_manifest(self.the_repository(), name))
        return tuple(found)

    def the_repository(self) -> Path:
        """Return the repository, for what needs one."""
        if self.repository is None:
            raise CannotLook("there is no repository here: name one with --repository")
        return self.repository

    @cached_property
    def watched(self) -> Watched:
        """What the machine and the server did for :attr:`watch_s`; waits for it once."""
        return watch(self.running, self.watch_s)
