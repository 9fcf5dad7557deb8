"""The manifests of docker/kubernetes are valid, and their numbers those of the repository."""

from __future__ import annotations

import copy
import re
import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from builder.cli import main as framewire
from builder.pipelines.repository import build_pipeline
from builder.serving.shared_memory import SHM_FOLDER
from builder.settings import BuildSettings, Runtime
from tests.conftest import ROOT
from tests.docker.manifests import KUBERNETES, OVERLAYS, Resource, built, validated

DEMO_DETECTOR = ROOT / "samples" / "code_detector" / "codes.onnx"
QUEUE_METRIC = "nv_inference_queue_duration_us"


@pytest.fixture(scope="module")
def overlays() -> dict[str, list[Resource]]:
    return {name: built(KUBERNETES / "overlays" / name) for name in OVERLAYS}


def the(resources: list[Resource], kind: str) -> Resource:
    (found,) = [each for each in resources if each["kind"] == kind]
    return found


def pod_of(resources: list[Resource]) -> dict[str, Any]:
    return the(resources, "Deployment")["spec"]["template"]["spec"]


def test_every_overlay_is_valid(overlays: dict[str, list[Resource]]) -> None:
    assert set(overlays) == {"cpu", "gpu", "gpu-bucket"}
    for resources in overlays.values():
        checked = {each["kind"] for each in resources if validated(each)}
        assert {"Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"} <= checked
    assert validated(the(overlays["cpu"], "HorizontalPodAutoscaler"))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "replica"), 2),
        (("spec", "template", "spec", "containers", 0, "readinessProbe", "httpGet", "port"), None),
        (("spec", "template", "spec", "containers", 0, "resources", "limits"), ["2 cores"]),
        (("spec", "template", "spec", "volumes", 0, "emptyDir", "sizelimit"), "1Gi"),
        (("spec", "template", "spec", "terminationGracePeriodSeconds"), "85s"),
    ],
)
def test_a_wrong_field_is_refused(
    overlays: dict[str, list[Resource]], path: tuple[str | int, ...], value: Any
) -> None:
    deployment = copy.deepcopy(the(overlays["cpu"], "Deployment"))
    place: Any = deployment
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        validated(deployment)


def test_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        validated({"apiVersion": "apps/v1", "kind": "Deploymant", "metadata": {"name": "x"}})


def test_a_patch_for_something_else_is_refused(tmp_path: Path) -> None:
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    patch = tmp_path / "kubernetes" / "overlays" / "cpu" / "resources.yaml"
    patch.write_text(patch.read_text().replace("name: framewire\n", "name: other\n", 1))
    with pytest.raises(ValueError, match="other"):
        built(patch.parent)


@pytest.mark.parametrize(("overlay", "runtime"), [("cpu", "python"), ("gpu", "tensorrt")])
def test_the_numbers_are_those_of_the_repository(
    overlay: str, runtime: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = ROOT / "model_repository"
    if runtime != "python":
        repository = tmp_path / "repository"
        build_pipeline(DEMO_DETECTOR, repository, BuildSettings("codes", runtime=Runtime(runtime)))
    assert framewire(["deploy", "--print", "kubernetes", "--repository", str(repository)]) == 0
    committed = KUBERNETES / "overlays" / overlay / "resources.yaml"
    assert committed.read_text() == capsys.readouterr().out, "run `make manifests`"


def test_pods_are_asked_for_their_pipelines_and_restarted_for_their_supervisor(
    overlays: dict[str, list[Resource]],
) -> None:
    for resources in overlays.values():
        (container,) = pod_of(resources)["containers"]
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        # What these refuse is started again, which mends no pipeline that does not load.
        for probe in ("startupProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["path"] == "/livez"
        ports = {port["name"] for port in container["ports"]}
        assert {
            container[p]["httpGet"]["port"] for p in ("livenessProbe", "readinessProbe")
        } <= ports


def test_shared_memory_is_memory_and_within_the_limit(
    overlays: dict[str, list[Resource]],
) -> None:
    for resources in overlays.values():
        pod = pod_of(resources)
        (volume,) = [each for each in pod["volumes"] if each["name"] == "shared-memory"]
        assert volume["emptyDir"]["medium"] == "Memory"
        mounts = {each["name"]: each for each in pod["containers"][0]["volumeMounts"]}
        assert mounts["shared-memory"]["mountPath"] == str(SHM_FOLDER)
        assert mounts["models"]["readOnly"]
        limit = pod["containers"][0]["resources"]["limits"]["memory"]
        assert mebibytes(volume["emptyDir"]["sizeLimit"]) < mebibytes(limit)


def mebibytes(quantity: str) -> int:
    return int(quantity.removesuffix("Mi"))


def test_containers_may_do_nothing_but_serve(overlays: dict[str, list[Resource]]) -> None:
    for resources in overlays.values():
        pod = pod_of(resources)
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"]
            assert not rights["allowPrivilegeEscalation"]
            assert rights["capabilities"] == {"drop": ["ALL"]}


def test_selectors_find_the_pods_and_clients_need_no_label_of_theirs(
    overlays: dict[str, list[Resource]],
) -> None:
    for resources in overlays.values():
        labels = the(resources, "Deployment")["spec"]["template"]["metadata"]["labels"]
        service, policy = the(resources, "Service"), the(resources, "NetworkPolicy")
        budget = the(resources, "PodDisruptionBudget")
        assert service["spec"]["clusterIP"] == "None"
        assert service["spec"]["selector"].items() <= labels.items()
        for selector in (policy["spec"]["podSelector"], budget["spec"]["selector"]):
            assert selector["matchLabels"]
            assert selector["matchLabels"].items() <= labels.items()
        (clients,) = policy["spec"]["ingress"][0]["from"]
        assert clients["podSelector"]["matchLabels"] == {"framewire-client": "true"}


def test_a_bucket_takes_the_place_of_the_shared_volume(
    overlays: dict[str, list[Resource]],
) -> None:
    resources = overlays["gpu-bucket"]
    claims = {each["metadata"]["name"] for each in resources if "Claim" in each["kind"]}
    assert claims == {"framewire-plans"}
    (models,) = [each for each in pod_of(resources)["volumes"] if each["name"] == "models"]
    assert set(models) == {"name", "emptyDir"}
    (copying,) = pod_of(resources)["initContainers"]
    settings = the(resources, "ConfigMap")
    reference = copying["env"][0]["valueFrom"]["configMapKeyRef"]
    assert reference["name"] == settings["metadata"]["name"]
    assert reference["key"] in settings["data"]
    # The server itself calls nobody; the copy has to.
    assert not the(overlays["gpu"], "NetworkPolicy")["spec"]["egress"]
    assert the(resources, "NetworkPolicy")["spec"]["egress"]


def test_what_has_no_official_schema_names_what_is_there(
    overlays: dict[str, list[Resource]],
) -> None:
    for resources in (overlays["gpu"], overlays["gpu-bucket"]):
        deployment, scaled = the(resources, "Deployment"), the(resources, "ScaledObject")
        assert scaled["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
        assert 1 <= scaled["spec"]["minReplicaCount"] < scaled["spec"]["maxReplicaCount"]
        assert [each["type"] for each in scaled["spec"]["triggers"]] == ["prometheus", "cpu"]
        # All of KEDA's metadata is text.
        for trigger in scaled["spec"]["triggers"]:
            assert all(isinstance(value, str) for value in trigger["metadata"].values())
        assert QUEUE_METRIC in scaled["spec"]["triggers"][0]["metadata"]["query"]
    monitor = the(overlays["gpu-bucket"], "PodMonitor")
    pod_labels = the(resources, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod_labels.items()
    ports = {port["name"] for port in pod_of(resources)["containers"][0]["ports"]}
    assert {each["port"] for each in monitor["spec"]["podMetricsEndpoints"]} <= ports


def test_one_name_stands_for_the_image_in_every_overlay(
    overlays: dict[str, list[Resource]],
) -> None:
    images = {
        name: pod_of(resources)["containers"][0]["image"] for name, resources in overlays.items()
    }
    assert images == {
        "cpu": "framewire-cpu:latest",
        "gpu": "framewire:latest",
        "gpu-bucket": "framewire:latest",
    }


def test_the_grace_period_outlasts_the_hook_before_it(
    overlays: dict[str, list[Resource]],
) -> None:
    for resources in overlays.values():
        pod = pod_of(resources)
        slept = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        assert re.fullmatch(r"sleep \d+", " ".join(slept))
        server_s = pod["terminationGracePeriodSeconds"] - int(slept[1])
        # Thirty seconds for requests and forty for Triton, as `framewire serve` takes at most.
        assert server_s >= 70
