"""Which models of a repository are watched, and what their files say of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from builder.pipelines.repository import build_pipeline
from builder.serving.local_triton import Work
from builder.serving.supervision import pipeline_watch, public_model_watch
from builder.serving.supervision.pipeline_watch import PipelinesWatch
from builder.serving.supervision.public_model_watch import PublicModel
from builder.settings import BuildSettings, ExecutionProvider, Runtime
from tests.builder.test_model_watch import Processes, Silent
from tests.tiny_detector import save_tiny_detector


def test_a_pipeline_whose_files_went_after_it_was_unloaded_is_forgotten(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Silent, "sent", [], raising=False)
    monkeypatch.setattr(public_model_watch, "Canary", Silent)
    there = ["a", "b"]
    monkeypatch.setattr(pipeline_watch, "pipelines", lambda _: tuple(there))
    watch = PipelinesWatch(None, tmp_path, metrics=None)  # type: ignore[arg-type]
    work = {model: Work() for model in ("a", "a_bls", "b", "b_bls")}
    processes: Any = Processes()
    watch.look(0.0, work, processes)
    del work["b"], work["b_bls"]
    watch.look(1.0, work, processes)
    assert watch.states() == {"a": "a is starting", "b": "b is not loaded"}
    there.remove("b")
    watch.look(2.0, work, processes)
    assert watch.states() == {"a": "a is starting"}


@pytest.mark.parametrize("runtime", list(Runtime))
def test_a_pipelines_files_say_where_its_network_computes_and_how_much_at_once(
    tmp_path: Path, runtime: Runtime
) -> None:
    provider = {}
    if runtime is Runtime.ONNXRUNTIME:
        provider = {"execution_provider": ExecutionProvider.TENSORRT}
    settings = BuildSettings("tiny", runtime=runtime, max_batch=5, **provider)
    build_pipeline(save_tiny_detector(tmp_path / "tiny.onnx"), tmp_path / "r", settings)
    watch = PipelinesWatch(None, tmp_path / "r", metrics=None)  # type: ignore[arg-type]
    public = watch._watches["tiny"]["tiny"].public
    assert public == PublicModel(
        "tiny",
        ("tiny_preprocess", "tiny_network", "tiny_postprocess"),
        largest_batch=5,
        network_in_triton=runtime is not Runtime.PYTHON,
        compiles=runtime is Runtime.ONNXRUNTIME,
    )


def test_another_version_has_another_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Silent, "sent", [], raising=False)
    monkeypatch.setattr(public_model_watch, "Canary", Silent)
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(model, tmp_path / "r", BuildSettings("tiny"))
    watch = PipelinesWatch(None, tmp_path / "r", metrics=None)  # type: ignore[arg-type]
    public = watch._watches["tiny"]["tiny"]
    assert not public.public.network_in_triton
    settings = BuildSettings("tiny", runtime=Runtime.ONNXRUNTIME, max_batch=64)
    build_pipeline(model, tmp_path / "r", settings)
    processes: Any = Processes()
    models = ("tiny", "tiny_bls", "tiny_preprocess", "tiny_network", "tiny_postprocess")
    for version in (1, 2):
        work = {name: Work(versions=frozenset({version})) for name in models}
        watch.look(float(version), work, processes)
    assert watch._watches["tiny"]["tiny"] is public
    assert (public.public.network_in_triton, public.public.largest_batch) == (True, 64)
