"""The demo pipeline in a container, called as edge devices call it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from builder.testing import FramewireContainer
from tests.containers.asking import ask
from tests.e2e.test_demo_pipeline import IMAGES, SAMPLES, assert_is_golden
from thin_client import AsyncDetector, BadImage, Detections, Detector

pytestmark = pytest.mark.containers

BROKEN = (SAMPLES / "warehouse.jpg").read_bytes()[:9000]


@pytest.mark.parametrize("bls", [False, True], ids=["ensemble", "bls"])
def test_detections_are_the_golden_ones(demo: FramewireContainer, bls: bool) -> None:
    with demo.detector(bls=bls) as detector:
        for name in IMAGES:
            assert_is_golden(detector.detect((SAMPLES / name).read_bytes()), name)


def test_a_stream_and_a_batch_give_the_same(demo: FramewireContainer) -> None:
    images = [(SAMPLES / name).read_bytes() for name in IMAGES]
    with demo.detector() as detector:
        streamed = list(detector.detect_stream(images, in_flight=6))
        together = detector.detect_batch(images)
    for name, one, other in zip(IMAGES, streamed, together, strict=True):
        assert_is_golden(one, name)
        assert_is_golden(other, name, "in_square")


def test_the_asyncio_client_gets_the_same(demo: FramewireContainer) -> None:
    async def detect_all() -> list[Detections]:
        async with AsyncDetector(demo.url, "codes") as detector:
            calls = [detector.detect((SAMPLES / name).read_bytes()) for name in IMAGES]
            return await asyncio.gather(*calls)

    for name, detections in zip(IMAGES, asyncio.run(detect_all()), strict=True):
        assert_is_golden(detections, name)


@pytest.mark.parametrize("bls", [False, True], ids=["ensemble", "bls"])
@pytest.mark.parametrize(
    ("data", "sentence"),
    [(b"", "empty"), (b"no image", "not a JPEG, PNG, WebP or BMP"), (BROKEN, "corrupt")],
    ids=["empty", "text", "cut off"],
)
def test_a_bad_image_is_refused_in_words(
    demo: FramewireContainer, data: bytes, sentence: str, bls: bool
) -> None:
    with demo.detector(bls=bls) as detector, pytest.raises(BadImage, match=sentence):
        detector.detect(data)


@pytest.mark.parametrize("bls", [False, True], ids=["ensemble", "bls"])
def test_a_bad_image_in_a_batch_harms_no_neighbour(demo: FramewireContainer, bls: bool) -> None:
    names = list(IMAGES)[:4]
    batch = [(SAMPLES / name).read_bytes() for name in names]
    batch[2:2] = [BROKEN, b""]
    with demo.detector(bls=bls) as detector:
        results = detector.detect_batch(batch)
    bad = [results.pop(2), results.pop(2)]
    assert [result.ok for result in bad] == [False, False]
    assert [len(result) for result in bad] == [0, 0]
    for name, result in zip(names, results, strict=True):
        assert_is_golden(result, name, "in_square")


def test_the_command_line_client_prints_boxes(demo: FramewireContainer) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "thin_client.cli", "image", str(SAMPLES / "desk.jpg")),
            *("--json", "--url", demo.url, "--model", "codes"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (line,) = map(json.loads, done.stdout.splitlines())
    assert len(line["detections"]) == len(IMAGES["desk.jpg"]["detections"])


def test_the_other_endpoints_are_where_the_container_says(demo: FramewireContainer) -> None:
    assert ask(f"{demo.http_url}/v2/models/codes/ready")[0] == 200
    assert 'nv_inference_count{model="codes"' in ask(demo.metrics_url)[1]


def test_the_ports_are_published_on_loopback_only(demo: FramewireContainer) -> None:
    container = demo.get_wrapped_container()
    container.reload()
    ports = container.attrs["NetworkSettings"]["Ports"]
    # The supervisor's is exposed, for probes inside of Docker, and not published.
    published = [mappings for mappings in ports.values() if mappings]
    assert len(published) == 3
    for mappings in published:
        assert [mapping["HostIp"] for mapping in mappings] == ["127.0.0.1"]


def test_the_health_check_says_healthy(demo: FramewireContainer) -> None:
    healthy = demo.get_wrapped_container().exec_run(["framewire", "health", "codes"])
    assert healthy.exit_code == 0, healthy.output
    missing = demo.get_wrapped_container().exec_run(["framewire", "health", "missing"])
    assert missing.exit_code != 0
    assert b"missing" in missing.output


def test_a_client_needs_no_name_where_there_is_one_pipeline(demo: FramewireContainer) -> None:
    with Detector(demo.url, "codes") as named, demo.detector() as unnamed:
        assert unnamed.connect() == named.connect()
