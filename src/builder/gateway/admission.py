"""Whom the gateway lets in: a token, the origin of a page, and the name it was called by."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from builder.gateway.settings import GatewaySettings, is_loopback

# The subprotocol of the WebSocket, and what the one that carries a browser's token begins with:
# pages can set no header, and an address with a token in it ends in logs and histories.
SUBPROTOCOL = "framewire"
TOKEN_SUBPROTOCOL = "framewire.token."  # noqa: S105 - a prefix

Refusal = tuple[HTTPStatus, str, str]


def refusal(
    settings: GatewaySettings, connection: HTTPConnection, subprotocols: Sequence[str] = ()
) -> Refusal | None:
    """Return why a request is turned away, as status, word and sentence; None lets it in."""
    if (strange := strange_page(settings, connection)) is not None:
        return HTTPStatus.FORBIDDEN, "origin", strange
    if settings.token is not None and not _knows(settings.token, connection, subprotocols):
        return (
            HTTPStatus.UNAUTHORIZED,
            "token",
            "this gateway wants its token: send it as 'Authorization: Bearer TOKEN', or from a "
            f"page as the WebSocket subprotocol {TOKEN_SUBPROTOCOL}TOKEN beside {SUBPROTOCOL}",
        )
    return None


def strange_page(settings: GatewaySettings, connection: HTTPConnection) -> str | None:
    """Return a sentence when a page of somebody else's has a browser call this gateway.

    Browsers send Origin with every WebSocket and every POST, other programs need not. On loopback
    the gateway must also be called by a name of loopback: a page whose own name was made to lead
    here (DNS rebinding) has that name in Origin and Host both.
    """
    origin = connection.headers.get("origin")
    if origin is not None and origin in settings.origins:
        return None
    host = connection.headers.get("host", "")
    if settings.on_loopback and not is_loopback(_host_name(host)):
        return (
            "this gateway serves its own machine only: call it as localhost, or name the page's "
            "--origin when starting it"
        )
    if origin is None or urlsplit(origin).netloc.lower() == host.lower():
        return None
    return "pages of other origins may not use this gateway: name them with --origin"


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _knows(token: str, connection: HTTPConnection, subprotocols: Sequence[str]) -> bool:
    scheme, _, given = connection.headers.get("authorization", "").partition(" ")
    carried = [given.strip()] if scheme.lower() == "bearer" else []
    carried += [
        each.removeprefix(TOKEN_SUBPROTOCOL)
        for each in subprotocols
        if each.startswith(TOKEN_SUBPROTOCOL)
    ]
    # As long for a wrong token as for one that is nearly right.
    return any(hmac.compare_digest(each.encode(), token.encode()) for each in carried)
