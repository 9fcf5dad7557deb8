"""One WebSocket: frames in, answers out, in order, and never more under way than allowed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from builder.gateway import answers
from builder.gateway.frames import CLOSE_UNSUPPORTED_DATA, Frame, ProtocolMisuse, read_frame
from builder.gateway.metrics import Metrics
from builder.gateway.pacing import Pace
from builder.gateway.settings import Limits
from builder.gateway.tasks import cancel

ENDPOINT = "websocket"
# The server goes; the client may come again (IANA's registry of close codes).
CLOSE_SERVICE_RESTART = 1012
CLOSE_INTERNAL_ERROR = 1011
# What a client that went without a word counts as.
CLOSE_ABNORMAL = 1006

Answering = Callable[[Frame], Awaitable[dict[str, Any]]]
_Pending = tuple[Frame, float, "asyncio.Task[dict[str, Any]]"]


class Session:
    """The frames of one connection.

    A frame has its place from before it is read until its answer has been handed to the transport.
    With all places taken nothing is read, so the client's own sending stands still: neither frames
    nor answers that nobody fetches pile up here.

    Args:
        websocket: accepted.
        answer: gives the JSON of a frame's answer; raises nothing on account of a frame.
        limits: what the client may ask.
        metrics: of the gateway.
        stopping: set when the gateway is told to stop.
        shared: the pace of everything that comes from the client's address.
    """

    def __init__(
        self,
        websocket: WebSocket,
        answer: Answering,
        limits: Limits,
        metrics: Metrics,
        stopping: asyncio.Event,
        *,
        shared: Pace,
    ) -> None:
        self._websocket = websocket
        self._answer = answer
        self._metrics = metrics
        self._stopping = stopping
        self._places = asyncio.Semaphore(limits.in_flight)
        self._paces = (Pace(limits.frames_per_s, limits.in_flight), shared)
        self._pending: asyncio.Queue[_Pending | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[dict[str, Any]]] = set()

    async def run(self) -> int:
        """Answer frames until the client or the gateway ends it; return the close code."""
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        try:
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
            if not reader.done():
                return await self._ended_by(writer)
            code, reason = await reader
            # What was accepted is answered, whatever ended the reading.
            self._pending.put_nowait(None)
            await writer
            await self._websocket.close(code, reason)
        except WebSocketDisconnect as gone:
            return gone.code
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._websocket.close(CLOSE_SERVICE_RESTART, "the gateway stopped waiting")
            return CLOSE_SERVICE_RESTART
        else:
            return code
        finally:
            await cancel(reader, writer, *self._tasks)

    async def _ended_by(self, writer: asyncio.Task[None]) -> int:
        await writer
        return CLOSE_INTERNAL_ERROR  # pragma: no cover - it ends by an exception only

    async def _read(self) -> tuple[int, str]:
        """Take frames; return how to close."""
        position = 0
        while True:
            await self._places.acquire()
            await asyncio.sleep(max(pace.wait_s() for pace in self._paces))
            message = await self._next_message()
            if message is None:
                return CLOSE_SERVICE_RESTART, "the gateway stops; connect again shortly"
            try:
                frame = self._frame(message, position)
            except ProtocolMisuse as misuse:
                return misuse.code, str(misuse)
            position += 1
            self._metrics.received_bytes += len(message["bytes"])
            self._metrics.in_flight += 1
            task = asyncio.ensure_future(self._answer(frame))
            self._tasks.add(task)
            task.add_done_callback(self._finished)
            self._pending.put_nowait((frame, time.monotonic(), task))

    async def _next_message(self) -> dict[str, Any] | None:
        """Return a message; None when the gateway stops."""
        receiving = asyncio.ensure_future(self._websocket.receive())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait((receiving, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                return None
            message = dict(await receiving)
        finally:
            await cancel(receiving, stopping)
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", CLOSE_ABNORMAL))
        return message

    def _frame(self, message: dict[str, Any], position: int) -> Frame:
        data = message.get("bytes")
        if data is None:
            raise ProtocolMisuse(
                CLOSE_UNSUPPORTED_DATA, "frames are binary messages; this one was text"
            )
        return read_frame(data, position)

    def _finished(self, task: asyncio.Task[dict[str, Any]]) -> None:
        self._tasks.discard(task)
        self._metrics.in_flight -= 1

    async def _write(self) -> None:
        """Send answers in the order of their frames until there will be no more."""
        while (pending := await self._pending.get()) is not None:
            frame, came, task = pending
            answer = await task
            took_s = time.monotonic() - came
            text = answers.to_text(frame.frame_id, answer, took_s)
            await self._websocket.send_text(text)
            self._metrics.answered(ENDPOINT, answer["status"], took_s)
            self._metrics.sent_bytes += len(text)
            self._metrics.looked_at += answer.get("looked_at", False)
            self._places.release()
