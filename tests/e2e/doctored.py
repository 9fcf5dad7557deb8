"""Servers in a state, and traffic, for the doctor to look at."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from builder.pipelines.config_files import config_text, read_config
from builder.serving.ports import free_ports
from builder.serving.server import triton_server
from builder.serving.server_options import ServerOptions
from builder.serving.triton_process import TritonServer


@contextmanager
def bare_triton(repository: Path, **options: object) -> Iterator[TritonServer]:
    """A ready Triton over which nobody watches."""
    grpc_port, http_port, metrics_port = free_ports(3)
    chosen = ServerOptions(
        repository,
        grpc_port=grpc_port,
        http_port=http_port,
        metrics_port=metrics_port,
        **options,
    )
    with triton_server(chosen) as server:
        server.wait_until_ready()
        yield server


@contextmanager
def traffic(url: str, model: str, picture: bytes, at_once: int) -> Iterator[None]:
    """Requests in flight, as many at any time, whatever becomes of them; each had its first."""
    stop, begun = threading.Event(), threading.Barrier(at_once + 1, timeout=60)

    def send() -> None:
        with InferenceServerClient(url) as client:
            first = True
            while not stop.is_set():
                with suppress(InferenceServerException):
                    client.infer(model, [one_image(picture)], client_timeout=60)
                if first:
                    begun.wait()
                first = False

    with ThreadPoolExecutor(at_once) as threads:
        for _ in range(at_once):
            threads.submit(send)
        try:
            begun.wait()
            yield
        finally:
            stop.set()


@contextmanager
def camera_that_waits_for_nobody(
    url: str, model: str, picture: bytes, per_s: float
) -> Iterator[None]:
    """Requests at a rate, whether or not the ones before were answered."""
    stop = threading.Event()

    def send() -> None:
        with InferenceServerClient(url) as client:
            while not stop.is_set():
                client.async_infer(model, [one_image(picture)], callback=lambda *_: None)
                time.sleep(1 / per_s)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        stop.set()
        sender.join()


def one_image(picture: bytes) -> InferInput:
    image = InferInput("image", [1, 1], "BYTES")
    image.set_data_from_numpy(np.array([[picture]], dtype=object))
    return image


def without_batching(repository: Path, *models: str) -> None:
    """Take what makes batches out of some configs, as somebody's hand might."""
    for model in models:
        config = read_config(repository / model)
        config.ClearField("dynamic_batching")
        (repository / model / "config.pbtxt").write_text(config_text(config))
