"""``framewire deploy`` works its numbers out from the repository."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest
import yaml

from builder.cli import main as framewire
from builder.deployment.needs import Needs, needs_of
from builder.deployment.wishes import Wishes
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, ExecutionProvider, Runtime
from tests.conftest import ROOT
from tests.tiny_detector import save_tiny_detector, tiny_detector

DEMO = ROOT / "model_repository"


def built(folder: Path, size: int = 64, name: str = "tiny", **settings: object) -> Path:
    folder.mkdir(exist_ok=True)
    model = save_tiny_detector(folder / "tiny.onnx", tiny_detector(size, size))
    build_pipeline(model, folder / "repository", BuildSettings(name, **settings))  # type: ignore[arg-type]
    return folder / "repository"


def needs(repository: Path, **wishes: int) -> Needs:
    return needs_of(Wishes(repository, **wishes))


@pytest.mark.parametrize(
    ("more", "grow"),
    [
        ({"max_batch": 64}, {"shared_memory_mib", "usual_memory_mib", "memory_mib"}),
        ({"size": 1280}, {"shared_memory_mib", "usual_memory_mib", "memory_mib"}),
        ({"instances": 4}, {"shared_memory_mib", "usual_memory_mib", "memory_mib", "cores"}),
        ({"max_image_pixels": 400_000_000}, {"memory_mib"}),
        ({"decode_threads": 3}, {"cores", "memory_mib"}),
    ],
)
def test_a_repository_that_does_more_needs_more(
    tmp_path: Path, more: dict[str, int], grow: set[str]
) -> None:
    less = needs(built(tmp_path / "less"))
    most = needs(built(tmp_path / "more", **more))  # type: ignore[arg-type]
    for number in ("shared_memory_mib", "usual_memory_mib", "memory_mib", "cores"):
        assert getattr(most, number) >= getattr(less, number)
        if number in grow:
            assert getattr(most, number) > getattr(less, number), number


def test_a_second_pipeline_needs_its_own(tmp_path: Path) -> None:
    one = needs(built(tmp_path))
    two = needs(built(tmp_path, name="other"))
    assert two.names == ("other", "tiny")
    assert two.cores == 2 * one.cores
    assert two.shared_memory_mib > one.shared_memory_mib
    assert two.memory_mib > one.memory_mib + 1000


@pytest.mark.parametrize(
    ("wish", "number"),
    [
        ({"versions": 3}, "shared_memory_mib"),
        ({"versions": 3}, "memory_mib"),
        ({"encoded_mib": 8}, "shared_memory_mib"),
        ({"in_flight": 1024}, "usual_memory_mib"),
        ({"clients": 10_000}, "open_files"),
        ({"cores": 16}, "memory_mib"),
    ],
)
def test_more_is_needed_where_more_is_wished(wish: dict[str, int], number: str) -> None:
    assert getattr(needs(DEMO, **wish), number) > getattr(needs(DEMO), number)


def test_a_version_loaded_beside_the_active_one_counts_once(tmp_path: Path) -> None:
    repository = built(tmp_path)
    for_two, for_one = needs(repository), needs(repository, versions=1)
    built(tmp_path, conf=0.5)
    assert needs(repository).shared_memory_mib == for_two.shared_memory_mib
    # It is there, whether it is wished or not.
    assert needs(repository, versions=1).shared_memory_mib > for_one.shared_memory_mib


def test_what_is_in_use_is_less_than_what_may_be_used() -> None:
    demo = needs(DEMO)
    assert demo.shared_memory_mib < demo.usual_memory_mib < demo.memory_mib


@pytest.mark.parametrize("runtime", [Runtime.TENSORRT, Runtime.ONNXRUNTIME])
def test_a_network_of_nvidias_container_gets_a_gpu(tmp_path: Path, runtime: Runtime) -> None:
    repository = built(tmp_path, runtime=runtime)
    assert needs(repository).gpus == 1
    assert needs(repository).image == "framewire"
    assert needs(DEMO).gpus == 0
    assert needs(DEMO).image == "framewire-cpu"


def test_a_gpu_is_for_networks_that_use_one(tmp_path: Path) -> None:
    on_cpu = {"runtime": Runtime.ONNXRUNTIME, "execution_provider": ExecutionProvider.CPU}
    assert needs(built(tmp_path / "cpu", **on_cpu)).gpus == 0
    automatic = built(tmp_path / "auto", runtime=Runtime.ONNXRUNTIME)
    with_gpu, without = needs(automatic), needs(automatic, gpus=0)
    assert (with_gpu.gpus, without.gpus) == (1, 0)
    assert with_gpu.image == without.image == "framewire"
    assert without.memory_mib < with_gpu.memory_mib


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert framewire(["deploy", *arguments]) == 0
    return capsys.readouterr().out


def test_the_three_forms_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    repository = ["--repository", str(built(tmp_path, runtime=Runtime.TENSORRT))]
    want = needs(tmp_path / "repository")
    docker = shlex.split(printed(capsys, *repository, "--print", "docker"), comments=True)
    option = dict(itertools.pairwise(docker))
    compose = yaml.safe_load(printed(capsys, *repository, "--print", "compose"))
    service = compose["services"]["framewire"]
    patch = yaml.safe_load(printed(capsys, *repository, "--print", "kubernetes"))
    pod = patch["spec"]["template"]["spec"]
    limits = pod["containers"][0]["resources"]["limits"]
    assert docker[:2] == ["docker", "run"]
    assert docker[-1] == service["image"] == "framewire"
    assert option["--cpus"] == str(service["cpus"]) == str(limits["cpu"]) == str(want.cores)
    assert option["--memory"] == service["mem_limit"] == f"{want.memory_mib}m"
    assert limits["memory"] == f"{want.memory_mib}Mi"
    assert option["--shm-size"] == service["shm_size"] == f"{want.shared_memory_mib}m"
    assert pod["volumes"][0]["emptyDir"]["sizeLimit"] == f"{want.shared_memory_mib}Mi"
    assert option["--stop-timeout"] == str(want.stop_s)
    assert service["stop_grace_period"] == f"{want.stop_s}s"
    assert option["--gpus"] == str(limits["nvidia.com/gpu"]) == "1"
    assert service["ulimits"] == {"nofile": want.open_files, "memlock": -1, "stack": 2**26}
    published = {docker[n + 1] for n, each in enumerate(docker) if each == "--publish"}
    ports = (8000, 8001, 8002, 8003)
    assert published == set(service["ports"]) == {f"127.0.0.1:{n}:{n}" for n in ports}


def test_a_pod_is_ready_when_all_of_its_pipelines_answer_and_started_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built(tmp_path)
    repository = built(tmp_path, name="other")
    patch = yaml.safe_load(
        printed(capsys, "--repository", str(repository), "--print", "kubernetes")
    )
    container = patch["spec"]["template"]["spec"]["containers"][0]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert container["startupProbe"]["httpGet"] == {"path": "/livez", "port": "health"}


def test_every_number_has_a_comment(capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("docker", "compose", "kubernetes"):
        text = printed(capsys, "--repository", str(DEMO), "--print", form)
        comments = [line for line in text.splitlines() if line.startswith("#")]
        numbers = set(re.findall(r"\d+", "\n".join(comments)))
        demo = needs(DEMO)
        wanted = (demo.cores, demo.shared_memory_mib, demo.memory_mib, demo.usual_memory_mib)
        assert {str(number) for number in (*wanted, demo.open_files, demo.stop_s)} <= numbers


def test_a_repository_path_is_quoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = tmp_path / "a b; $(touch pwned)"
    built(odd)
    text = printed(capsys, "--repository", str(odd / "repository"))
    assert f"{odd / 'repository'}:/models:ro" in shlex.split(text, comments=True)


def test_nothing_to_deploy_is_said_with_the_way_to_make_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert framewire(["deploy", "--repository", str(tmp_path)]) == 1
    assert "framewire build" in capsys.readouterr().err


def test_a_damaged_pipeline_is_refused_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = built(tmp_path)
    (repository / "tiny_preprocess" / "1" / "settings.json").write_text("{}")
    assert framewire(["deploy", "--repository", str(repository)]) == 1
    refused = capsys.readouterr().err
    assert "version 1 of tiny" in refused
    assert refused.count("\n") == 1


def test_a_form_that_nobody_knows_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        framewire(["deploy", "--print", "helm"])
    assert "kubernetes" in capsys.readouterr().err
