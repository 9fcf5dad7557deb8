"""The queries of the autoscalers, asked of a real Prometheus that watches a real server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests import images
from tests.docker.manifests import KUBERNETES
from tests.docker.monitoring import Prometheus, prometheus, wait_until
from tests.docker.programs import program
from tests.e2e.conftest import build_tiny
from tests.e2e.wire import infer
from tests.serving import Serving, serving

METRIC = "nv_inference_queue_duration_us"
# As Kubernetes' service discovery labels what it finds.
LABELS = {"namespace": "default", "pod": "framewire-5d9c7bdf4f-x2x7k"}
CLIENTS = 24
PICTURES = [images.encoded(images.photograph(900, 900))] * 4


def keda() -> tuple[str, float]:
    """The query of KEDA's trigger, and from what on it adds pods."""
    scaled = yaml.safe_load((KUBERNETES / "components/keda/autoscaler.yaml").read_text())
    trigger = scaled["spec"]["triggers"][0]["metadata"]
    return trigger["query"], float(trigger["threshold"])


def adapter() -> tuple[str, float]:
    """What prometheus-adapter makes of its rule for one pod, and the target of the HPA."""
    rules = yaml.safe_load((KUBERNETES / "components/hpa/adapter-rules.yaml").read_text())
    (rule,) = rules["rules"]["custom"]
    scaler = yaml.safe_load((KUBERNETES / "components/hpa/autoscaler.yaml").read_text())
    (pods,) = [each["pods"] for each in scaler["spec"]["metrics"] if each["type"] == "Pods"]
    assert pods["metric"]["name"] == rule["name"]["as"]
    assert rule["seriesQuery"].startswith(METRIC + "{")
    matchers = ",".join(f'{name}="{value}"' for name, value in LABELS.items())
    query = rule["metricsQuery"].replace("<<.Series>>", METRIC)
    query = query.replace("<<.LabelMatchers>>", matchers).replace("<<.GroupBy>>", "pod")
    return query, float(pods["target"]["averageValue"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("scaled")
    build_tiny(folder, folder / "repository")
    with serving(folder / "repository", "--no-supervise") as running:
        yield running


@pytest.fixture(scope="module")
def watching(server: Serving, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    binary = program("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("watching") / "prometheus"
    target = f"127.0.0.1:{server.metrics_port}"
    with prometheus(binary, folder, []) as running:
        found: list[dict[str, Any]] = [{"targets": [target], "labels": LABELS}]
        (folder / "targets.yml").write_text(yaml.safe_dump(found))
        wait_until(lambda: running.query(METRIC))
        yield running


@contextmanager
def load(server: Serving) -> Iterator[None]:
    """More requests than the pipeline's processes can take at once."""
    done = threading.Event()

    def send() -> None:
        while not done.is_set():
            infer(server.url, "tiny", PICTURES)

    clients = [threading.Thread(target=send) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        yield
    finally:
        done.set()
        for client in clients:
            client.join()


def waiting(watching: Prometheus, query: str) -> float:
    """The one number that a query returns, -1 while there is none."""
    found = watching.query(query)
    return float(found[0]["value"][1]) if found else -1


def test_more_pods_are_asked_for_when_requests_wait_and_not_before(
    server: Serving, watching: Prometheus
) -> None:
    asked = {"KEDA": keda(), "HPA": adapter()}
    infer(server.url, "tiny", PICTURES)
    for query, threshold in asked.values():
        wait_until(lambda query=query: waiting(watching, query) >= 0)
        assert waiting(watching, query) < threshold / 2
    with load(server):
        for query, threshold in asked.values():
            wait_until(lambda query=query, t=threshold: waiting(watching, query) > t)
    # Requests that wait are some of those under way: the unit is right.
    for query, _ in asked.values():
        assert waiting(watching, query) < CLIENTS
