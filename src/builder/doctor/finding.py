"""What an examination finds, and what it could not look at."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

# Why what is on this machine says nothing about a server.
ELSEWHERE = (
    "the server's processes are not to be seen from here: run this on its machine as its user, or "
    "`docker exec CONTAINER framewire doctor`"
)


class Severity(str, enum.Enum):
    """How bad a finding is."""

    ERROR = "error"
    """Something does not work, or will not when it is needed."""
    WARNING = "warning"
    """It works, and is slow, at risk or not what it seems."""
    HINT = "hint"
    """Worth knowing; nothing has to be done."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or slow.

    Attributes:
        severity: how bad it is.
        name: stable, for programs: small letters and hyphens.
        sentence: what was found, with figures.
        mend: the command, or what else, that mends it.
    """

    severity: Severity
    name: str
    sentence: str
    mend: str


@dataclass(frozen=True)
class Seen:
    """What a look saw.

    Attributes:
        words: in short, for whoever wants to know that it was looked at.
        findings: what is wrong with it.
    """

    words: str
    findings: tuple[Finding, ...] = ()


class CannotLook(Exception):  # noqa: N818 - no error: nothing is wrong but that we cannot see
    """Something cannot be looked at; the message says why, and what would let us."""


def error(name: str, sentence: str, mend: str) -> Finding:
    """Return an error."""
    return Finding(Severity.ERROR, name, sentence, mend)


def warning(name: str, sentence: str, mend: str) -> Finding:
    """Return a warning."""
    return Finding(Severity.WARNING, name, sentence, mend)


def hint(name: str, sentence: str, mend: str) -> Finding:
    """Return a hint."""
    return Finding(Severity.HINT, name, sentence, mend)


def from_message(severity: Severity, name: str, message: str) -> Finding:
    """Return the finding that a builder's error tells: ``what was found: what mends it``.

    A colon inside parentheses belongs to what was found.
    """
    outside = re.sub(r"\([^()]*\)", lambda inside: "x" * len(inside[0]), message)
    at = outside.find(": ")
    if at < 0:
        return Finding(severity, name, message, "see docs/doctor.md")
    return Finding(severity, name, message[:at], message[at + 2 :])


def listed(names: list[str] | tuple[str, ...], most: int = 4) -> str:
    """Return names in words, the first few of many."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
