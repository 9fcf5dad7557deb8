"""docker/compose.yaml: valid, closed to the outside, and at one with the files that it mounts."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.docker.programs import program
from tests.serving import framewire

DOCKER = ROOT / "docker"
FILE = DOCKER / "compose.yaml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROFILES = ("cpu", "gpu")
SERVERS = {
    profile: [name for name, service in SERVICES.items() if service.get("profiles") == [profile]]
    for profile in PROFILES
}


def default(value: str) -> str:
    """What a value is when no variable in it is set."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value)


def compose_command() -> list[str]:
    plugin = shutil.which("docker") and subprocess.run(
        ["docker", "compose", "version"], capture_output=True, check=False
    )
    if plugin and plugin.returncode == 0:
        return ["docker", "compose"]
    return [program("docker-compose", "docker-compose")]


def aliases(profile: str) -> set[str]:
    return {
        alias
        for name in SERVERS[profile]
        for network in SERVICES[name]["networks"].values()
        for alias in network["aliases"]
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_compose_takes_the_file(profile: str) -> None:
    command = [*compose_command(), "-f", str(FILE), "--profile", profile, "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) >= set(SERVERS[profile])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_do_no_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert int(service["user"].split(":")[0]) > 0
    assert not service.get("privileged")
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:"), port


@pytest.mark.parametrize("name", SERVICES)
def test_what_is_mounted_from_the_tree_is_there_and_read_only(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *mode = default(volume).split(":")
        if source.startswith("."):
            assert (DOCKER / source).exists(), volume
            assert mode == ["ro"], volume
        else:
            assert source in COMPOSE["volumes"], volume
        assert target.startswith("/")


@pytest.mark.parametrize("profile", PROFILES)
def test_there_are_two_servers_with_the_names_that_others_look_for(profile: str) -> None:
    assert len(SERVERS[profile]) >= 2
    upstream = (DOCKER / "nginx" / "upstream.conf").read_text()
    balanced = set(re.findall(r"^server (\S+):8001 ", upstream, re.MULTILINE))
    (group,) = yaml.safe_load((DOCKER / "prometheus" / "targets.yml").read_text())
    assert aliases(profile) == balanced == {target.split(":")[0] for target in group["targets"]}


@pytest.mark.parametrize("profile", PROFILES)
def test_servers_have_what_triton_needs(profile: str) -> None:
    for name in SERVERS[profile]:
        service = SERVICES[name]
        assert service["shm_size"]
        assert service["mem_limit"]
        assert int(service["stop_grace_period"].removesuffix("s")) > 60
        assert service["healthcheck"]["test"] == [
            *("CMD", "framewire", "health", "--health-port", "8003")
        ]
        assert [each.split(":")[0] for each in service["tmpfs"]] == ["/tmp"]  # noqa: S108
        assert list(service["networks"]) == ["inside"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}


@pytest.mark.parametrize("profile", PROFILES)
def test_limits_are_those_that_are_computed_for_the_demo_pipeline(profile: str) -> None:
    command = framewire("deploy", "--print", "compose", "--repository", "model_repository")
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (computed,) = yaml.safe_load(printed.stdout)["services"].values()
    for name in SERVERS[profile]:
        service = SERVICES[name]
        for limit in ("shm_size", "mem_limit", "memswap_limit", "stop_grace_period"):
            assert default(service[limit]) == computed[limit], limit
        assert service["ulimits"]["nofile"] == computed["ulimits"]["nofile"]


def test_grafana_finds_what_it_is_given() -> None:
    targets = dict(volume.split(":")[:2] for volume in SERVICES["grafana"]["volumes"])
    assert targets["./grafana/provisioning"] == "/etc/grafana/provisioning"
    provider = yaml.safe_load(
        (DOCKER / "grafana" / "provisioning" / "dashboards" / "framewire.yml").read_text()
    )["providers"][0]
    assert provider["options"]["path"] == targets["./grafana/dashboards"]
    home = Path(SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert str(home.parent) == provider["options"]["path"]
    dashboard = DOCKER / "grafana" / "dashboards" / home.name
    assert json.loads(dashboard.read_text())["uid"] == "framewire"
    source = yaml.safe_load(
        (DOCKER / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text()
    )["datasources"][0]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in SERVICES
