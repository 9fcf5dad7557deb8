"""Addresses as others may read them: without the passwords and tokens that stand in them.

Cameras are named by addresses that say how to get in: ``rtsp://user:password@host/``, and, each
make in a way of its own, ``http://host/video?user=...&pwd=...``, ``rtsp://host/user=..._password=...``.
Messages, logs, JSON and reports have addresses only as these functions give them back.
"""

from __future__ import annotations

import re

__all__ = ["HIDDEN", "shown_address", "without_secrets"]

HIDDEN = "***"

# What tells one stream of a camera from another. Whatever else a query says may be how to get in:
# no two makes of cameras call that alike.
HARMLESS = frozenset({"camera", "channel", "codec", "fps", "resolution", "stream", "subtype"})
HARMLESS_LENGTH = 16

# One slash is left where an address was taken for a path. Drives have names of one letter.
_SCHEME = re.compile(r"[^/\\\s]{2,}?:/+")
# Without a scheme only where a user is named: two slashes begin many things.
_ADDRESS = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]+:/+|(?<![:/\w])//(?=[^/\\:@\s]+:\S*@))\S+")
# What may follow an address in a sentence and is seldom the end of one.
_AFTER = "\"'`,;:.!?)]}>"
_USER = re.compile(r"[^/\\:@\s]+:(?![\\/]).*@", re.DOTALL)
# A host and its user, of the scheme that the reader is to know.
_RELATIVE = re.compile(r"//+(?=[^/\\@\s]+@|[^/\\:@\s]+:.*@)", re.DOTALL)
# The last part of such a path is the stream's key, with which anybody may publish.
_RTMP = re.compile(r"(?:.*[:+])?rtmp[a-z]*:/+", re.IGNORECASE | re.DOTALL)
_RTMP_APPLICATION = re.compile(r"[^/?#&;|\s]*(?:/[^/?#&;|=\s]+(?=/[^/]))?")
# With these before an `@` it may as well be a part of a query, or of a password: nobody can tell.
_NO_USER = re.compile(r"[?#]|/.*=", re.DOTALL)


def without_secrets(text: str) -> str:
    """Return a text with each address in it as :func:`shown_address` gives it.

    An address is taken to end at white space; where it is known whole, give it to that function.
    """
    return _ADDRESS.sub(_shown_match, text) if "//" in text or ":/" in text else text


def shown_address(address: str) -> str:
    """Return an address without what lets somebody in.

    Left out are what stands before the ``@`` of the host; the values of a query, and of what looks
    like one in the path, but for a few that tell streams apart; and the fragment. Other parts of
    the path are shown. Nothing but the scheme is where an ``@`` stands behind ``?`` or ``#``: it
    may belong to a query or to a password. Of RTMP, where the last part of the path is the key,
    host and application are shown. Names of files are returned as they are, unless they look like
    these.

    Args:
        address: all of it; a URL, with its scheme or without (``//user:password@host/``),
            ``user:password@host:port``, or the name of a file.
    """
    if scheme := _SCHEME.match(address):
        rest = address[scheme.end() :]
        return scheme[0] + (_shown_rtmp(rest) if _RTMP.fullmatch(scheme[0]) else _shown(rest))
    if relative := _RELATIVE.match(address):
        return relative[0] + _shown(address[relative.end() :])
    if _USER.match(address):
        return _shown(address)
    name, mark, query = without_secrets(address).partition("?")
    return name + mark + (_without_values(query) if "=" in query else query)


def _shown(address: str) -> str:
    """Return an address without its scheme, likewise."""
    # The last one, because passwords may hold any character, those that end a host included.
    user, at, rest = address.rpartition("@")
    if _NO_USER.search(user):
        return HIDDEN
    host = re.split(r"[/?#&;]", rest, maxsplit=1)[0]
    rest, fragment, _ = rest[len(host) :].partition("#")
    path, mark, query = rest.partition("?")
    path = "/".join(_without_values(part) if "=" in part else part for part in path.split("/"))
    user, fragment = (HIDDEN + at if at else ""), (fragment + HIDDEN if fragment else "")
    return f"{user}{host}{path}{mark}{_without_values(query)}{fragment}"


def _shown_rtmp(address: str) -> str:
    """Return an address of RTMP without its scheme, likewise."""
    user, at, rest = address.rpartition("@")
    if re.search(r"[/?#]", user):
        return HIDDEN  # as a key may hold an `@` too
    shown = _RTMP_APPLICATION.match(rest)
    assert shown is not None  # noqa: S101 - it may be empty
    # What follows may be a query, or options of FFmpeg's behind a space.
    key = f"/{HIDDEN}" if rest[shown.end() :].strip("/") else rest[shown.end() :]
    return f"{HIDDEN + at if at else ''}{shown[0]}{key}"


def _shown_match(match: re.Match[str]) -> str:
    found = match[0]
    address = found.rstrip(_AFTER)
    return shown_address(address) + found[len(address) :]


def _without_values(pairs: str) -> str:
    return re.sub(r"[^&;]+", _without_value, pairs)


def _without_value(match: re.Match[str]) -> str:
    name, equals, value = match[0].partition("=")
    if not equals:
        return HIDDEN
    short = len(value) <= HARMLESS_LENGTH and "=" not in value
    return match[0] if short and name.lower() in HARMLESS else f"{name}={HIDDEN}"
