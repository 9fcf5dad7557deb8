"""What the served models count, read from the metrics port of a real server."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.serving import server as server_module
from builder.serving.ports import free_ports
from builder.serving.server import triton_server
from builder.serving.server_options import ServerOptions
from builder.settings import BuildSettings
from tests import images
from tests.e2e.wire import infer
from tests.metrics import Sample, scrape, total
from tests.serving import Serving, children, running, serving
from tests.swapping import Traffic
from tests.tiny_detector import coloured_square, save_tiny_detector, tiny_detector

# The model that looks at the images, and the one that answers.
COUNTED_BY = {"tiny": ("tiny_preprocess", "tiny_postprocess"), "tiny_bls": ("tiny_bls", "tiny_bls")}
SQUARE = images.encoded(coloured_square("red"), ".png")
LARGE_SQUARE = coloured_square("red", size=128, left=64, top=0, side=16)
FORMATS = {
    suffix: images.encoded(LARGE_SQUARE, f".{suffix}") for suffix in ("jpg", "png", "webp", "bmp")
}
FORMAT_NAMES = {"jpg": "jpeg"}
BAD = {
    name: images.bad_images()[name]
    for name in ("empty", "html", "jpeg cut in the middle", "png bomb", "jpeg of 12 bits")
}
BAD_SERIES = {
    "empty": ("unknown", "empty"),
    "html": ("unknown", "unsupported_format"),
    "jpeg cut in the middle": ("jpeg", "corrupt"),
    "png bomb": ("png", "too_many_pixels"),
    "jpeg of 12 bits": ("jpeg", "unsupported_pixels"),
}
TOO_LARGE = b"BM" + bytes(2**20)
# Processes that notice that they are alone end within three seconds.
ORPHANS_END_S = 20


@pytest.fixture(scope="module")
def server(tiny_repository: Path) -> Iterator[Serving]:
    with serving(tiny_repository, "--no-supervise") as running:
        yield running


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def by_format_and_status(samples: list[Sample], model: str) -> Counter[tuple[str, str]]:
    counts: Counter[tuple[str, str]] = Counter()
    for name, labels, value in samples:
        if name == "framewire_images_total" and labels["model"] == model:
            counts[labels["format"], labels["status"]] += int(value)
    return counts


def refused(url: str, model: str, data: bytes) -> None:
    with pytest.raises(InferenceServerException):
        infer(url, model, [data])


@pytest.mark.parametrize("model", COUNTED_BY)
def test_the_counts_are_exactly_what_was_sent(server: Serving, model: str) -> None:
    reader, answerer = COUNTED_BY[model]
    expected: Counter[tuple[str, str]] = Counter()
    sent: list[bytes] = []
    pixels = detections = 0

    def note(data: bytes, series: tuple[str, str]) -> None:
        sent.append(data)
        expected[series] += 1

    for suffix, data in FORMATS.items():
        answer = infer(server.url, model, [data])
        detections += int(answer["num_dets"].sum())
        pixels += 128 * 128
        note(data, (FORMAT_NAMES.get(suffix, suffix), "ok"))
    for name, (data, _) in BAD.items():
        refused(server.url, model, data)
        note(data, BAD_SERIES[name])
    refused(server.url, model, TOO_LARGE)
    note(TOO_LARGE, ("bmp", "too_many_bytes"))
    batch = [SQUARE, *(data for data, _ in BAD.values()), SQUARE, FORMATS["jpg"]]
    detections += int(infer(server.url, model, batch)["num_dets"].sum())
    pixels += 2 * 64 * 64 + 128 * 128
    for name, (data, _) in BAD.items():
        note(data, BAD_SERIES[name])
    note(SQUARE, ("png", "ok"))
    note(SQUARE, ("png", "ok"))
    note(FORMATS["jpg"], ("jpeg", "ok"))
    assert detections >= 7

    wait_until(lambda: by_format_and_status(scrape(server.metrics_port), reader) == expected)
    samples = scrape(server.metrics_port)
    whose = {"pipeline": "tiny", "version": "1"}
    size = sum(map(len, sent))
    assert total(samples, "framewire_image_bytes_total", model=reader, **whose) == size
    assert total(samples, "framewire_source_pixels_total", model=reader, **whose) == pixels
    assert 0 < total(samples, "framewire_decode_seconds_total", model=reader, **whose) < 60
    wait_until(
        lambda: (
            total(scrape(server.metrics_port), "framewire_detections_total", model=answerer)
            == detections
        )
    )
    # Each square has one box that scores above the threshold, and nothing overlaps it.
    samples = scrape(server.metrics_port)
    assert total(samples, "framewire_candidates_total", model=answerer, **whose) == detections


@pytest.mark.parametrize("model", COUNTED_BY)
def test_processes_of_a_model_sum_up(server: Serving, model: str) -> None:
    reader, answerer = COUNTED_BY[model]

    def read() -> tuple[float, float]:
        samples = scrape(server.metrics_port)
        return (
            total(samples, "framewire_images_total", model=reader, status="ok"),
            total(samples, "framewire_detections_total", model=answerer),
        )

    images_before, detections_before = read()
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: infer(server.url, model, [SQUARE, SQUARE]), range(50)))
    wait_until(lambda: read() == (images_before + 100, detections_before + 100))
    processes = {
        int(labels["process"])
        for name, labels, value in scrape(server.metrics_port)
        if name == "framewire_image_bytes_total" and labels["model"] == reader
    }
    assert len(processes) == 2
    assert processes <= set(children(server.triton_pid()))


def test_the_shared_memory_of_a_model_is_told(server: Serving) -> None:
    samples = scrape(server.metrics_port)
    free = [value for name, _, value in samples if name == "framewire_shared_memory_free_bytes"]
    size = [value for name, _, value in samples if name == "framewire_shared_memory_bytes"]
    # Two processes that preprocess, two of the BLS variant, one that postprocesses.
    assert len(free) == len(size) == 5
    assert all(0 < some <= all_of_it for some, all_of_it in zip(free, size, strict=True))


def test_two_versions_count_apart_and_an_old_one_takes_its_series_along(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    build(repository, 64)
    command = ["load", "tiny", "--repository", str(repository)]
    with serving(repository, "--no-supervise") as server:
        with Traffic(server.url, SQUARE, tuple(COUNTED_BY), threads_each=2) as traffic:
            for version in (2, 3):
                build(repository, 32 * (version + 1))
                assert main([*command, "--url", server.url]) == 0
                wait_until(
                    lambda version=version: all(
                        traffic.versions(model) >= {version} for model in COUNTED_BY
                    )
                )
            assert traffic.errors == []
        for model, (reader, _) in COUNTED_BY.items():
            by_last = sum(
                count
                for (name, version, _), count in traffic.answers.items()
                if (name, version) == (model, 3)
            )
            wait_until(
                lambda reader=reader, by_last=by_last: (
                    total(scrape(server.metrics_port), "framewire_images_total", model=reader)
                    == by_last
                )
            )
        versions = {
            labels["version"]
            for name, labels, _ in scrape(server.metrics_port)
            if name.startswith("framewire_")
        }
        assert versions == {"3"}
        assert "counts" not in server.error_text()


def test_a_server_without_metrics_serves(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = server_module.triton_arguments
    monkeypatch.setattr(
        server_module,
        "triton_arguments",
        lambda *each: [*arguments(*each), "--allow-metrics=false"],
    )
    grpc, http, metrics = free_ports(3)
    options = ServerOptions(tiny_repository, grpc_port=grpc, http_port=http, metrics_port=metrics)
    with triton_server(options) as server:
        server.wait_until_ready()
        for model in COUNTED_BY:
            for _ in range(3):
                assert infer(server.grpc_url, model, [SQUARE])["num_dets"].tolist() == [[1]]
        with pytest.raises(OSError, match="refused"):
            scrape(metrics)
        with InferenceServerClient(server.grpc_url) as client:
            assert client.is_server_ready()


def test_processes_that_count_end_with_a_triton_that_is_killed(tiny_repository: Path) -> None:
    # Taking metrics away is a message to Triton, whose answer they must not wait for then. One time
    # in several Triton dies with a lock in its hand for which its own code then waits for ever; not
    # three times in a row.
    assert any(all_end_with_triton(tiny_repository) for _ in range(3))


def all_end_with_triton(repository: Path) -> bool:
    """Whether all processes of models that counted something end when Triton is killed."""
    with serving(repository, "--no-supervise") as server:
        for model in COUNTED_BY:
            infer(server.url, model, [SQUARE])
        triton = server.triton_pid()
        processes = children(triton)
        assert len(processes) == 6
        # Whoever would clean up goes first.
        os.kill(server.process.pid, signal.SIGKILL)
        os.kill(triton, signal.SIGKILL)
        deadline = time.monotonic() + ORPHANS_END_S
        while any(map(running, processes)) and time.monotonic() < deadline:
            time.sleep(0.1)
        left = [process for process in processes if running(process)]
        for process in left:
            os.kill(process, signal.SIGKILL)
    return not left


def build(repository: Path, size: int) -> None:
    detector = save_tiny_detector(repository.parent / f"{size}.onnx", tiny_detector(size, size))
    build_pipeline(detector, repository, BuildSettings("tiny", conf=0.4))
