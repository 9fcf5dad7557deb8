"""Sources as they are written: an address, or a name for it and the address."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from thin_client.errors import SourceUnreadable
from thin_client.sources import shown_source

__all__ = ["NamedSource", "named_source", "sources_in"]

_NAMED = re.compile(r"([\w.-]{1,64})=(.+)", re.DOTALL)


@dataclass(frozen=True)
class NamedSource:
    """One source.

    Attributes:
        name: in every line of output; where none was given, the address without what lets somebody
            in.
        address: a file, a URL or a camera. Not shown by ``repr``.
    """

    name: str
    address: str

    def __repr__(self) -> str:
        """Return the name."""
        return f"NamedSource({self.name!r})"


def named_source(text: str) -> NamedSource:
    """Return the source that ``NAME=ADDRESS``, or an address alone, stands for.

    A name has letters, digits, ``_``, ``.`` and ``-``. A file whose own name looks like that is
    written with its folder: ``./a=b.mp4``.

    Raises:
        SourceUnreadable: it names nothing.
    """
    text = text.strip()
    if match := _NAMED.fullmatch(text):
        return NamedSource(match[1], match[2].strip())
    if not text:
        raise SourceUnreadable("a source is empty; write a file, a URL, or NAME=URL")
    return NamedSource(shown_source(text), text)


def sources_in(lines: Iterable[str]) -> list[NamedSource]:
    """Return the sources of a list, a line each; empty lines and those that begin with # are none.

    Two addresses that look the same without their passwords are told apart by a number.

    Raises:
        SourceUnreadable: two sources were given one name.
    """
    found: dict[str, NamedSource] = {}
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        source = named_source(line)
        if source in found.values():
            continue
        given = source.name
        if given in found and _NAMED.fullmatch(line.strip()):
            raise SourceUnreadable(f"two sources are called {given}; give each a name of its own")
        number = 1
        while source.name in found:
            number += 1
            source = NamedSource(f"{given} ({number})", source.address)
        found[source.name] = source
    return list(found.values())
