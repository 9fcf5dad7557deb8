"""Streams as any KServe v2 client sends them, without Framewire's own client."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferenceServerClient, InferInput

Answer = dict[str, NDArray[Any]]
StreamId = int | str
TIMEOUT_S = 60


def packet_input(packet: bytes) -> list[InferInput]:
    tensor = InferInput("packet", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[packet]], dtype=object))
    return [tensor]


def send(
    client: InferenceServerClient, model: str, stream: StreamId, packet: bytes, **options: Any
) -> Answer:
    """Send one packet and wait for its answer.

    Options are ``start``, ``end`` and request parameters.
    """
    result = client.infer(
        model,
        packet_input(packet),
        sequence_id=stream,
        sequence_start=options.pop("start", False),
        sequence_end=options.pop("end", False),
        parameters=options or None,
        client_timeout=TIMEOUT_S,
    )
    return outputs(result)


def outputs(result: Any) -> Answer:
    return {output.name: result.as_numpy(output.name) for output in result.get_response().outputs}


def send_all(
    client: InferenceServerClient,
    model: str,
    stream: StreamId,
    packets: Sequence[bytes],
    codec: str,
    *,
    numbers: Sequence[int] | None = None,
    end: bool = True,
) -> list[Answer]:
    """Send a stream's packets one after the other, with their numbers as timestamps."""
    numbers = numbers or range(len(packets))
    return [
        send(
            client,
            model,
            stream,
            packet,
            start=at == 0,
            end=end and at == len(packets) - 1,
            timestamp=number,
            **({"codec": codec} if at == 0 else {}),
        )
        for at, (number, packet) in enumerate(zip(numbers, packets, strict=True))
    ]


class Conversation:
    """One ``ModelStreamInfer`` call."""

    def __init__(self, url: str) -> None:
        self._client = InferenceServerClient(url)
        self._answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
        self._client.start_stream(lambda result, error: self._answers.put((result, error)))

    def send(self, model: str, stream: StreamId, packet: bytes, **options: Any) -> None:
        """Send a packet and do not wait."""
        self._client.async_stream_infer(
            model,
            packet_input(packet),
            sequence_id=stream,
            sequence_start=options.pop("start", False),
            sequence_end=options.pop("end", False),
            request_id=str(options.get("timestamp", "")),
            parameters=options or None,
        )

    def receive(self) -> tuple[str, Answer]:
        """The next answer and the id of its request; raises what came in its place."""
        result, error = self._answers.get(timeout=TIMEOUT_S)
        if error is not None:
            raise error
        return result.get_response().id, outputs(result)

    def close(self) -> None:
        self._client.stop_stream()
        self._client.close()


@contextmanager
def conversation(url: str) -> Iterator[Conversation]:
    talk = Conversation(url)
    try:
        yield talk
    finally:
        talk.close()


def status(answer: Answer) -> int:
    return int(answer["image_status"][0, 0])


def timestamp(answer: Answer) -> int:
    return int(answer["frame_timestamp"][0, 0])


def index(answer: Answer) -> int:
    return int(answer["frame_index"][0, 0])
