"""What a person says about a deployment, and the repository does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from builder.errors import SettingsError

CPU_IMAGE, GPU_IMAGE = "framewire-cpu", "framewire"


@dataclass(frozen=True)
class Wishes:
    """A deployment.

    Attributes:
        repository: that the container serves.
        image: of the container; None for the one of ``docker/`` that the networks' runtime asks
            for.
        cores: that the container may use; None for one to each process that decodes.
        gpus: that it gets; None for one where a network asks for it.
        versions: of a pipeline that servers may have loaded at once: two while they change from
            one to the next (docs/repository.md).
        clients: connections that are open at once.
        in_flight: images that clients have under way at once, all of them together.
        encoded_mib: an encoded image, on average over a full batch.
        published: ports of the machine, by what is served there; those of the container when not
            given.

    Raises:
        SettingsError: on creation, when a number is less than 1, or ``gpus`` than 0.
    """

    repository: Path
    image: str | None = None
    cores: int | None = None
    gpus: int | None = None
    versions: int = 2
    clients: int = 256
    in_flight: int = 128
    encoded_mib: int = 1
    published: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every number."""
        numbers = {
            "--cores": self.cores,
            "--versions": self.versions,
            "--clients": self.clients,
            "--in-flight": self.in_flight,
            "--encoded-mib": self.encoded_mib,
        }
        if self.gpus is not None and self.gpus < 0:
            raise SettingsError(f"--gpus must be at least 0, got {self.gpus}")
        for option, value in numbers.items():
            if value is not None and value < 1:
                raise SettingsError(f"{option} must be at least 1, got {value}")

    @property
    def encoded_bytes(self) -> int:
        """An encoded image, in bytes."""
        return self.encoded_mib * 2**20
