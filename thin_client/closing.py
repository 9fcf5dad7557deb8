"""What lets go of something at the end of a ``with``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Closing(ABC):
    """Has its ``close`` called at the end of a ``with``, whatever happened in it."""

    @abstractmethod
    def close(self) -> None:
        """Let go of what it holds; may be called again."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
