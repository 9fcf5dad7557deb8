"""What a supervisor found wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Something that does not mend itself.

    Attributes:
        where: Triton's name of the model, or ``Triton`` itself.
        what: happened there, in words that begin small and hold nothing secret.
        pid: of the process that it happened to, where it was one.
    """

    where: str
    what: str
    pid: int | None = None

    def __str__(self) -> str:
        """Return both as one sentence without an end."""
        return f"{self.where}: {self.what}"


TRITON = "Triton"
