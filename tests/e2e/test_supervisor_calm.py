"""What the supervisor must not take for a fault."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests import images
from tests.serving import Serving, serving
from tests.supervised import (
    PATIENCE_S,
    PAUSE_S,
    PUBLIC,
    SQUARE,
    assert_mended,
    is_ready,
    lines,
    wait_until,
)
from tests.swapping import Traffic

LOADED_S = 8


@pytest.fixture(scope="module")
def server(streaming_repository: Path) -> Iterator[Serving]:
    with serving(streaming_repository) as running_server:
        yield running_server
    assert running_server.process.returncode == 0


def test_load_is_no_fault(server: Serving) -> None:
    before = len(lines(server))
    big = images.encoded(images.photograph(1920, 1080))
    with Traffic(server.url, big, PUBLIC, threads_each=12) as traffic:
        until = time.monotonic() + LOADED_S
        while time.monotonic() < until:
            assert server.ready() == (HTTPStatus.OK, {"ready": True, "pipelines": {"tiny": True}})
            time.sleep(0.1)
    assert traffic.errors == []
    assert lines(server)[before:] == []


def test_a_stream_that_pauses_is_no_fault(server: Serving) -> None:
    before = len(lines(server))
    with InferenceServerClient(server.url) as client:
        send_packet(client, 7, start=True)
        time.sleep(PAUSE_S)
        assert is_ready(server)
        send_packet(client, 7, end=True)
    assert lines(server)[before:] == []


def test_a_new_version_is_no_fault(streaming_repository: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(streaming_repository, tmp_path / "repository")
    with serving(copy) as server, Traffic(server.url, SQUARE, PUBLIC, threads_each=2) as traffic:
        for version, instances in ((2, 3), (3, 1)):
            settings = BuildSettings("tiny", conf=0.5, stream=True, instances=instances)
            build_pipeline(streaming_repository.parent / "tiny.onnx", copy, settings)
            loaded = ["load", "tiny", "--repository", str(copy), "--url", server.url]
            assert main(loaded) == 0
            wait_until(
                lambda at=version: all(at in traffic.versions(model) for model in PUBLIC),
            )
            time.sleep(PAUSE_S)
            assert is_ready(server)
        assert lines(server) == []
        # What came with it is watched, too.
        assert len(server.model_pids("tiny_preprocess")) == 1
        os.kill(server.model_pids("tiny_preprocess")[0], signal.SIGKILL)
        assert "tiny_preprocess" in assert_mended(server, 0)


def test_a_pipeline_that_was_unloaded_is_unready_and_left_alone(streaming_repository: Path) -> None:
    with serving(streaming_repository) as server:
        with InferenceServerClient(server.url) as client:
            client.unload_model("tiny_bls")
            wait_until(lambda: not is_ready(server))
            assert server.ready("/readyz/tiny") == (
                HTTPStatus.SERVICE_UNAVAILABLE,
                {
                    "ready": False,
                    "pipelines": {"tiny": False},
                    "why": "tiny: tiny_bls is not loaded",
                },
            )
            assert server.ready("/livez")[0] == HTTPStatus.OK
            assert server.ready("/readyz/another")[0] == HTTPStatus.NOT_FOUND
            time.sleep(PAUSE_S)
            assert lines(server) == []
            client.load_model("tiny_bls")
        wait_until(lambda: is_ready(server))


def send_packet(
    client: InferenceServerClient, stream: int, *, start: bool = False, end: bool = False
) -> None:
    packet = InferInput("packet", [1, 1], "BYTES")
    packet.set_data_from_numpy(np.array([[SQUARE]], dtype=object))
    client.infer(
        "tiny_stream",
        [packet],
        sequence_id=stream,
        sequence_start=start,
        sequence_end=end,
        parameters={"codec": "mjpeg"} if start else None,
        client_timeout=PATIENCE_S,
    )
