"""A pipeline lets a bounded number of requests wait, and none for ever."""

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
# What clients' requests come to first. The ensembles have no queue, and Triton knows no limit for
# that of sequences (NAME_decode).
BOUNDED = (NAMES.bls, NAMES.preprocess)
# Frames come to these only as fast as they go.
FED = (NAMES.network, NAMES.postprocess)
# As `framewire bench` goes up to, and more than a client's largest batch of 32.
MOST_IN_FLIGHT = 256


def policies(repository: Path, models: tuple[str, ...] = BOUNDED) -> dict[str, pb.ModelQueuePolicy]:
    return {
        model: read_config(repository / model).dynamic_batching.default_queue_policy
        for model in models
    }


@pytest.mark.parametrize("runtime", list(Runtime))
def test_queues_of_clients_requests_are_bounded_and_refuse_what_waits_too_long(
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
    # With any bound on these Triton leaves a request lying for half a second now and then.
    for policy in policies(tmp_path / "r", FED).values():
        assert policy == pb.ModelQueuePolicy()


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
    # Two batches of the default are on their way.
    on_their_way = 2 * BuildSettings("tiny").max_batch * (2 + facts.frame_mib)
    assert waiting_mib(facts, encoded_mib=2) == pytest.approx(100 * 2 * 2 + on_their_way)
    # A pipeline of a builder that knew no bound: nothing can be said.
    assert waiting_mib(replace(facts, max_queue=None), encoded_mib=2) == 0
