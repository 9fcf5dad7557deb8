"""Sources that are added and removed while others stream: by a file, or over standard input."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

from thin_client.errors import SourceUnreadable
from thin_client.streaming.many.feeds import Feeds
from thin_client.streaming.many.names import NamedSource, named_source, sources_in

__all__ = ["follow_file", "follow_input"]

_LOOK_S = 0.5


def follow_file(
    path: Path,
    feeds: Feeds,
    stopped: threading.Event,
    say: Callable[[str], None],
    besides: Sequence[NamedSource] = (),
) -> None:
    """Have the sources that stand in a file, and follow it until ``stopped`` is set.

    A file that is away, or that cannot be used, changes nothing: an editor may be about to write
    it.

    Args:
        path: of the file, a source a line; see sources_in.
        feeds: to change.
        stopped: ends it.
        say: called with why the file cannot be used.
        besides: sources that stay, whatever it says.
    """
    last: tuple[int, int, int] | None = None
    said = ""
    while True:
        try:
            status = path.stat()
            now = status.st_mtime_ns, status.st_size, status.st_ino
            if now != last:
                listed = sources_in(path.read_text(encoding="utf-8").splitlines())
                feeds.become([*listed, *besides])
                last, said = now, ""
        except (OSError, UnicodeDecodeError, SourceUnreadable) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            if why != said:
                said = str(why)
                say(f"the list of sources {path} cannot be used, and nothing is changed: {why}")
        if stopped.wait(_LOOK_S):
            return


def follow_input(lines: IO[str], feeds: Feeds, say: Callable[[str], None]) -> None:
    """Do what lines say until there are no more: ``add [NAME=]ADDRESS``, ``remove NAME``.

    Args:
        lines: text, such as standard input.
        feeds: to change.
        say: called with what cannot be done.
    """
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        if not word:
            continue
        try:
            if word == "add":
                source = named_source(rest)
                if not feeds.add(source):
                    say(f"{source.name} is there already; remove it first")
            elif word == "remove":
                if not feeds.remove(rest.strip()):
                    say(f"there is no source of that name: {named_source(rest).name}")
            else:
                say("a line on standard input is 'add [NAME=]SOURCE' or 'remove NAME'")
        except SourceUnreadable as error:
            say(str(error))
