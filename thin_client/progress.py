"""A progress line on a terminal's stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Progress", "progress_line"]

_BAR_WIDTH = 30
_REDRAW_S = 0.1


def progress_line(done: int, total: int | None, elapsed_s: float) -> str:
    """Return what the line says; the bar and the time left only when the total is known."""
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    if not total:
        return f"{done}  {rate:.1f}/s"
    filled = min(_BAR_WIDTH, _BAR_WIDTH * done // total)
    bar = "#" * filled + "." * (_BAR_WIDTH - filled)
    left = f"  {max(0, total - done) / rate:.0f} s left" if rate > 0 else ""
    return f"[{bar}] {done}/{total}  {rate:.1f}/s{left}"


class Progress:
    """Counts finished items and shows them while it is entered, if anyone can see it.

    Args:
        total: number of items, or None when it is not known.
        shown: draw nothing when False; also when stderr is no terminal.
    """

    def __init__(self, total: int | None, shown: bool = True) -> None:
        self._total = total
        self._shown = shown and sys.stderr.isatty()
        self._done = 0
        self._started = time.monotonic()
        self._drawn = -_REDRAW_S

    def advance(self) -> None:
        """Count one more finished item."""
        self._done += 1
        now = time.monotonic()
        if self._shown and now - self._drawn >= _REDRAW_S:
            self._drawn = now
            line = progress_line(self._done, self._total, now - self._started)
            # To the line's start, the text, and clear what a longer text left behind.
            print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> Self:
        """Return the progress itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wipe the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
