"""A gRPC server that takes packets like a pipeline with streams, and can be slow or forgetful."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.thin_client.conftest import MAX_DET, FakeTriton, _response, pipeline_config
from thin_client.contract import (
    DETECT_FPS,
    LOOK_OUTPUTS,
    LOOKED_AT,
    STREAM_OPTIONS,
    TRACK_IDS,
    TRACK_PARAMETERS,
    Codec,
    ImageStatus,
    PipelineParameter,
    model_names,
    stream_fingerprint,
)
from thin_client.streaming.units import is_key

STREAM = model_names("codes").stream
# What a pipeline obeys that spares looks, and one that tracks besides.
SPARING = ",".join((*STREAM_OPTIONS, DETECT_FPS))
TRACKING = ",".join((SPARING, *TRACK_PARAMETERS))


@dataclass
class Packet:
    """One request as it arrived."""

    data: bytes
    model: str
    stream: str
    start: bool
    end: bool
    codec: str
    timestamp_us: int
    rotation: int
    mirror: bool
    arrived: float
    classes: str = ""
    status: int = 0
    parameters: dict[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()


@dataclass
class Settings:
    """How the server behaves."""

    delay_s: float = 0.0
    held: int = 0  # frames that the decoder holds back
    fields: bool = False  # every second packet is the second field of a frame
    # Packets of which the decoder never gives a frame, and says nothing.
    swallow: Callable[[Packet], bool] = field(default=lambda _: False)
    refuse: Callable[[Packet], str | None] = field(default=lambda _: None)
    # After the answer to such a packet the call is over, without an error.
    hang_up: Callable[[Packet], bool] = field(default=lambda _: False)
    # Of a pipeline that spares looks: whether the network sees the frame of such a packet.
    looks: Callable[[Packet], bool] = field(default=lambda _: True)
    tracks: bool = True  # whether the others have the tracker's boxes
    # The box in the frame of a timestamp; None: as that of FakeTriton.
    box: Callable[[int], tuple[float, float, float, float]] | None = None
    size: tuple[int, int] = (107, 207)  # of the frames, where there is such a box


class FakeStreams(FakeTriton):
    """FakeTriton with ``codes_stream``: every packet gets one box, in order."""

    def __init__(self, streams: bool = True, options: str | None = None) -> None:
        super().__init__()
        self.settings = Settings()
        self.packets: list[Packet] = []
        self.peers: list[str] = []  # of the calls of ModelStreamInfer
        self.probe_bytes = 0
        self.ready = True
        if streams:
            self.configs[STREAM] = pipeline_config(
                STREAM,
                **{
                    PipelineParameter.CONTRACT.value: stream_fingerprint(),
                    PipelineParameter.STREAM_OPTIONS.value: options,
                },
            )
            if options is not None and DETECT_FPS in options:
                for tensor in LOOK_OUTPUTS:
                    self.configs[STREAM].output.add(name=tensor.name)

    def ServerLive(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._enter("ServerLive", context)
        self.probe_bytes += request.ByteSize()
        return service_pb2.ServerLiveResponse(live=True)

    def ModelReady(self, _: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._enter("ModelReady", context)
        return service_pb2.ModelReadyResponse(ready=self.ready)

    def ModelStreamInfer(  # noqa: N802, PLR0912
        self, requests: Iterator[Any], context: grpc.ServicerContext
    ) -> Iterator[Any]:
        self._enter("ModelStreamInfer", context)
        self.peers.append(context.peer())
        open_streams: dict[str, tuple[bool, list[int]]] = {}
        decoded: dict[str, int] = {}  # packets of each stream
        for request in requests:
            packet = as_packet(request)
            self.packets.append(packet)
            if self.settings.delay_s:
                time.sleep(self.settings.delay_s)
            refusal = self.settings.refuse(packet)
            if packet.timestamp_us < 0:
                refusal = "parameter timestamp must be a whole number of microseconds from 0"
            if packet.model == STREAM and not packet.start and packet.stream not in open_streams:
                refusal = f"inference request for sequence {packet.stream} must specify START"
            if refusal:
                yield service_pb2.ModelStreamInferResponse(error_message=refusal)
                continue
            status, timestamp = ImageStatus.OK, packet.timestamp_us
            if packet.model == STREAM:
                if packet.start:
                    open_streams[packet.stream] = (False, [])
                decoding, held = open_streams[packet.stream]
                decoding = decoding or is_key(packet.data, Codec(packet.codec))
                number = decoded[packet.stream] = decoded.get(packet.stream, -1) + bool(packet.data)
                second = self.settings.fields and number % 2 == 1
                gives = not second and not self.settings.swallow(packet)
                if packet.data and decoding and gives:
                    held.append(packet.timestamp_us)
                if packet.data and decoding and (not held or (self.settings.fields and not second)):
                    status, timestamp = ImageStatus.NO_FRAME_YET, -1
                elif not decoding or not held:
                    status, timestamp = ImageStatus.WAITING_FOR_KEY_FRAME, -1
                elif packet.data and len(held) <= self.settings.held:
                    status, timestamp = ImageStatus.NO_FRAME_YET, -1
                else:
                    timestamp = held.pop(0)
                open_streams[packet.stream] = (decoding, held)
            looked_at = self.settings.looks(packet)
            if status is ImageStatus.OK and not looked_at and not self.settings.tracks:
                status = ImageStatus.NOT_LOOKED_AT
            packet.status = status
            answer = stream_answer(status, timestamp)
            if self.settings.box is not None and status is ImageStatus.OK:
                replace_box(answer, self.settings.box(timestamp), self.settings.size)
            if packet.model == STREAM:
                add_looks(answer, packet.outputs, looked_at=looked_at)
            answer.model_version = self.version
            yield service_pb2.ModelStreamInferResponse(infer_response=answer)
            if self.settings.hang_up(packet):
                return


def as_packet(request: Any) -> Packet:
    parameters = request.parameters
    return Packet(
        data=request.raw_input_contents[0][4:],
        model=request.model_name,
        stream=parameters["sequence_id"].string_param,
        start=parameters["sequence_start"].bool_param,
        end=parameters["sequence_end"].bool_param,
        codec=parameters["codec"].string_param,
        timestamp_us=parameters["timestamp"].int64_param,
        rotation=parameters["rotation"].int64_param,
        mirror=parameters["mirror"].bool_param,
        arrived=time.monotonic(),
        classes=parameters["classes"].string_param,
        parameters={
            name: value.string_param or str(value.int64_param) for name, value in parameters.items()
        },
        outputs=tuple(output.name for output in request.outputs),
    )


def stream_answer(status: int, timestamp_us: int) -> Any:
    response = _response([b"ok 7"])
    if status:
        for index, output in enumerate(response.outputs):
            if output.name == "image_status":
                response.raw_output_contents[index] = np.int32(status).tobytes()
    for name, number in (("frame_index", 0), ("frame_timestamp", timestamp_us)):
        response.outputs.add(name=name, datatype="INT64", shape=[1, 1])
        response.raw_output_contents.append(np.int64(number).tobytes())
    return response


def replace_box(
    response: Any, box: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    for index, output in enumerate(response.outputs):
        if output.name == "det_boxes":
            boxes = np.zeros((MAX_DET, 4), np.float32)
            boxes[0] = box
            response.raw_output_contents[index] = boxes.tobytes()
        elif output.name == "image_size":
            response.raw_output_contents[index] = np.array(size, np.int32).tobytes()


def add_looks(response: Any, outputs: tuple[str, ...], *, looked_at: bool) -> None:
    """Add those of the outputs of looks and tracks that were asked for; the dog is number 42."""
    if LOOKED_AT.name in outputs:
        response.outputs.add(name=LOOKED_AT.name, datatype="INT32", shape=[1, 1])
        response.raw_output_contents.append(np.int32(looked_at).tobytes())
    if TRACK_IDS.name in outputs:
        response.outputs.add(name=TRACK_IDS.name, datatype="INT64", shape=[1, MAX_DET])
        ids = np.zeros(MAX_DET, np.int64)
        ids[0] = 42
        response.raw_output_contents.append(ids.tobytes())


@contextmanager
def streaming_server(
    streams: bool = True, port: int = 0, options: str | None = ",".join(STREAM_OPTIONS)
) -> Iterator[SimpleNamespace]:
    """A running FakeStreams: fake, port, url."""
    fake = FakeStreams(streams, options)
    executor = futures.ThreadPoolExecutor(16)
    server = grpc.server(executor, options=[("grpc.so_reuseport", 0)])
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
    deadline = time.monotonic() + 10
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    while not bound and time.monotonic() < deadline:
        time.sleep(0.1)
        bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    stopped = threading.Event()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            server.stop(grace=None).wait()
            executor.shutdown()

    try:
        yield SimpleNamespace(fake=fake, port=bound, url=f"127.0.0.1:{bound}", stop=stop)
    finally:
        stop()
