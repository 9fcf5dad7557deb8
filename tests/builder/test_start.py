"""``framewire start``: plans that fit before anything is served.

With stand-ins for trtexec and nvidia-smi (see ``engine_stand_ins``), and without a Triton: what
would be served is looked at instead. ``tests/containers/test_images.py`` starts the real thing.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import builder.tensorrt.fitting_plans
from builder.cli import main
from builder.pipelines.manifest import active_version
from builder.pipelines.version_changes import new_version
from builder.pipelines.versions import loaded_versions
from builder.tensorrt.plan import Machine, check_plan
from tests.builder.engine_stand_ins import (
    L4,
    StandIns,
    contents,
    engine,
    network_folder,
    tensorrt_repository,
)
from tests.builder.starting import Served
from tests.e2e.conftest import build_tiny
from tests.serving import framewire, serve_port_options


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tensorrt_repository(tmp_path)


@pytest.fixture
def unwritable(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As a read-only mount looks; root, who runs tests in containers, may write everywhere else."""
    real = builder.tensorrt.fitting_plans._accepts_files
    monkeypatch.setattr(
        builder.tensorrt.fitting_plans,
        "_accepts_files",
        lambda folder: repository not in (folder, *folder.parents) and real(folder),
    )
    return repository


def test_the_first_start_compiles_and_the_second_does_not(
    repository: Path, stand_ins: StandIns, served: Served, start: Callable[..., int]
) -> None:
    served.look = lambda found: check_plan(found, "tiny", L4) and None
    assert start(repository) == 0
    assert start(repository) == 0
    assert served.repositories == [repository, repository]
    assert len(stand_ins.builds) == 1


def test_a_plan_that_was_compiled_with_other_options_is_served(
    repository: Path, stand_ins: StandIns, served: Served, start: Callable[..., int]
) -> None:
    assert engine(repository, "--opt-batch", "2") == 0
    assert start(repository) == 0
    assert len(stand_ins.builds) == 1


@pytest.mark.parametrize(
    ("told", "machine"),
    [
        ({"gpus": ["NVIDIA A10, 8.6"]}, Machine("10.5.0.18", "8.6", "NVIDIA A10")),
        ({"version": "101100", "build": "33"}, Machine("10.11.0.33", "8.9", "NVIDIA L4")),
    ],
)
def test_a_plan_that_does_not_fit_is_replaced_and_not_even_loaded_beside_the_new_one(
    repository: Path,
    stand_ins: StandIns,
    served: Served,
    start: Callable[..., int],
    told: dict[str, object],
    machine: Machine,
) -> None:
    assert engine(repository) == 0
    stand_ins.tell(**told)

    def look(found: Path) -> None:
        check_plan(found, "tiny", machine)
        assert loaded_versions(found, "tiny") == (active_version(found, "tiny"),) == (2,)

    served.look = look
    assert start(repository) == 0
    assert served.repositories == [repository]


def test_a_version_beside_the_active_one_that_fits_stays_loaded(
    repository: Path, stand_ins: StandIns, served: Served, start: Callable[..., int]
) -> None:
    assert engine(repository) == 0
    assert engine(repository, "--force") == 0
    assert start(repository) == 0
    assert loaded_versions(repository, "tiny") == (1, 2)


def test_a_loaded_version_without_a_plan_is_unloaded(
    repository: Path, stand_ins: StandIns, served: Served, start: Callable[..., int]
) -> None:
    with new_version(repository, "tiny"):
        pass
    assert loaded_versions(repository, "tiny") == (1, 2)
    assert start(repository) == 0
    assert loaded_versions(repository, "tiny") == (2,)


def test_a_loaded_version_for_another_gpu_is_unloaded_though_the_active_one_fits(
    repository: Path, stand_ins: StandIns, served: Served, start: Callable[..., int]
) -> None:
    assert engine(repository) == 0
    stand_ins.tell(gpus=["NVIDIA A10, 8.6"])
    assert engine(repository) == 0
    assert loaded_versions(repository, "tiny") == (1, 2)
    assert start(repository) == 0
    assert loaded_versions(repository, "tiny") == (2,)
    assert len(stand_ins.builds) == 2


def test_a_read_only_repository_is_copied_given_a_plan_and_left_alone(
    unwritable: Path,
    stand_ins: StandIns,
    served: Served,
    start: Callable[..., int],
    tmp_path: Path,
) -> None:
    before = contents(unwritable)
    (network_folder(unwritable)).chmod(0o555)
    served.look = lambda found: check_plan(found, "tiny", L4) and None
    assert start(unwritable) == 0
    assert start(unwritable) == 0
    assert len(stand_ins.builds) == 1, "the second takes the plan from the cache"
    assert contents(unwritable) == before
    first, second = served.repositories
    assert unwritable not in (first, second)
    assert not first.exists()
    assert not second.exists()
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == [
        *("plans", "timing-10.5.0.18-8.9.cache", "tiny.trtexec.log")
    ]


def test_a_read_only_repository_whose_plan_fits_is_served_as_it_is(
    unwritable: Path, stand_ins: StandIns, served: Served, start: Callable[..., int]
) -> None:
    assert engine(unwritable) == 0
    assert start(unwritable) == 0
    assert served.repositories == [unwritable]


def test_what_a_killed_container_left_in_the_cache_is_removed(
    unwritable: Path,
    stand_ins: StandIns,
    served: Served,
    start: Callable[..., int],
    tmp_path: Path,
) -> None:
    left_over = tmp_path / "cache" / "served-x" / "repository"
    left_over.mkdir(parents=True)
    assert start(unwritable) == 0
    assert not left_over.parent.exists()


def test_without_a_gpu_a_plan_is_refused_with_what_else_there_is(
    repository: Path,
    stand_ins: StandIns,
    served: Served,
    start: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_ins.tell(gpus=[])
    assert start(repository) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "tiny needs TensorRT and a GPU" in said
    assert "--runtime onnxruntime" in said
    assert served.repositories == []


def test_gpus_of_different_kinds_are_refused(
    repository: Path,
    stand_ins: StandIns,
    served: Served,
    start: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    stand_ins.tell(gpus=["NVIDIA L4, 8.9", "NVIDIA T4, 7.5"])
    assert start(repository) == 1
    assert "found NVIDIA L4 (8.9), NVIDIA T4 (7.5): give each" in capsys.readouterr().err
    assert stand_ins.builds == []
    stand_ins.tell(gpus=["NVIDIA L4, 8.9", "NVIDIA L40, 8.9"])
    assert start(repository) == 0


def test_the_embedded_triton_gets_the_repository_as_it_is(
    repository: Path, stand_ins: StandIns, served: Served
) -> None:
    assert main(["start", "--repository", str(repository)]) == 0
    assert served.repositories == [repository]
    assert stand_ins.builds == []


def test_a_failing_trtexec_serves_nothing(
    repository: Path, stand_ins: StandIns, served: Served, start: Callable[..., int]
) -> None:
    assert engine(repository) == 0
    stand_ins.tell(ends="fails", gpus=["NVIDIA A10, 8.6"])
    assert start(repository) == 1
    assert served.repositories == []


def test_pipelines_without_tensorrt_need_neither_gpu_nor_cache(
    tmp_path: Path, served: Served, start: Callable[..., int], stand_ins: StandIns
) -> None:
    stand_ins.tell(gpus=[])
    build_tiny(tmp_path, tmp_path / "r")
    assert start(tmp_path / "r") == 0
    assert served.repositories == [tmp_path / "r"]
    assert not (tmp_path / "cache").exists()


def test_wrong_options_are_told_before_anything_is_compiled(
    repository: Path,
    stand_ins: StandIns,
    served: Served,
    start: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert start(repository, "--tls-key", "nowhere.pem") == 1
    assert "--tls-certificate" in capsys.readouterr().err
    assert start(repository, "--triton", "/nowhere/tritonserver") == 1
    assert start(repository, "--max-restarts", "0") == 1
    assert "--max-restarts must be at least 1" in capsys.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert start(repository, "--health-port", str(taken.getsockname()[1])) == 1
    assert "choose another with --health-port" in capsys.readouterr().err
    assert stand_ins.builds == []


@pytest.fixture
def hanging(stand_ins: StandIns) -> StandIns:
    stand_ins.tell(ends="never")
    return stand_ins


def test_sigterm_ends_it_while_it_compiles(
    repository: Path, hanging: StandIns, triton: Path, tmp_path: Path
) -> None:
    ports, _ = serve_port_options()
    before = contents(repository)
    command = framewire("start", "--repository", str(repository), "--triton", str(triton), *ports)
    process = subprocess.Popen([*command, "--cache", str(tmp_path / "cache")])
    while not (hanging.home / "hangs").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 130
    assert contents(repository) == before
    shutil.rmtree(tmp_path / "cache")
