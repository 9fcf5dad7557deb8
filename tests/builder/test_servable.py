"""What is not handed to Triton, as files show it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from builder.benchmark.repositories import usual_recipe
from builder.errors import EmbeddedUnavailableError, RepositoryError
from builder.pipelines.pipeline_models import all_names
from builder.pipelines.repository import build_pipeline
from builder.pipelines.servable import check_servable, unservable
from builder.pipelines.version_changes import new_version
from builder.serving.left_out import leaving_out
from builder.serving.load_failures import load_failures, short_reason
from builder.serving.server_options import ServerOptions, served_models, triton_arguments
from builder.serving.shared_memory import shared_memory_bytes
from builder.settings import BuildSettings, Runtime
from tests.conftest import ROOT
from tests.e2e.conftest import build_tiny
from tests.tiny_detector import save_tiny_detector


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    build_tiny(tmp_path, tmp_path / "r")
    return tmp_path / "r"


def add(repository: Path, name: str, **settings: object) -> None:
    model = save_tiny_detector(repository.parent / "tiny.onnx")
    build_pipeline(model, repository, BuildSettings(name, **settings))


def test_whole_pipelines_and_old_versions_are_servable(repository: Path) -> None:
    add(repository, "streams", stream=True)
    with new_version(repository, "tiny"):
        pass
    assert unservable(repository) == {}
    # Triton goes without one that has no folder.
    for model in ("preprocess", "network", "postprocess"):
        shutil.rmtree(repository / f"tiny_{model}" / "1")
    assert unservable(repository) == {}


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ("tiny/config.pbtxt", "tiny has no valid config.pbtxt"),
        ("tiny_bls/config.pbtxt", "tiny_bls has no valid config.pbtxt"),
        ("tiny_bls/1/model.py", "tiny_bls lacks 1/model.py"),
        ("tiny_network/1", "tiny_network lacks version 1"),
        ("tiny_postprocess", "tiny_postprocess has no valid config.pbtxt"),
    ],
)
def test_what_lacks_something_is_named_with_what_it_lacks(
    repository: Path, lost: str, told: str
) -> None:
    add(repository, "other")
    place = repository / lost
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    found = unservable(repository)
    assert list(found) == ["tiny"] if lost != "tiny_postprocess" else "tiny" in found
    assert told in str(found["tiny"])
    assert "--replace" in str(found["tiny"])
    with pytest.raises(RepositoryError, match=told):
        check_servable(repository, "tiny")
    check_servable(repository, "other")


def test_a_damaged_manifest_is_named(repository: Path) -> None:
    (repository / "tiny" / "1" / "pipeline.json").write_text("{")
    assert "tiny/1/pipeline.json" in str(unservable(repository)["tiny"])


def test_a_stream_whose_config_is_gone_is_named(repository: Path) -> None:
    add(repository, "streams", stream=True)
    (repository / "streams_stream" / "config.pbtxt").unlink()
    assert list(unservable(repository)) == ["streams"]


def test_a_model_of_nobodys_pipeline_is_named_by_itself(repository: Path) -> None:
    (repository / "theirs" / "1").mkdir(parents=True)
    (repository / "theirs" / "config.pbtxt").write_text('name: "theirs"\nbackend: "python"\n')
    assert "theirs lacks 1/model.py" in str(unservable(repository)["theirs"])
    (repository / "theirs" / "1" / "model.py").touch()
    assert unservable(repository) == {}


def test_triton_is_given_the_others_and_nobody_counts_what_is_left_out(repository: Path) -> None:
    needed = shared_memory_bytes(repository)
    add(repository, "other")
    (repository / "other_network" / "config.pbtxt").write_text("nonsense")
    options = leaving_out(ServerOptions(repository, exit_on_error=False))
    assert list(options.left_out) == ["other"]
    names = (*("tiny", "tiny_bls", "tiny_network"), *("tiny_postprocess", "tiny_preprocess"))
    assert served_models(options) == names
    assert shared_memory_bytes(repository, left_out=options.left_out) == needed
    arguments = triton_arguments(options, Path("r"), Path("b"), "shm")
    assert "--exit-on-error=false" in arguments


def test_a_server_for_one_pipeline_is_refused_before_it_starts(repository: Path) -> None:
    add(repository, "other")
    (repository / "tiny_bls" / "1" / "model.py").unlink()
    with pytest.raises(RepositoryError, match=r"tiny_bls lacks 1/model\.py"):
        leaving_out(ServerOptions(repository))


def test_where_nothing_is_left_every_reason_is_told(repository: Path) -> None:
    options = ServerOptions(repository, exit_on_error=False)
    (repository / "tiny_bls" / "1" / "model.py").unlink()
    with pytest.raises(RepositoryError, match=r"^tiny_bls lacks 1/model.py"):
        leaving_out(options)
    add(repository, "other", runtime=Runtime.ONNXRUNTIME)
    with pytest.raises(RepositoryError, match=r"nothing can be served: .*lacks.*no backend"):
        leaving_out(options)


def test_the_embedded_triton_goes_without_networks_for_others(repository: Path) -> None:
    add(repository, "other", runtime=Runtime.ONNXRUNTIME)
    left_out = leaving_out(ServerOptions(repository, exit_on_error=False)).left_out
    assert list(left_out) == ["other"]
    assert "other_network is a onnxruntime_onnx" in left_out["other"]
    installed = ServerOptions(repository, exit_on_error=False, triton=Path("tritonserver"))
    assert leaving_out(installed).left_out == {}
    with pytest.raises(EmbeddedUnavailableError):
        leaving_out(ServerOptions(repository))


def test_what_was_left_out_for_another_reason_comes_back_when_it_was_served_since(
    repository: Path,
) -> None:
    add(repository, "other")
    options = ServerOptions(repository, exit_on_error=False, left_out={"other": "no plan"})
    assert leaving_out(options).left_out == {"other": "no plan"}
    assert leaving_out(options, mended={"other"}).left_out == {}


def test_reasons_are_found_in_tritons_log_and_told_in_a_line() -> None:
    log = [
        'E1130 07:11:58.4 1 model_repository_manager.cc:1460] "Poll failed for model directory '
        "'a': 'max_batch_size' must be non-negative value for a\"",
        "E1130 06:52:51.509963 1 model_lifecycle.cc:642] \"failed to load 'b' version 1: Internal: "
        'OSError: one\\ntwo "/tmp/framewire-x1/repository/b/1/model.onnx"\\n\\nAt:\\n  file(1)"',
    ]
    told = {model: short_reason(why) for model, why in load_failures(log).items()}
    assert told == {
        "a": "'max_batch_size' must be non-negative value for a",
        "b": 'Internal: OSError: one two "b/1/model.onnx"',
    }


def test_others_models_that_are_named_like_steps_are_no_pipeline_of_ours(tmp_path: Path) -> None:
    usual = usual_recipe(ROOT / "benchmarks", tmp_path / "usual")
    assert all_names(usual) == ()
    assert unservable(usual) == {}
