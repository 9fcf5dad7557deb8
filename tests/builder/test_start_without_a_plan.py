"""``framewire start`` where a plan cannot be made: the other pipelines are served."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.builder.engine_stand_ins import StandIns, contents, engine, tensorrt_repository
from tests.builder.starting import Served, installed_triton
from tests.e2e.wire import infer
from tests.serving import Serving, children, model_of
from tests.supervised import SQUARE, lines

PLAIN = "plain"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A pipeline that wants a plan, and one that does not."""
    found = tensorrt_repository(tmp_path)
    build_pipeline(tmp_path / "tiny.onnx", found, BuildSettings(PLAIN, conf=0.5))
    return found


def test_where_trtexec_fails_the_others_are_served(
    repository: Path, stand_ins: StandIns, served: Served, start: Callable[..., int]
) -> None:
    stand_ins.tell(ends="fails")
    before = contents(repository)
    assert start(repository) == 0
    assert served.repositories == [repository]
    (left_out,) = served.left_out
    assert list(left_out) == ["tiny"]
    assert "Engine set up failed" in left_out["tiny"] or "NonZero" in left_out["tiny"]
    assert contents(repository) == before


def test_the_plan_of_one_does_not_keep_that_of_another_from_being_made(
    repository: Path,
    stand_ins: StandIns,
    served: Served,
    start: Callable[..., int],
    tmp_path: Path,
) -> None:
    tensorrt_repository(tmp_path, "another")
    (repository / "another_network" / "1" / "model.onnx").unlink()
    assert start(repository) == 0
    assert list(served.left_out[0]) == ["another"]
    assert len(stand_ins.builds) == 1


def test_without_a_gpu_the_others_are_served(
    repository: Path, stand_ins: StandIns, served: Served, start: Callable[..., int]
) -> None:
    stand_ins.tell(gpus=[])
    assert start(repository) == 0
    assert "tiny needs TensorRT and a GPU" in served.left_out[0]["tiny"]


def test_what_has_no_plan_and_cannot_be_copied_is_left_out(
    repository: Path,
    stand_ins: StandIns,
    served: Served,
    start: Callable[..., int],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("builder.tensorrt.fitting_plans._writable", lambda *_: False)
    (tmp_path / "file").touch()
    assert start(repository, "--cache", str(tmp_path / "file" / "cache")) == 0
    assert served.repositories == [repository]
    assert "name a folder with --cache" in served.left_out[0]["tiny"]


def test_a_damaged_pipeline_beside_it_is_for_the_server_to_tell(
    repository: Path, stand_ins: StandIns, served: Served, start: Callable[..., int]
) -> None:
    (repository / PLAIN / "1" / "pipeline.json").write_text("{")
    assert start(repository) == 0
    assert served.left_out == [{}]
    assert len(stand_ins.builds) == 1


@pytest.mark.parametrize("control", ["explicit", "poll", "none"])
def test_a_plan_that_does_not_fit_is_not_given_to_triton(
    repository: Path, stand_ins: StandIns, tmp_path: Path, control: str
) -> None:
    # It would be served as if it were the network's.
    assert engine(repository) == 0
    stand_ins.tell(ends="fails", gpus=["NVIDIA A10, 8.6"])
    options = ("--triton", str(installed_triton(tmp_path)), "--cache", str(tmp_path / "cache"))
    server = Serving(repository, *options, "--control", control, command="start")
    try:
        assert server.wait_until_ready().endswith("; not served: tiny\n")
        assert infer(server.url, PLAIN, [SQUARE])["num_dets"].shape == (1, 1)
        status, told = server.ready()
        assert status == HTTPStatus.SERVICE_UNAVAILABLE
        assert told["pipelines"] == {PLAIN: True, "tiny": False}
        (line,) = (line for line in lines(server) if "tiny" in line)
        assert line.startswith("framewire: pipeline tiny is not served: ")
        assert "trtexec" in line
        processes = {model_of(pid) for pid in children(server.triton_pid())} - {""}
        assert {model.split("_")[0] for model in processes} == {PLAIN}
    finally:
        server.end()
