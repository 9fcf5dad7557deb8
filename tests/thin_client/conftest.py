"""A real gRPC server that speaks KServe v2 like Triton, and can be told to misbehave."""

from __future__ import annotations

import asyncio
import json
import struct
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from types import SimpleNamespace
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from thin_client import AsyncDetector, Detector
from thin_client.contract import (
    PIPELINE_INPUTS,
    PIPELINE_OUTPUTS,
    STATUS_SENTENCES,
    ImageStatus,
    PipelineParameter,
    contract_fingerprint,
    model_names,
    resolve_shape,
)

LABELS = ("person", "dog", "cat")
MAX_DET = 5
MAX_BATCH_SIZE = 4

_CONFIG_TYPES = {
    "BYTES": model_config_pb2.TYPE_STRING,
    "FP32": model_config_pb2.TYPE_FP32,
    "INT32": model_config_pb2.TYPE_INT32,
}


def pipeline_config(name: str, version: int | None = None, **changes: str | None) -> Any:
    """The config of a pipeline's public model; ``changes`` replace parameters, None drops one."""
    parameters: dict[str, str | None] = {
        PipelineParameter.CONTRACT.value: contract_fingerprint(),
        PipelineParameter.VERSION.value: "0.1.0",
        PipelineParameter.HEAD.value: "yolov8",
        PipelineParameter.LABELS.value: json.dumps(LABELS),
        PipelineParameter.INPUT_WIDTH.value: "640",
        PipelineParameter.INPUT_HEIGHT.value: "480",
        PipelineParameter.CONF.value: "0.25",
        PipelineParameter.IOU.value: "0.7",
        PipelineParameter.MAX_DET.value: str(MAX_DET),
        PipelineParameter.CLASS_AGNOSTIC.value: "false",
    }
    config = model_config_pb2.ModelConfig(name=name, max_batch_size=MAX_BATCH_SIZE)
    if version is not None:
        config.version_policy.specific.versions.append(version)
    for tensor in PIPELINE_INPUTS:
        config.input.add(
            name=tensor.name, data_type=_CONFIG_TYPES[tensor.datatype], dims=tensor.shape
        )
    for key, value in {**parameters, **changes}.items():
        if value is not None:
            config.parameters[key].string_value = value
    return config


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):
    """Serves the pipeline ``codes``.

    The image ``b"ok 7"`` is 107 x 207 pixels and holds one dog, score 0.5, at (7, 8, 9, 10); any
    other image is corrupt.
    """

    def __init__(self) -> None:
        self.configs = {name: pipeline_config(name) for name in ("codes", "codes_bls")}
        # Name, state, reason, and the version where it is not 1.
        self.index: list[tuple[str, ...]] = [
            (name, "READY", "") for name in model_names("codes").all
        ]
        self.version = ""
        # Of other versions that are loaded: name, version, images.
        self.other_statistics: list[tuple[str, str, int]] = []
        self.calls: Counter[str] = Counter()
        self.requests: list[Any] = []
        # Of the calls of ModelInfer.
        self.contexts: list[grpc.ServicerContext] = []
        self.metadata: dict[str, dict[str, str]] = {}
        self.refusals: deque[tuple[grpc.StatusCode, str]] = deque()
        self.refuse_all: tuple[grpc.StatusCode, str] | None = None
        self.before_answer: Callable[[list[bytes]], None] = lambda _: None
        self.change_response: Callable[[Any], None] = lambda _: None
        self._lock = threading.Lock()

    def serve_version(
        self, version: int, labels: Sequence[str], *, max_batch_size: int = MAX_BATCH_SIZE
    ) -> None:
        """Answer with another version from now on, as after a build or a rollback."""
        self.version = str(version)
        for name, old in self.configs.items():
            changed = pipeline_config(name, version, labels=json.dumps(labels))
            contract = PipelineParameter.CONTRACT.value
            changed.parameters[contract].string_value = old.parameters[contract].string_value
            changed.max_batch_size = max_batch_size
            self.configs[name] = changed

    def _enter(self, method: str, context: grpc.ServicerContext) -> None:
        with self._lock:
            self.calls[method] += 1
            self.metadata[method] = dict(context.invocation_metadata())
        if self.refuse_all:
            context.abort(*self.refuse_all)

    def RepositoryIndex(self, _: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._enter("RepositoryIndex", context)
        response = service_pb2.RepositoryIndexResponse()
        for name, state, reason, *version in self.index:
            response.models.add(
                name=name, version=(version or ["1"])[0], state=state, reason=reason
            )
        return response

    def ModelConfig(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._enter("ModelConfig", context)
        if request.name not in self.configs:
            sentence = f"Request for unknown model: '{request.name}' is not found"
            context.abort(grpc.StatusCode.NOT_FOUND, sentence)
        return service_pb2.ModelConfigResponse(config=self.configs[request.name])

    def ServerMetadata(self, _: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._enter("ServerMetadata", context)
        return service_pb2.ServerMetadataResponse(name="triton", version="2.51.0")

    def ModelStatistics(self, _: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._enter("ModelStatistics", context)
        response = service_pb2.ModelStatisticsResponse()
        for name in ("another", *model_names("codes").all):
            statistics = response.model_stats.add(name=name, inference_count=12, execution_count=3)
            statistics.inference_stats.success.count = 4
            statistics.inference_stats.success.ns = 10_000_000
            statistics.version = self.version
        for name, version, images in self.other_statistics:
            response.model_stats.add(name=name, version=version, inference_count=images)
        return response

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self._enter("ModelInfer", context)
        with self._lock:
            self.requests.append(request)
            self.contexts.append(context)
            refusal = self.refusals.popleft() if self.refusals else None
        if refusal:
            context.abort(*refusal)
        images = _images(request.raw_input_contents[0])
        assert len(images) == request.inputs[0].shape[0]
        most = self.configs[request.model_name].max_batch_size
        if len(images) > most:
            sentence = f"inference request batch-size must be <= {most} for 'codes'"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, sentence)
        self.before_answer(images)
        if len(images) == 1 and not images[0].startswith(b"ok "):
            sentence = f"in ensemble 'codes', {STATUS_SENTENCES[ImageStatus.CORRUPT]}"
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, sentence)
        response = _response(images)
        response.model_version = self.version
        self.change_response(response)
        return response


def _images(raw: bytes) -> list[bytes]:
    images, offset = [], 0
    while offset < len(raw):
        (size,) = struct.unpack_from("<I", raw, offset)
        images.append(raw[offset + 4 : offset + 4 + size])
        offset += 4 + size
    return images


def _response(images: list[bytes]) -> Any:
    tensors = {
        tensor.name: np.zeros(
            (len(images), *resolve_shape(tensor, max_det=MAX_DET)),
            np.float32 if tensor.datatype == "FP32" else np.int32,
        )
        for tensor in PIPELINE_OUTPUTS
    }
    for row, image in enumerate(images):
        if not image.startswith(b"ok "):
            tensors["image_status"][row] = ImageStatus.CORRUPT
            continue
        number = int(image[3:])
        tensors["num_dets"][row] = 1
        tensors["det_boxes"][row, 0] = [number, number + 1, number + 2, number + 3]
        tensors["det_scores"][row, 0] = 0.5
        tensors["det_classes"][row, 0] = 1
        tensors["image_size"][row] = [number + 100, number + 200]
    response = service_pb2.ModelInferResponse(model_name="codes")
    for tensor in PIPELINE_OUTPUTS:
        array = tensors[tensor.name]
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=array.shape)
        response.raw_output_contents.append(array.tobytes())
    return response


@pytest.fixture
def start_triton() -> Iterator[Callable[..., SimpleNamespace]]:
    """Start a FakeTriton: ``start_triton(credentials=None)`` gives fake, port, url and stop."""
    servers = []

    def start(credentials: grpc.ServerCredentials | None = None, port: int = 0) -> SimpleNamespace:
        fake = FakeTriton()
        executor = futures.ThreadPoolExecutor(16)
        server = grpc.server(executor, options=[("grpc.so_reuseport", 0)])
        service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(fake, server)
        address = f"127.0.0.1:{port}"
        if credentials is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
        server.start()

        def stop() -> None:
            server.stop(grace=None).wait()
            executor.shutdown()

        servers.append(stop)
        return SimpleNamespace(fake=fake, port=port, url=f"127.0.0.1:{port}", stop=stop)

    yield start
    for stop in servers:
        stop()


@pytest.fixture
def triton(start_triton: Callable[..., SimpleNamespace]) -> SimpleNamespace:
    return start_triton()


@pytest.fixture
def config() -> Callable[..., Any]:
    return pipeline_config


class BlockingAsyncDetector:
    """An AsyncDetector that can be called like a Detector, so that one test is for both."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._detector = AsyncDetector(*args, **options)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._detector, name)
        return lambda *args, **kwargs: self._loop.run_until_complete(method(*args, **kwargs))

    def detect_stream(self, *args: Any, **options: Any) -> Iterator[Any]:
        stream = self._detector.detect_stream(*args, **options)
        try:
            while True:
                try:
                    yield self._loop.run_until_complete(stream.__anext__())
                except StopAsyncIteration:
                    return
        finally:
            self._loop.run_until_complete(stream.aclose())

    def dispose(self) -> None:
        self._loop.run_until_complete(self._detector.close())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


@pytest.fixture(params=["sync", "async"])
def make_detector(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Make a Detector, or an AsyncDetector that can be called like one."""
    made: list[Any] = []

    def make(*args: Any, **options: Any) -> Any:
        kind = Detector if request.param == "sync" else BlockingAsyncDetector
        made.append(kind(*args, **options))
        return made[-1]

    yield make
    for detector in made:
        getattr(detector, "dispose", detector.close)()
