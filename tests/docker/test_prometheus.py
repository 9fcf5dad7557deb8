"""docker/prometheus and docker/grafana, tried by Prometheus itself against a real server."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from tritonclient.utils import InferenceServerException

from builder.serving.ports import free_ports
from tests import images
from tests.conftest import ROOT
from tests.docker.monitoring import CONFIGURATION, Prometheus, prometheus, wait_until
from tests.docker.programs import program
from tests.e2e.conftest import build_tiny
from tests.e2e.wire import infer
from tests.serving import serving
from tests.tiny_detector import coloured_square

RULE_TESTS = Path(__file__).parent / "rules.test.yml"
GRAFANA = ROOT / "docker" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "framewire.json").read_text())
# What Grafana puts into a query before it sends it.
VARIABLES = {"$__rate_interval": "10s", "$pipeline": ".*", "$instance": ".*"}
SQUARE = images.encoded(coloured_square("red"), ".png")
JPEG = images.encoded(images.photograph())
BAD = (b"", b"<html>", JPEG[: len(JPEG) // 2])


def panel_queries() -> Iterator[tuple[str, str]]:
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


# A server without a GPU has no such metrics; Triton's documentation has their names.
QUERIES = [query for query in panel_queries() if not query[0].startswith("GPU ")]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus, watching a server that both variants of a pipeline keep a little busy."""
    binary = program("prometheus", "prometheus")
    folder = tmp_path_factory.mktemp("watched")
    build_tiny(folder, folder / "repository")
    done = threading.Event()

    def keep_busy(url: str) -> None:
        while not done.wait(0.2):
            for model in ("tiny", "tiny_bls"):
                infer(url, model, [SQUARE, JPEG, *BAD])
                with suppress(InferenceServerException):
                    infer(url, model, [b"alone"])

    with serving(folder / "repository", "--no-supervise") as server:
        thread = threading.Thread(target=keep_busy, args=(server.url,))
        thread.start()
        target = f"127.0.0.1:{server.metrics_port}"
        try:
            with prometheus(binary, folder / "prometheus", [target]) as running:
                # Rates need two samples, and recorded series a rule that has seen them.
                wait_until(lambda: running.query("pipeline_status:framewire_bad_images:ratio5m"))
                yield running
        finally:
            done.set()
            thread.join()


def promtool(*arguments: str | Path) -> None:
    command = [program("promtool", "prometheus"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_and_its_rules_are_valid() -> None:
    promtool("check", "config", CONFIGURATION / "prometheus.yml")
    promtool("check", "rules", CONFIGURATION / "rules.yml")


def test_the_rules_say_what_they_should() -> None:
    promtool("test", "rules", RULE_TESTS)


def test_every_alert_has_a_test() -> None:
    groups = yaml.safe_load((CONFIGURATION / "rules.yml").read_text())["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"] if "alert" in rule}
    tried = {
        case["alertname"]
        for test in yaml.safe_load(RULE_TESTS.read_text())["tests"]
        for case in test["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert alerts == tried


def test_a_running_server_is_scraped(watched: Prometheus) -> None:
    (target,) = watched.api("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert target["labels"]["job"] == "framewire"


def test_every_rule_evaluates_and_a_healthy_server_alarms_nobody(watched: Prometheus) -> None:
    # Three of five images are bad on purpose.
    wait_until(lambda: watched.rules()["FramewireBadImages"].get("state") == "pending")
    wait_until(lambda: all(rule["health"] != "unknown" for rule in watched.rules().values()))
    rules = watched.rules()
    assert {name: rule["health"] for name, rule in rules.items()} == dict.fromkeys(rules, "ok")
    alerts = {name for name, rule in rules.items() if rule["type"] == "alerting"}
    assert {name for name in alerts if rules[name]["state"] != "inactive"} == {"FramewireBadImages"}
    for name in set(rules) - alerts:
        assert watched.query(name), name


def test_a_server_that_is_gone_is_noticed(tmp_path: Path) -> None:
    binary = program("prometheus", "prometheus")
    (port,) = free_ports(1)
    with prometheus(binary, tmp_path / "prometheus", [f"127.0.0.1:{port}"]) as running:
        wait_until(lambda: running.rules()["FramewireServerDown"].get("state") == "pending")


@pytest.mark.parametrize(("title", "expression"), QUERIES, ids=lambda value: value[:24])
def test_a_panel_of_the_dashboard_shows_something(
    watched: Prometheus, title: str, expression: str
) -> None:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    series = watched.query(expression)
    assert series, f"{title} is empty: {expression}"
    assert all(float(each["value"][1]) >= 0 for each in series), title


@pytest.mark.parametrize("variable", DASHBOARD["templating"]["list"], ids=lambda each: each["name"])
def test_a_variable_of_the_dashboard_has_values(
    watched: Prometheus, variable: dict[str, str]
) -> None:
    metric, label = variable["definition"].removeprefix("label_values(").rstrip(")").split(", ")
    assert [each for each in watched.query(metric) if each["metric"].get(label)]


def test_the_dashboard_asks_the_provisioned_data_source() -> None:
    sources = yaml.safe_load(
        (GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )["datasources"]
    asked = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"] if "datasource" in panel}
    assert asked == {source["uid"] for source in sources}
    assert len(QUERIES) > 15
