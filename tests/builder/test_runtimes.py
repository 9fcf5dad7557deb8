"""The network's config and files for each runtime; only the Python one can be served here."""

from __future__ import annotations

from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2 as pb

from builder.errors import EmbeddedUnavailableError
from builder.pipelines.config_files import read_config
from builder.pipelines.repository import build_pipeline
from builder.pipelines.runtime_choice import choose_runtime
from builder.serving.server_options import check_backends
from builder.settings import BuildSettings, ExecutionProvider, Precision, Runtime
from tests.tiny_detector import save_tiny_detector


def network_of(tmp_path: Path, **options: object) -> tuple[pb.ModelConfig, set[str]]:
    """The config of the network of a pipeline built with these settings, and its files."""
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(model, tmp_path / "r", BuildSettings("tiny", max_batch=8, **options))
    folder = tmp_path / "r" / "tiny_network"
    return read_config(folder), {path.name for path in (folder / "1").iterdir()}


def test_tensorrt_gets_a_config_for_a_plan_and_the_graph_to_compile(tmp_path: Path) -> None:
    config, files = network_of(tmp_path, runtime=Runtime.TENSORRT)
    assert config.platform == "tensorrt_plan"
    assert config.default_model_filename == "model.plan"
    assert config.instance_group[0].kind == pb.ModelInstanceGroup.KIND_GPU
    assert "model.onnx" in files
    assert "model.py" not in files


@pytest.mark.parametrize("runtime", [Runtime.TENSORRT, Runtime.ONNXRUNTIME])
def test_runtimes_that_compare_shapes_get_those_of_the_graph(
    tmp_path: Path, runtime: Runtime
) -> None:
    config, _ = network_of(tmp_path, runtime=runtime, candidates=20, max_det=10)
    # A plan is compiled for one size; ONNX Runtime takes every rectangle.
    size = [64, 64] if runtime is Runtime.TENSORRT else [-1, -1]
    assert (config.input[0].name, list(config.input[0].dims)) == ("frame", [*size, 3])
    assert not config.input[0].allow_ragged_batch
    assert (config.output[0].name, list(config.output[0].dims)) == ("candidates", [20, 6])
    assert config.max_batch_size == 8
    assert config.dynamic_batching.max_queue_delay_microseconds == 0


@pytest.mark.parametrize(
    ("provider", "kind"),
    [
        (ExecutionProvider.AUTO, pb.ModelInstanceGroup.KIND_AUTO),
        (ExecutionProvider.CPU, pb.ModelInstanceGroup.KIND_CPU),
        (ExecutionProvider.CUDA, pb.ModelInstanceGroup.KIND_GPU),
        (ExecutionProvider.TENSORRT, pb.ModelInstanceGroup.KIND_GPU),
    ],
)
def test_onnxruntime_computes_where_it_is_told(
    tmp_path: Path, provider: ExecutionProvider, kind: int
) -> None:
    config, files = network_of(
        tmp_path,
        runtime=Runtime.ONNXRUNTIME,
        execution_provider=provider,
        precision=Precision.FP16,
    )
    assert config.platform == "onnxruntime_onnx"
    assert config.default_model_filename == "model.onnx"
    assert files == {"model.onnx", "config.pbtxt"}
    assert config.instance_group[0].kind == kind
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    inside_tensorrt = provider is ExecutionProvider.TENSORRT
    assert [each.name for each in accelerators] == (["tensorrt"] if inside_tensorrt else [])
    if inside_tensorrt:
        assert accelerators[0].parameters["precision_mode"] == "FP16"


@pytest.mark.parametrize("runtime", [Runtime.TENSORRT, Runtime.ONNXRUNTIME])
def test_the_embedded_server_says_what_it_cannot_run(tmp_path: Path, runtime: Runtime) -> None:
    network_of(tmp_path, runtime=runtime)
    with pytest.raises(EmbeddedUnavailableError, match=r"tiny_network is a .*--runtime python"):
        check_backends(tmp_path / "r")


def test_auto_is_what_the_machine_can_serve(tmp_path: Path) -> None:
    backends, devices = tmp_path / "backends", tmp_path / "dev"
    devices.mkdir()
    assert choose_runtime(backends, devices) is Runtime.PYTHON
    (backends / "onnxruntime").mkdir(parents=True)
    (backends / "tensorrt").mkdir()
    assert choose_runtime(backends, devices) is Runtime.ONNXRUNTIME
    (devices / "nvidia0").touch()
    assert choose_runtime(backends, devices) is Runtime.TENSORRT
