"""Video packets of one connection to ``NAME_stream``: one call of gRPC, in order."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections import deque
from contextlib import suppress
from typing import Any, TypeVar

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from builder.gateway.frames import Frame
from thin_client.connection import Connection
from thin_client.contract import (
    OPTIONAL_PARAMETERS,
    READ_STATUSES,
    REQUEST_PARAMETERS,
    STATUS_SENTENCES,
    Codec,
)
from thin_client.conversation import Conversation
from thin_client.detections import Detections
from thin_client.errors import (
    DeadlineExceeded,
    FramewireError,
    InvalidRequestParameter,
    PipelineNotFound,
    PipelineNotReady,
    RequestRefused,
    ServerOverloaded,
    ServerUnreachable,
)
from thin_client.failures import clean_sentence, diagnose
from thin_client.parameters import wire_parameters
from thin_client.pipeline import Pipeline
from thin_client.streaming.looks import EVERY_FRAME, Looks
from thin_client.streaming.opening import find_streams
from thin_client.streaming.orientation import UPRIGHT, Orientation
from thin_client.streaming.packets import Answer, packet_request, read_answer
from thin_client.versions import Versions
from thin_client.watching import AsyncWatch

T = TypeVar("T")

# For the server to close the stream that a client left.
END_PATIENCE_S = 2.0
# Errors after which the server does not know the stream any more: the next packet begins it anew.
_FORGOTTEN = re.compile(r"sequence|stream is not open", re.IGNORECASE)
# The server stops, and waits with that for calls that are open.
_GOING = re.compile(r"no available version|ready state|not ready|unload|stopp", re.IGNORECASE)
# The server is full; what it says to clients of gRPC is not for those of a gateway.
_FULL = re.compile(
    r"as many streams open|decoder may need|maximum queue|timeout expired", re.IGNORECASE
)


class VideoChannel:
    """The way to ``NAME_stream``.

    Args:
        connection: of Triton's gRPC endpoint.
        timeout_s: of a packet.
    """

    def __init__(self, connection: Connection, timeout_s: float) -> None:
        self.connection = connection
        self.timeout_s = timeout_s
        self._channel: Any = None
        self._watch: AsyncWatch | None = None
        self._found: tuple[Pipeline, Versions | None] | None = None

    @property
    def stub(self) -> Any:
        """KServe's GRPCInferenceService; opens the channel."""
        if self._channel is None:
            target, options = self.connection.target, self.connection.channel_options()
            credentials = self.connection.credentials()
            if credentials is None:
                self._channel = grpc.aio.insecure_channel(target, options)
            else:
                self._channel = grpc.aio.secure_channel(target, credentials, options)
            # While no stream is open only this tells.
            self._watch = AsyncWatch(self._channel, self.doubt)
        return service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def find(self, pipeline: Pipeline, *, again: bool = False) -> Versions | None:
        """Return what takes packets beside a pipeline; None where it was built without.

        Args:
            pipeline: that takes images.
            again: read its config once more: it may have another version.

        Raises:
            FramewireError: the server does not say.
        """
        if self._found is not None and self._found[0] == pipeline and not again:
            return self._found[1]
        before = self._found[1] if self._found is not None else None
        video = await self._converse(find_streams(pipeline))
        if video is None:
            versions = None
        elif before is not None and before.latest.model == video.model:
            before.learn(video)
            versions = before
        else:
            versions = Versions(video)
        self._found = (pipeline, versions)
        return versions

    def doubt(self) -> None:
        """Have the config read again: the server was away, and may be another by now."""
        if self._found is not None and self._found[1] is not None:
            self._found[1].doubt()

    async def close(self) -> None:
        """Close the channel."""
        if self._watch is not None:
            await self._watch.close()
        if self._channel is not None:
            await self._channel.close()

    async def _converse(self, talk: Conversation[T]) -> T:
        try:
            call = next(talk)
            while True:
                try:
                    response = await getattr(self.stub, call.method)(
                        call.request, timeout=self.timeout_s, metadata=self.connection.metadata
                    )
                except grpc.RpcError as error:
                    url = self.connection.url
                    call = talk.throw(diagnose(error, call.request, url, self.timeout_s))
                else:
                    call = talk.send(response)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


class PacketStream:
    """One stream of video.

    Where its call ends, as with the server, what is under way fails and the next packet begins
    another: it and those after it wait for a key frame.

    Args:
        channel: where packets go.
        codec: of all of them.
        orientation: how frames have to be turned to be upright.
        looks: how often the network looks at them, and how they are tracked.
    """

    def __init__(
        self,
        channel: VideoChannel,
        codec: Codec,
        orientation: Orientation = UPRIGHT,
        looks: Looks = EVERY_FRAME,
    ) -> None:
        self._looks = looks
        self._channel = channel
        self._codec = codec
        self._orientation = orientation
        # Fair: packets leave in the order of their detect calls.
        self._turn = asyncio.Lock()
        self._call: _Call | None = None

    async def detect(self, frame: Frame, pipeline: Pipeline) -> Answer:
        """Return the answer to a packet.

        Raises:
            FramewireError: saying why there is none.
        """
        async with self._turn:
            versions = await self._channel.find(pipeline)
            turned = self._orientation != UPRIGHT
            if turned and versions is not None and not versions.latest.turns:
                # It may have been built anew meanwhile.
                versions = await self._channel.find(pipeline, again=True)
            if versions is None:
                raise RequestRefused("this pipeline takes no video: send pictures")
            if turned and not versions.latest.turns:
                raise RequestRefused(
                    "this pipeline turns no frames, as it was built before it could: send frames"
                    " that are upright"
                )
            try:
                self._looks.refuse_without(versions.latest, pipeline)
            except PipelineNotFound as error:
                raise RequestRefused(str(error)) from error
            if self._call is None or self._call.over:
                self._call = _Call(self._channel, versions.latest)
            call = self._call
            try:
                parameters = wire_parameters(call.target.labels, **frame.parameters)
            except InvalidRequestParameter:
                # Perhaps another version has a class of that name.
                await self._channel.find(pipeline, again=True)
                call.target = versions.latest
                parameters = wire_parameters(call.target.labels, **frame.parameters)
            # Of the call and not of this packet: the one before may have been refused here.
            start = not call.began
            request = packet_request(
                call.target.model,
                frame.image,
                parameters,
                stream=call.name,
                codec=self._codec,
                timestamp_us=-1 if frame.timestamp_us is None else frame.timestamp_us,
                start=start,
                orientation=self._orientation,
                begin=self._looks.wire(call.target),
                look_outputs=call.target.look_outputs,
            )
            call.began = True
            answered = await call.send(request)
        try:
            response = await asyncio.wait_for(answered, self._channel.timeout_s)
        except asyncio.TimeoutError:
            call.give_up()
            raise DeadlineExceeded(
                f"the server at {self._channel.connection.url} did not answer a packet within "
                f"{self._channel.timeout_s:g} s"
            ) from None
        if not response.error_message:
            found = versions.of(response.infer_response)
            if found is None and await self._channel.find(pipeline, again=True) is versions:
                found = versions.of(response.infer_response)
            if found is not None:
                call.target = found
            if found is None or wire_parameters(found.labels, **frame.parameters) != parameters:
                # A packet cannot be sent again as an image can.
                raise PipelineNotReady("the pipeline was given another version meanwhile")
            return read_answer(response.infer_response, found, None)
        said = clean_sentence(response.error_message)
        if start or _FORGOTTEN.search(said) or _GOING.search(said):
            call.give_up()
        return _refused(said)

    async def end(self) -> None:
        """Let the server close the stream, whoever still waits."""
        call = self._call
        if call is None or call.over:
            return
        last = packet_request(
            call.target.model,
            b"",
            {},
            stream=call.name,
            codec=self._codec,
            timestamp_us=-1,
            end=True,
        )
        with suppress(FramewireError, asyncio.TimeoutError):
            await asyncio.wait_for(await call.send(last), END_PATIENCE_S)
        call.give_up()


class _Call:
    """One ModelStreamInfer call, and the requests of it that are not answered yet.

    Attributes:
        target: the version of the pipeline that answers it.
        name: of the stream.
        began: whether the packet that begins the stream has been sent.
    """

    def __init__(self, channel: VideoChannel, target: Pipeline) -> None:
        self.target = target
        # Another name for every call: the server may not know yet that the last one is over.
        self.name = f"gateway-{uuid.uuid4().hex[:16]}"
        self.began = False
        self._channel = channel
        self._pending: deque[asyncio.Future[Any]] = deque()
        self._call = channel.stub.ModelStreamInfer(metadata=channel.connection.metadata)
        self._reader = asyncio.create_task(self._read())
        self._given_up = False

    @property
    def over(self) -> bool:
        """Whether nothing more can be sent."""
        return self._given_up or self._reader.done()

    async def send(self, request: Any) -> asyncio.Future[Any]:
        """Send a request; return what will be its ``ModelStreamInferResponse``."""
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending.append(answered)
        # Where the call is over, its reader says why.
        with suppress(grpc.RpcError, asyncio.InvalidStateError):
            await self._call.write(request)
        if self._reader.done():
            self._fail(ServerUnreachable(f"the call to {self._channel.connection.url} ended"))
        return answered

    def give_up(self) -> None:
        """Break it off."""
        self._given_up = True
        self._call.cancel()

    async def _read(self) -> None:
        url = self._channel.connection.url
        ended: FramewireError = ServerUnreachable(f"the server at {url} ended the call")
        try:
            async for response in self._call:
                if self._pending and not (answered := self._pending.popleft()).done():
                    answered.set_result(response)
            # Only a server that goes, or what stands before it, ends a call without an error.
            self._channel.doubt()
        except grpc.RpcError as error:
            request = service_pb2.ModelInferRequest(model_name=self.target.model)
            ended = diagnose(error, request, url, None)
            self._channel.doubt()
        except asyncio.CancelledError:
            if not self._given_up:
                raise
        finally:
            self._fail(ended)

    def _fail(self, error: FramewireError) -> None:
        while self._pending:
            answered = self._pending.popleft()
            if not answered.done():
                answered.set_exception(error)
                answered.exception()  # whoever asked may be gone


def _refused(said: str) -> Answer:
    for status, sentence in STATUS_SENTENCES.items():
        if status not in READ_STATUSES and sentence in said:
            return Answer(Detections.failed(status, said), -1, -1)
    if _GOING.search(said):
        raise PipelineNotReady(said)
    if _FULL.search(said):
        raise ServerOverloaded(said)
    named = re.findall(r"[a-z_]+", said.lower())
    if any(name in named for name in REQUEST_PARAMETERS + OPTIONAL_PARAMETERS):
        raise InvalidRequestParameter(said)
    raise RequestRefused(f"the server refused the packet: {said}")
