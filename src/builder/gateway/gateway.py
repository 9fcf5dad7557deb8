"""What all connections of a gateway share."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import Any

from builder.gateway import answers
from builder.gateway.clients import Clients
from builder.gateway.frames import Frame, StreamQuery
from builder.gateway.metrics import Metrics
from builder.gateway.session import Answering, Session
from builder.gateway.settings import GatewaySettings
from builder.gateway.streams import PacketStream
from builder.gateway.upstream import Upstream
from thin_client.errors import FramewireError

POST = "post"


class Gateway:
    """A pipeline, who talks to it at the moment, and what was counted.

    Attributes:
        settings: how it serves.
        upstream: the pipeline.
        metrics: counted so far.
        clients: who has how much of it.
        stopping: set when it is told to stop: nothing new is taken, what was accepted is answered.
        posts: requests of HTTP that are under way.
    """

    def __init__(self, settings: GatewaySettings, upstream: Upstream) -> None:
        self.settings = settings
        self.upstream = upstream
        self.metrics = Metrics()
        self.clients = Clients(settings.limits)
        self.stopping = asyncio.Event()
        self.posts = 0
        self._sessions: set[asyncio.Task[int]] = set()

    @property
    def full(self) -> bool:
        """Whether it has as many connections as it may have."""
        return len(self._sessions) >= self.settings.limits.connections

    @contextmanager
    def post(self) -> Iterator[None]:
        """Count a request of HTTP for as long as it is under way."""
        self.posts += 1
        try:
            yield
        finally:
            self.posts -= 1

    async def keep(self, session: Session) -> None:
        """Run a session and count it."""
        self.metrics.accepted += 1
        self.metrics.connections += 1
        task = asyncio.ensure_future(session.run())
        self._sessions.add(task)
        try:
            self.metrics.closed[await task] += 1
        finally:
            self._sessions.discard(task)
            self.metrics.connections -= 1

    async def answer_image(self, frame: Frame) -> dict[str, Any]:
        """Return the answer to a frame that is an image; every failure is an answer too."""
        return (await self._answered(frame, self._image))[1]

    @asynccontextmanager
    async def packets(self, asked: StreamQuery) -> AsyncIterator[Answering]:
        """Give what answers the packets of one stream; ends the stream afterwards."""
        stream = PacketStream(self.upstream.video, asked.codec, asked.orientation, asked.looks)

        async def packet(frame: Frame) -> dict[str, Any]:
            return answers.of_packet(await stream.detect(frame, await self.upstream.pipeline()))

        async def answer(frame: Frame) -> dict[str, Any]:
            return (await self._answered(frame, packet))[1]

        try:
            yield answer
        finally:
            await stream.end()

    async def answer_post(self, frame: Frame) -> tuple[HTTPStatus, dict[str, Any]]:
        """Return status and answer of a request of HTTP."""
        came = time.monotonic()
        self.metrics.received_bytes += len(frame.image)
        self.metrics.in_flight += 1
        try:
            status, answer = await self._answered(frame, self._image)
        finally:
            self.metrics.in_flight -= 1
        self.metrics.answered(POST, answer["status"], time.monotonic() - came)
        return status, answer

    async def drain(self) -> None:
        """Take nothing new, and return when what was accepted has been answered."""
        self.stopping.set()
        deadline = time.monotonic() + self.settings.limits.drain_s
        while (self._sessions or self.posts) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for session in list(self._sessions):
            session.cancel()

    async def _image(self, frame: Frame) -> dict[str, Any]:
        return answers.detected(await self.upstream.detect(frame.image, frame.parameters))

    async def _answered(self, frame: Frame, detect: Answering) -> tuple[HTTPStatus, dict[str, Any]]:
        try:
            if frame.refusal is not None:
                raise frame.refusal
            answer = await detect(frame)
        except FramewireError as error:
            if answers.blames_upstream(error):
                self.upstream.observe(error)
            return answers.meaning(error)[1], answers.failed(error)
        self.upstream.observe(None)
        return HTTPStatus.OK, answer
