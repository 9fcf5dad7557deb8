"""Packets that get no answer but an error."""

from __future__ import annotations

# A stream is known by the id that the client chose: a number or a text.
StreamId = int | str
NO_TIMESTAMP = -1
SHOWN_CHARACTERS = 40


def shown(value: object) -> str:
    """Return a parameter's value for an error's sentence: a client's mistake may be long."""
    return repr(str(value)[:SHOWN_CHARACTERS])


class RefusedPacketError(Exception):
    """A packet that is answered with an error; the message is one sentence.

    Attributes:
        elsewhere: whether another server, or this one later, may take it.
    """

    def __init__(self, sentence: str, *, elsewhere: bool = False) -> None:
        super().__init__(sentence)
        self.elsewhere = elsewhere
