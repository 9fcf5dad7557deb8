"""How many sources are doing, on stderr: a table that changes, or lines now and then."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable

from thin_client.streaming.many.feed import Feed
from thin_client.streaming.state import State

__all__ = ["ManyView", "row"]

_TERMINAL_S, _LOG_S = 0.5, 5.0


class ManyView:
    """Shows a row for each source; safe between threads.

    Args:
        feeds: gives the sources.
    """

    def __init__(self, feeds: Callable[[], list[Feed]]) -> None:
        self._feeds = feeds
        self._terminal = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._shown = time.monotonic()
        self._rows = 0

    def show(self) -> None:
        """Show all of them, when it is time again."""
        now = time.monotonic()
        with self._lock:
            if now - self._shown < (_TERMINAL_S if self._terminal else _LOG_S):
                return
            self._shown = now
            self._wipe()
            feeds = self._feeds()
            width = max((len(feed.source.name) for feed in feeds), default=0)
            rows = [row(feed, width) for feed in feeds]
            if self._terminal:
                size = shutil.get_terminal_size()
                hidden = len(rows) - (size.lines - 2)
                if hidden > 0:
                    rows = [*rows[: size.lines - 3], f"... and {hidden + 1} more"]
                # A row that wraps would be two.
                rows = [text[: size.columns - 1] for text in rows]
                self._rows = len(rows)
            self._print("".join(f"{text}\n" for text in rows))

    def say(self, sentence: str) -> None:
        """Say a sentence above the rows."""
        with self._lock:
            self._wipe()
            self._print(f"framewire-client: {sentence}\n")

    def wipe(self) -> None:
        """Take the rows away."""
        with self._lock:
            self._wipe()

    def _wipe(self) -> None:
        if self._rows:
            # Up to the first row, and clear from there on.
            self._print(f"\x1b[{self._rows}A\x1b[J")
            self._rows = 0

    @staticmethod
    def _print(text: str) -> None:
        print(text, end="", file=sys.stderr, flush=True)


def row(feed: Feed, width: int = 0) -> str:
    """Return a source's row: its name, its state, and its numbers or why there are none."""
    state, reason = feed.state
    recent = feed.recent()
    said = recent.text() if recent is not None and state is State.STREAMING else reason
    return f"{feed.source.name:<{width}}  {state.value:<9}  {said}".rstrip()
