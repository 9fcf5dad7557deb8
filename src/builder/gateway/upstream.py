"""The pipeline behind the gateway."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from builder.gateway.streams import VideoChannel
from thin_client.async_client import AsyncDetector
from thin_client.connection import Connection
from thin_client.detections import Detections
from thin_client.errors import FramewireError
from thin_client.parameters import RequestParameters
from thin_client.pipeline import Pipeline
from thin_client.retry import RetryPolicy

# Whoever asks whether the pipeline is ready gets an answer that is at most so old, and soon.
READY_AGE_S = 1.0
READY_TIMEOUT_S = 3.0


class Upstream:
    """A pipeline on a Triton that may go away and come back, or be given a new version.

    Args:
        connection: of Triton's gRPC endpoint.
        model: the pipeline; None for the server's only one.
        bls: whether to call ``NAME_bls``.
        timeout_s: of a frame, with its retries.
        retry: how often a frame is sent again that Triton could not take just then.
        tell: is given a sentence when Triton begins or ceases to fail.

    Attributes:
        video: the way to the pipeline's variant for video.
    """

    def __init__(
        self,
        connection: Connection,
        model: str | None = None,
        *,
        bls: bool = False,
        timeout_s: float = 30.0,
        retry: RetryPolicy | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self.connection = connection
        self.model = model
        self.bls = bls
        self.timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._tell = tell or _tell_stderr
        self.video = VideoChannel(connection, timeout_s)
        self._detector = self._make_detector()
        self._connecting: asyncio.Task[Pipeline] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._asked = -READY_AGE_S
        self._not_ready: FramewireError | None = None
        self._told: type[FramewireError] | None = None

    async def detect(self, image: bytes, parameters: RequestParameters) -> Detections:
        """Return what is in one image.

        Raises:
            FramewireError: saying why not.
        """
        await self.pipeline()
        return await self._detector.detect(image, **parameters)

    async def pipeline(self) -> Pipeline:
        """Return what the pipeline says about itself, in the version that answered last.

        All who ask while Triton is away wait for the same attempt: in a row they would wait for
        each other's.

        Raises:
            FramewireError: saying why not.
        """
        if self._connecting is None or _failed(self._connecting):
            self._connecting = asyncio.create_task(self._detector.connect())
            self._connecting.add_done_callback(_look_at)
        await asyncio.shield(self._connecting)
        return await self._detector.connect()

    async def pipeline_now(self) -> Pipeline:
        """Return the same of the version that would answer now, or was there a second ago.

        Raises:
            FramewireError: saying why not; not where only Triton is away that had been there.
        """
        with suppress(FramewireError):
            await self.check_ready()
        return await self.pipeline()

    async def check_ready(self) -> None:
        """Check that Triton has the pipeline loaded; of those who ask together only one does.

        Raises:
            FramewireError: saying why not.
        """
        if self._asking is None and time.monotonic() - self._asked >= READY_AGE_S:
            self._asking = asyncio.create_task(self._ask())
        if self._asking is not None:
            await asyncio.shield(self._asking)
        if self._not_ready is not None:
            raise self._not_ready

    async def close(self) -> None:
        """Close the connection."""
        for task in (self._connecting, self._asking):
            if task is not None:
                task.cancel()
        await self._detector.close()
        await self.video.close()

    def observe(self, error: FramewireError | None) -> None:
        """Say once that Triton fails, in full, and once that it answers again."""
        if error is not None and type(error) is not self._told:
            self._tell(str(error))
            self._told = type(error)
        elif error is None and self._told is not None:
            self._tell(f"the server at {self.connection.url} answers again")
            self._told = None

    async def _ask(self) -> None:
        # A connection of its own: one that has given up waits before it dials again.
        asker = self._make_detector(RetryPolicy(attempts=1), READY_TIMEOUT_S)
        try:
            async with asker:
                found = await asker.connect()
            self._not_ready = None
            await self._adopt(found)
        except FramewireError as error:
            self._not_ready = error
        finally:
            self._asked = time.monotonic()
            self._asking = None

    async def _adopt(self, found: Pipeline) -> None:
        """Have the detector ask again when the pipeline is another than it was."""
        task = self._connecting
        if task is None or not task.done() or _failed(task):
            return
        if await self._detector.connect() != found:
            await self._detector.refresh()

    def _make_detector(
        self, retry: RetryPolicy | None = None, timeout_s: float | None = None
    ) -> AsyncDetector:
        return AsyncDetector(
            self.connection,
            self.model,
            bls=self.bls,
            timeout_s=self.timeout_s if timeout_s is None else timeout_s,
            retry=retry or self._retry,
        )


def _failed(task: asyncio.Task[Pipeline]) -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _look_at(task: asyncio.Task[Pipeline]) -> None:
    """Take note of a failure that nobody may be waiting for any more."""
    if not task.cancelled():
        task.exception()


def _tell_stderr(sentence: str) -> None:
    print(f"framewire: {sentence}", file=sys.stderr, flush=True)
