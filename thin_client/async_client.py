"""The client for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from tritonclient.grpc import service_pb2_grpc

from thin_client import conversation
from thin_client.connection import DEFAULT_URL, Connection
from thin_client.conversation import LINGER_S, Call, Conversation
from thin_client.detections import Detections
from thin_client.errors import DetectorClosed, FramewireError
from thin_client.failures import late, pause_or_raise
from thin_client.parameters import RequestParameters
from thin_client.pipeline import Pipeline
from thin_client.pipelining import async_map_in_order
from thin_client.retry import Budget, RetryPolicy
from thin_client.server_report import ServerReport
from thin_client.versions import Versions
from thin_client.watching import AsyncWatch
from thin_client.wire import EncodedImage

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

__all__ = ["AsyncDetector"]

T = TypeVar("T")


class AsyncDetector:
    """Detector for asyncio: the same arguments, methods and exceptions, awaited.

    But for ``video_stream`` and ``stream_link``: streams have threads of their own, so iterate over
    a Detector's in a thread.
    Belongs to the event loop of its first call. See Detector for what each method does.
    """

    def __init__(
        self,
        url: str | Connection = DEFAULT_URL,
        model: str | None = None,
        *,
        bls: bool = False,
        timeout_s: float | None = 30.0,
        retry: RetryPolicy | None = None,
    ) -> None:
        self._connection = url if isinstance(url, Connection) else Connection(url)
        self._model = model
        self._bls = bls
        self._timeout_s = timeout_s
        self._retry = retry or RetryPolicy()
        self._versions: Versions | None = None
        self._connecting = asyncio.Lock()
        self._closed = False
        # A channel belongs to the running event loop, and there may be none yet.
        self._channel: Any = None
        self._stub: Any = None
        self._watch: AsyncWatch | None = None
        # Calls that nobody waits for any more and that the server is about to end.
        self._lingering: set[asyncio.Task[Any]] = set()

    async def connect(self) -> Pipeline:
        """Return what the pipeline says about itself, asking the server the first time only.

        Later it is the version that answered last: its labels and limits may be others.
        """
        return (await self._connect(self._budget())).latest

    async def refresh(self) -> Pipeline:
        """Ask the server again what the pipeline says about itself, and return it.

        Nobody needs this for right labels: where an answer is of another version, they are read
        again by themselves.
        """
        return (await self._connect(self._budget(), again=True)).latest

    async def detect(
        self, image: EncodedImage, **parameters: Unpack[RequestParameters]
    ) -> Detections:
        """Detect objects in one image; see Detector.detect."""
        budget = self._budget()
        versions = await self._connect(budget)
        return await self._run(conversation.detect(versions, image, parameters), budget)

    async def detect_batch(
        self, images: Sequence[EncodedImage], **parameters: Unpack[RequestParameters]
    ) -> list[Detections]:
        """Detect objects in several images with one call; see Detector.detect_batch."""
        budget = self._budget()
        versions = await self._connect(budget)
        return await self._run(conversation.detect_batch(versions, images, parameters), budget)

    async def detect_stream(
        self,
        images: Iterable[EncodedImage] | AsyncIterable[EncodedImage],
        *,
        in_flight: int = 4,
        **parameters: Unpack[RequestParameters],
    ) -> AsyncGenerator[Detections, None]:
        """Detect objects in images as they come, results in order; see Detector.detect_stream."""

        async def detect_one(image: EncodedImage) -> Detections:
            return (await self.detect_batch([image], **parameters))[0]

        results = async_map_in_order(detect_one, images, in_flight)
        async with contextlib.aclosing(results):
            async for detections in results:
                yield detections

    async def report(self) -> ServerReport:
        """Return the server's version, the pipeline's config and the statistics of its models."""
        budget = self._budget()
        versions = await self._connect(budget)
        return await self._run(conversation.report(versions), budget)

    async def close(self) -> None:
        """Close the connection; requests still in flight fail. See Detector.close."""
        self._closed = True
        try:
            if self._lingering:
                await asyncio.wait(self._lingering, timeout=LINGER_S)
        finally:
            if self._watch is not None:
                await self._watch.close()
            if self._channel is not None:
                await self._channel.close()
        await asyncio.gather(*self._lingering, return_exceptions=True)

    async def __aenter__(self) -> Self:
        """Return the detector itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        await self.close()

    def _budget(self) -> Budget:
        return Budget(self._retry, self._timeout_s, interrupted=self._doubt)

    def _doubt(self) -> None:
        if self._versions is not None:
            self._versions.doubt()

    async def _connect(self, budget: Budget, *, again: bool = False) -> Versions:
        if self._versions is not None and not again:
            return self._versions
        async with self._connecting:
            if self._versions is None or again:
                url = self._connection.url
                talk = conversation.connect(url, self._model, self._bls)
                self._versions = Versions(await self._run(talk, budget))
            return self._versions

    async def _run(self, talk: Conversation[T], budget: Budget) -> T:
        try:
            call = next(talk)
            while True:
                try:
                    response = await self._send(call, budget)
                except FramewireError as error:
                    call = talk.throw(error)
                else:
                    call = talk.send(response)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    async def _send(self, call: Call, budget: Budget) -> Any:
        while True:
            if self._closed:
                raise DetectorClosed("the detector is closed; make a new one")
            if self._channel is None:
                self._channel = _open_channel(self._connection)
                self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
                self._watch = AsyncWatch(self._channel, self._doubt)
            timeout_s = budget.remaining_s()
            try:
                response = await self._answer(call, timeout_s)
            except asyncio.TimeoutError:
                raise late(self._connection.url, budget.timeout_s) from None
            except grpc.RpcError as error:
                if self._closed:
                    raise DetectorClosed("the detector was closed meanwhile") from error
                pause_s = pause_or_raise(error, call.request, self._connection.url, budget)
            else:
                budget.succeeded()
                return response
            await asyncio.sleep(pause_s)

    async def _answer(self, call: Call, timeout_s: float | None) -> Any:
        method, metadata = getattr(self._stub, call.method), self._connection.metadata
        request = call.request_within(timeout_s)
        if timeout_s is None or not call.lingers(timeout_s):
            return await method(request, timeout=timeout_s, metadata=metadata)
        pending = method(request, timeout=timeout_s + LINGER_S, metadata=metadata)
        task = asyncio.ensure_future(_awaited(pending))
        try:
            done, _ = await asyncio.wait({task}, timeout=timeout_s)
        except asyncio.CancelledError:
            pending.cancel()
            raise
        if not done:
            self._lingering.add(task)
            task.add_done_callback(self._end_lingering)
            raise asyncio.TimeoutError
        return task.result()

    def _end_lingering(self, task: asyncio.Task[Any]) -> None:
        self._lingering.discard(task)
        if not task.cancelled():
            task.exception()  # which nobody waits for


async def _awaited(call: Awaitable[T]) -> T:
    return await call


def _open_channel(connection: Connection) -> Any:
    credentials = connection.credentials()
    options = connection.channel_options()
    if credentials is None:
        return grpc.aio.insecure_channel(connection.target, options)
    return grpc.aio.secure_channel(connection.target, credentials, options)
