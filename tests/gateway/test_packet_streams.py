"""A stream of packets and its calls, against a server that can be exchanged at any moment."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from builder.gateway.frames import Frame
from builder.gateway.streams import PacketStream, VideoChannel
from tests.thin_client.conftest import pipeline_config
from tests.thin_client.streaming.server import STREAM, TRACKING, streaming_server
from thin_client.connection import Connection
from thin_client.contract import Codec, PipelineParameter, stream_fingerprint
from thin_client.errors import FramewireError, InvalidRequestParameter, RequestRefused
from thin_client.pipeline import Pipeline, pipeline_from_config
from thin_client.streaming.looks import looks_from
from thin_client.versions import Versions

KEY = b"\x00\x00\x01\x65slice"
PIPELINE = pipeline_from_config(pipeline_config("codes"))


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    with streaming_server() as running:
        yield running


class Channel(VideoChannel):
    """The way to a server, with something that happens while its config is looked up."""

    meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None

    async def find(self, pipeline: Pipeline, *, again: bool = False) -> Versions | None:
        if self.meanwhile is not None:
            await self.meanwhile()
        return await super().find(pipeline, again=again)


@asynccontextmanager
async def opened(server: SimpleNamespace) -> AsyncIterator[Channel]:
    channel = Channel(Connection(server.url), 10.0)
    try:
        yield channel
    finally:
        await channel.close()


def packet(number: int, **parameters: Any) -> Frame:
    return Frame(number, KEY, parameters, timestamp_us=number)


def serve_labels(server: SimpleNamespace, *labels: str) -> None:
    server.fake.configs[STREAM] = pipeline_config(
        STREAM,
        **{
            PipelineParameter.CONTRACT.value: stream_fingerprint(),
            PipelineParameter.LABELS.value: json.dumps(labels),
        },
    )


def test_a_call_that_ends_while_a_config_is_looked_up_is_followed_by_one_that_begins(
    server: SimpleNamespace,
) -> None:
    async def run() -> None:
        async with opened(server) as channel:
            stream = PacketStream(channel, Codec.H264)
            await stream.detect(packet(1), PIPELINE)

            async def end_call() -> None:
                assert stream._call is not None
                stream._call.give_up()

            channel.meanwhile = end_call
            answer = await stream.detect(packet(2), PIPELINE)
            assert answer.detections.ok

    asyncio.run(run())
    assert [each.start for each in server.fake.packets] == [True, True]


def test_after_a_first_packet_that_was_refused_here_the_next_one_begins(
    server: SimpleNamespace,
) -> None:
    async def run() -> None:
        async with opened(server) as channel:
            stream = PacketStream(channel, Codec.H264)
            with pytest.raises(InvalidRequestParameter, match="no class 'wolf'"):
                await stream.detect(packet(1, classes=["wolf"]), PIPELINE)
            answer = await stream.detect(packet(2), PIPELINE)
            assert answer.detections.ok
            await stream.detect(packet(3), PIPELINE)

    asyncio.run(run())
    assert [each.start for each in server.fake.packets] == [True, False]


def test_after_a_call_that_ended_without_an_error_the_labels_are_read_again(
    server: SimpleNamespace,
) -> None:
    async def run() -> None:
        async with opened(server) as channel:
            stream = PacketStream(channel, Codec.H264)
            first = await stream.detect(packet(1), PIPELINE)
            assert first.detections.labels == ("dog",)

            def exchange(_: Any) -> bool:
                time.sleep(1.0)  # gRPC drops an answer that comes together with the end
                serve_labels(server, "dog", "cat", "person")
                return True

            # What stands before servers ends a call and has another one answer the next.
            server.fake.settings.hang_up = exchange
            await stream.detect(packet(2), PIPELINE)
            while stream._call is not None and not stream._call.over:
                await asyncio.sleep(0.01)
            server.fake.settings.hang_up = lambda _: False
            third = await stream.detect(packet(3), PIPELINE)
            assert third.detections.labels == ("cat",)

    asyncio.run(run())


def test_a_server_that_was_exchanged_between_two_streams_is_asked_for_its_labels() -> None:
    async def run() -> None:
        with streaming_server() as first:
            channel = Channel(Connection(first.url), 10.0)
            stream = PacketStream(channel, Codec.H264)
            answer = await stream.detect(packet(1), PIPELINE)
            assert answer.detections.labels == ("dog",)
            await stream.end()
            await asyncio.to_thread(first.stop)
        with streaming_server(port=first.port) as second:
            serve_labels(second, "dog", "cat", "person")
            await asyncio.sleep(0.2)
            stream = PacketStream(channel, Codec.H264)
            answer = await stream.detect(packet(2), PIPELINE)
            assert answer.detections.labels == ("cat",)
            await channel.close()

    asyncio.run(run())


def test_what_is_under_way_when_a_call_ends_fails_in_words(server: SimpleNamespace) -> None:
    async def run() -> None:
        async with opened(server) as channel:
            stream = PacketStream(channel, Codec.H264)
            server.fake.settings.hang_up = lambda _: not time.sleep(0.2)
            first = asyncio.create_task(stream.detect(packet(1), PIPELINE))
            second = asyncio.create_task(stream.detect(packet(2), PIPELINE))
            assert (await first).detections.ok
            with pytest.raises(FramewireError, match="ended the call"):
                await second

    asyncio.run(run())


@pytest.mark.parametrize("options", ["rotation,mirror", TRACKING])
def test_looks_are_asked_for_of_pipelines_that_spare_them(options: str) -> None:
    looks = looks_from("auto", min_hits=3)

    async def run(server: SimpleNamespace) -> None:
        async with opened(server) as channel:
            stream = PacketStream(channel, Codec.H264, looks=looks)
            if options != TRACKING:
                with pytest.raises(RequestRefused, match="detect_fps"):
                    await stream.detect(packet(1), PIPELINE)
                return
            for number in (1, 2):
                answer = await stream.detect(packet(number), PIPELINE)
                assert [found.track_id for found in answer.detections] == [42]

    with streaming_server(options=options) as server:
        asyncio.run(run(server))
    asked = [each.parameters.get("detect_fps") for each in server.fake.packets]
    assert asked == (["auto", None] if options == TRACKING else [])
