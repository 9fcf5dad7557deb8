"""Every step of a pipeline lets a bounded number of requests wait, and none for ever."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tritonclient.grpc import model_config_pb2 as pb

from builder.cli import main as framewire
from builder.deployment.memory import waiting_mib
from builder.deployment.pipeline_facts import facts_of
from builder.pipelines.config_files import read_config
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Runtime
from tests.tiny_detector import save_tiny_detector
from thin_client.contract import model_names

NAMES = model_names("tiny")
# The ensembles have no queue, and Triton knows no limit for that of sequences (NAME_decode).
WITH_QUEUES = (NAMES.bls, NAMES.preprocess, NAMES.network, NAMES.postprocess)
# As `framewire bench` goes up to, and more than a client's largest batch of 32.
MOST_IN_FLIGHT = 256


def policies(repository: Path) -> dict[str, pb.ModelQueuePolicy]:
    return {
        model: read_config(repository / model).dynamic_batching.default_queue_policy
        for model in WITH_QUEUES
    }


@pytest.mark.parametrize("runtime", list(Runtime))
def test_every_queue_is_bounded_and_refuses_what_waits_too_long(
    tmp_path: Path, runtime: Runtime
) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    settings = BuildSettings("tiny", runtime=runtime, max_queue=40, queue_timeout_ms=500)
    build_pipeline(model, tmp_path / "r", settings)
    for policy in policies(tmp_path / "r").values():
        assert policy.max_queue_size == 40
        assert policy.default_timeout_microseconds == 500_000
        assert policy.timeout_action == pb.ModelQueuePolicy.REJECT
        assert policy.allow_timeout_override


def test_the_command_takes_both_bounds(tmp_path: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build = ["build", str(model), "--name", "tiny", "--repository", str(tmp_path / "r")]
    bounds = ["--runtime", "python", "--max-queue", "7", "--queue-timeout-ms", "90"]
    assert framewire([*build, *bounds]) == 0
    for policy in policies(tmp_path / "r").values():
        assert (policy.max_queue_size, policy.default_timeout_microseconds) == (7, 90_000)


def test_by_default_a_sweep_fits_into_the_queues() -> None:
    assert BuildSettings("tiny").max_queue >= MOST_IN_FLIGHT


def test_memory_counts_every_queue_as_full(tmp_path: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(model, tmp_path / "r", BuildSettings("tiny", max_queue=100))
    (facts,) = facts_of(tmp_path / "r")
    assert facts.max_queue == 100
    assert waiting_mib(facts, encoded_mib=2) == pytest.approx(100 * (4 * 2 + facts.frame_mib))
    # A pipeline of a builder that knew no bound: nothing can be said.
    assert waiting_mib(replace(facts, max_queue=None), encoded_mib=2) == 0
