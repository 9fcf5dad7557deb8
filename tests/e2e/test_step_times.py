"""Whoever asks where the time goes is told of the step that takes it.

The network of these tests sleeps for a tenth of a second before each frame, and next to nothing
else takes time.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder.benchmark.input_data import write_image_data
from builder.benchmark.load import Load
from builder.benchmark.perf_analyzer import Target, find_perf_analyzer
from builder.benchmark.serving import MeasuredServer, Profile, profile
from builder.benchmark.tables import Table, steps_table
from builder.demo import DemoOptions, run_demo
from builder.pipelines.repository import build_pipeline
from builder.serving.ports import free_ports
from builder.serving.server_options import ServerOptions
from builder.settings import BuildSettings
from tests import images
from tests.builder.doctor.examining import doctor
from tests.docker.monitoring import Prometheus, prometheus, wait_until
from tests.docker.programs import program
from tests.docker.test_autoscaling import LABELS, adapter, keda
from tests.docker.test_prometheus import VARIABLES, panel_queries
from tests.e2e.doctored import traffic
from tests.serving import Serving, serving
from tests.slowed import slow_down
from tests.tiny_detector import coloured_square, save_tiny_detector
from thin_client import Detector
from thin_client.cli import main as framewire_client
from thin_client.contract import model_names

pytestmark = pytest.mark.alone

NAME = "tiny"
NAMES = model_names(NAME)
SLEEP_S = 0.1
SLEEP_MS = 1e3 * SLEEP_S
SQUARE = images.encoded(coloured_square("red"), ".png")
# More than wait in the network and before it: some are held back with their frames made.
IN_FLIGHT = 16


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slow")
    model = save_tiny_detector(folder / "tiny.onnx")
    settings = BuildSettings(NAME, conf=0.1, max_batch=2, instances=1)
    build_pipeline(model, folder / "repository", settings)
    slow_down(folder / "repository", NAME, SLEEP_S)
    return folder / "repository"


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Serving]:
    with serving(repository, "--no-supervise") as running:
        yield running


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("pictures") / "square.png"
    file.write_bytes(SQUARE)
    return file


def test_the_demo(repository: Path, picture: Path, tmp_path: Path) -> None:
    grpc_port, http_port, metrics_port = free_ports(3)
    options = ServerOptions(
        repository, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port
    )
    said = "\n".join(
        run_demo(DemoOptions(options, pipeline=NAME, image=picture, picture=tmp_path / "out.png"))
    )
    steps = re.search(r"preprocess ([\d.]+), network ([\d.]+), postprocess ([\d.]+)", said)
    assert steps is not None, said
    preprocess_ms, network_ms, postprocess_ms = map(float, steps.groups())
    assert network_ms >= SLEEP_MS
    assert preprocess_ms + postprocess_ms < network_ms


def test_what_the_client_says_of_a_server(
    server: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    with Detector(server.url, NAME) as detector:
        for _ in range(5):
            detector.detect(SQUARE)
        report = detector.report()
    means_ms = {model.model: model.latency_ms for model in report.statistics}
    assert means_ms[NAMES.network] >= SLEEP_MS
    assert framewire_client(["info", "--url", server.url, "--model", NAME]) == 0
    assert f"{means_ms[NAMES.network]:.2f}" in capsys.readouterr().out


@pytest.fixture(scope="module")
def image_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "images.json"
    write_image_data([SQUARE], file)
    return file


def composing_models(said: str) -> dict[str, float]:
    """What perf_analyzer says of each step: ms of computing, by Triton's name of it."""
    parts = re.split(r"^\s*(\w+), version:", said[said.index("Composing models") :], flags=re.M)
    return {
        name: int(found[1]) / 1e3
        for name, part in zip(parts[1::2], parts[2::2], strict=True)
        if (found := re.search(r"compute infer (\d+) usec", part))
    }


def test_perf_analyzers_own_breakdown(server: Serving, image_data: Path, tmp_path: Path) -> None:
    analyzer = find_perf_analyzer()
    target = Target(server.url, metrics_url=None)
    command = analyzer.command(target, Load(NAME), image_data, tmp_path / "table.csv", 1000)
    done = subprocess.run(
        command, env=analyzer.environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    infer_ms = composing_models(done.stdout)
    assert infer_ms[NAMES.network] >= SLEEP_MS
    assert infer_ms[NAMES.preprocess] + infer_ms[NAMES.postprocess] < SLEEP_MS


@pytest.fixture(scope="module")
def profiled(
    server: Serving, image_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Profile:
    """The benchmark's view of a load of which some is held back."""
    target = Target(server.url, f"127.0.0.1:{server.metrics_port}/metrics")
    return profile(
        find_perf_analyzer(),
        MeasuredServer(target, None),
        Load(NAME, concurrency=IN_FLIGHT),
        image_data,
        tmp_path_factory.mktemp("profiled") / "table.csv",
        window_ms=2000,
    )


def column(table: Table, name: str) -> dict[str, float]:
    place = table.head.index(name)
    return {row[0]: float(row[place]) for row in table.rows if row[place] != "-"}


def test_the_benchmarks_table_of_steps(profiled: Profile) -> None:
    table = steps_table("steps", profiled)
    infer_ms, held_ms = column(table, "infer"), column(table, "held")
    assert infer_ms[NAMES.network] >= SLEEP_MS
    assert infer_ms[NAMES.preprocess] + infer_ms[NAMES.postprocess] < SLEEP_MS
    # Nearly all its time is waiting, for one batch of the network after the other.
    assert held_ms[NAMES.preprocess] > SLEEP_MS / 4 > infer_ms[NAMES.preprocess]
    assert held_ms[NAMES.network] == 0
    work = {each.model: each for each in profiled.work}
    assert work[NAMES.preprocess].held_ms == profiled.held_ms
    assert work[NAMES.preprocess].total_ms >= work[NAMES.preprocess].held_ms


def test_the_doctor_names_the_network(server: Serving) -> None:
    with traffic(server.url, NAME, SQUARE, at_once=IN_FLIGHT):
        for seconds in ("3", "10", "30"):
            said = doctor("--url", server.url, "--watch-seconds", seconds)
            if "bottleneck" in said.names():
                break
    assert NAMES.network in said.the("bottleneck")


@pytest.fixture(scope="module")
def watching(server: Serving, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    binary = program("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("watching") / "prometheus"
    with prometheus(binary, folder, []) as running:
        found = [{"targets": [f"127.0.0.1:{server.metrics_port}"], "labels": LABELS}]
        (folder / "targets.yml").write_text(json.dumps(found))
        yield running


def by_model(watching: Prometheus, query: str) -> dict[str, float]:
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return {
        each["metric"].get("model", ""): float(each["value"][1]) for each in watching.query(query)
    }


def test_the_dashboard_and_what_asks_for_more_pods(server: Serving, watching: Prometheus) -> None:
    latency, waiting = (
        [query for title, query in panel_queries() if title == wanted]
        for wanted in ("Latency by step", "Queue time by step")
    )
    with traffic(server.url, NAME, SQUARE, at_once=IN_FLIGHT):
        wait_until(lambda: by_model(watching, latency[0]).get(NAMES.network, 0) >= SLEEP_S)
        wait_until(lambda: by_model(watching, waiting[1]).get(NAMES.preprocess, 0) > SLEEP_S / 4)
        held_s = by_model(watching, waiting[1])[NAMES.preprocess]
        queued_s = by_model(watching, waiting[0])[NAMES.preprocess]
        spent_s = by_model(watching, latency[0])[NAMES.preprocess]
        # Of its latency there is the queue, and hardly anything more.
        assert spent_s - queued_s < held_s
        for query, _ in (keda(), adapter()):
            # All that are neither run nor being decoded wait.
            wait_until(lambda query=query: by_model(watching, query).popitem()[1] > IN_FLIGHT / 2)
            assert by_model(watching, query).popitem()[1] < IN_FLIGHT
