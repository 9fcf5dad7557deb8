"""A request of HTTP: its body, bounded in bytes and in time, and work while its client waits."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from builder.gateway.settings import Limits
from builder.gateway.tasks import cancel

# A body that takes longer holds a place for nothing.
BODY_TIMEOUT_S = 30.0

Result = TypeVar("Result")


class BodyTooLarge(Exception):  # noqa: N818 - named by its diagnosis, like the client's
    """A body that is not read to its end.

    Attributes:
        status: of the answer.
        word: for programs.
    """

    def __init__(
        self,
        sentence: str,
        status: HTTPStatus = HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        word: str = "too_many_bytes",
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.word = word


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the whole body.

    Raises:
        BodyTooLarge: it has more bytes than a message may have, or takes too long.
        ClientDisconnect: the client went away.
    """
    try:
        return await asyncio.wait_for(_read(request, limits.message_bytes), BODY_TIMEOUT_S)
    except asyncio.TimeoutError:
        raise BodyTooLarge(
            f"the body did not come within {BODY_TIMEOUT_S:g} s",
            HTTPStatus.REQUEST_TIMEOUT,
            "deadline",
        ) from None


async def while_connected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what ``work`` returns; its body must have been read.

    Raises:
        ClientDisconnect: the client went away first, and ``work`` was cancelled.
    """
    working = asyncio.create_task(work)
    # With the body read, nothing else comes than that the client went.
    leaving = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return await working
    finally:
        await cancel(working, leaving)


async def _read(request: Request, limit: int) -> bytes:
    sentence = f"the body has more than the {limit} bytes that this gateway takes"
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise BodyTooLarge(sentence)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise BodyTooLarge(sentence)
    return bytes(body)
