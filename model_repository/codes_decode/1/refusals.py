"""Packets that get no answer but an error."""

from __future__ import annotations

# A stream is known by the id that the client chose: a number or a text.
StreamId = int | str
NO_TIMESTAMP = -1


class RefusedPacketError(Exception):
    """A packet that is answered with an error; the message is one sentence.

    Attributes:
        elsewhere: whether another server, or this one later, may take it.
    """

    def __init__(self, sentence: str, *, elsewhere: bool = False) -> None:
        super().__init__(sentence)
        self.elsewhere = elsewhere


class UndecodableError(RefusedPacketError):
    """A stream of a kind that FFmpeg does not decode."""

    def __init__(self, what: str, instead: str) -> None:
        super().__init__(
            f"the stream has {what}, which FFmpeg does not decode: set the encoder to {instead}"
        )
