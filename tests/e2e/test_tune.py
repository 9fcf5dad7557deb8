"""``framewire tune`` with real servers: what it measures, what it writes, what is then served."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from tritonclient.grpc import model_config_pb2 as pb
from tritonclient.grpc import service_pb2, service_pb2_grpc

from builder.benchmark.load import Load, Measurement
from builder.benchmark.perf_analyzer import PerfAnalyzer
from builder.benchmark.serving import MeasuredServer, Profile
from builder.cli import main
from builder.pipelines.manifest import active_version, read_manifest
from builder.pipelines.repository import build_pipeline
from builder.serving.model_processes import stubs
from builder.settings import BuildSettings, Decoder, Precision
from builder.tuning import measuring
from tests import images
from tests.conftest import ROOT
from tests.serving import Serving, serving
from tests.tiny_detector import save_tiny_detector
from thin_client import Detector

IMAGES = [str(ROOT / "samples" / name) for name in ("desk.jpg", "launch.jpg")]
MEASURED = Measurement(**dict.fromkeys(Measurement.__dataclass_fields__, 10.0))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(model, tmp_path / "r", BuildSettings("tiny", max_batch=4, instances=1))
    return tmp_path / "r"


def tune(repository: Path, *options: str) -> int:
    where = ["--repository", str(repository), "--out", str(repository.parent / "out")]
    return main(["tune", *IMAGES, *where, "--trial-seconds", "1", "--rounds", "3", *options])


def config_of(url: str, model: str) -> pb.ModelConfig:
    with grpc.insecure_channel(url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return stub.ModelConfig(service_pb2.ModelConfigRequest(name=model)).config


@pytest.fixture
def faster_with_instances(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """Real servers that are as fast as they have instances; returns what was asked of them."""
    asked: list[tuple[str, int, int]] = []

    def profile(
        _analyzer: PerfAnalyzer,
        server: MeasuredServer,
        load: Load,
        _data: Path,
        _csv: Path,
        *,
        window_ms: int,
    ) -> Profile:
        config = config_of(server.target.grpc_url, load.model)
        instances = config_of(server.target.grpc_url, "tiny_preprocess").instance_group[0].count
        assert window_ms > 0
        asked.append((load.model, instances, config.max_batch_size))
        found = replace(MEASURED, images_per_s=100.0 * instances, p99_ms=50.0)
        return Profile(load, found, (), {"tritonserver": 5.0})

    monkeypatch.setattr(measuring, "profile", profile)
    return asked


def test_the_winner_is_published_served_and_taken_back(
    repository: Path,
    faster_with_instances: list[tuple[str, int, int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--instances", "3", "--decode-threads", "0", "--max-batch", "8", "--variant", "both"]
    assert tune(repository, *options) == 0
    printed = capsys.readouterr().out
    assert set(faster_with_instances) == {
        (model, *settings)
        for model in ("tiny", "tiny_bls")
        for settings in ((1, 4), (3, 4), (3, 8))
    }
    assert "3.00 times the present throughput (3.00 to 3.00 over 3 rounds)" in printed
    assert "version 2 of tiny is active" in printed
    assert read_manifest(repository, "tiny").instances == 3
    kept = json.loads((repository / "tiny" / "2" / "tuning.json").read_text())
    assert kept["best"] == {
        "decoder": "exact",
        "instances": 3,
        "decode_threads": 0,
        "max_batch": 4,
        "precision": "fp32",
    }
    assert (repository / "tiny" / "2" / "tuning.txt").read_text() in printed

    # The version before would stay loaded, with as many processes.
    assert main(["prune", "tiny", "--repository", str(repository)]) == 0
    with serving(repository) as server:
        assert processes(server, "tiny_preprocess") == processes(server, "tiny_bls") == 3
        answers(server)
    assert main(["list", "--repository", str(repository)]) == 0
    assert main(["rollback", "tiny", "--repository", str(repository)]) == 0
    assert read_manifest(repository, "tiny").instances == 1
    with serving(repository) as server:
        assert processes(server, "tiny_bls") == 1
        answers(server)


def test_no_write_leaves_the_repository_alone(
    repository: Path, faster_with_instances: list[tuple[str, int, int]]
) -> None:
    narrow = ["--instances", "2", "--decode-threads", "0", "--max-batch", "4"]
    assert tune(repository, *narrow, "--no-write") == 0
    assert len(set(faster_with_instances)) == 2
    assert active_version(repository, "tiny") == 1
    kept = json.loads((repository.parent / "out" / "tiny" / "tuning.json").read_text())
    assert kept["changes"] is True


def test_scaled_decoding_is_tried_with_leave_and_its_price_is_told(
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured = faster_where(monkeypatch, lambda settings: settings["decoder"] == "scaled")
    narrow = ["--instances", "1", "--decode-threads", "0", "--max-batch", "4"]
    assert tune(repository, *narrow) == 0
    assert active_version(repository, "tiny") == 1
    assert measured == {"exact"}
    assert tune(repository, *narrow, "--allow-scaled") == 0
    assert "`framewire verify` shows what it costs" in capsys.readouterr().out
    assert read_manifest(repository, "tiny").decoder is Decoder.SCALED
    with serving(repository) as server:
        answers(server)


def test_precisions_are_tried_when_named_and_their_price_is_told(
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measured = faster_where(
        monkeypatch,
        lambda settings: settings["precision"] == "bf16",
        model="tiny_network",
        key="precision",
    )
    narrow = ["--instances", "1", "--decode-threads", "0", "--max-batch", "4"]
    assert tune(repository, *narrow) == 0
    assert measured == {"fp32"}
    assert tune(repository, *narrow, "--precisions", "bf16") == 0
    assert measured == {"fp32", "bf16"}
    assert "bf16 moves boxes and scores: `framewire verify` shows" in capsys.readouterr().out
    assert read_manifest(repository, "tiny").precision is Precision.BF16
    with serving(repository) as server:
        answers(server)


def faster_where(
    monkeypatch: pytest.MonkeyPatch,
    faster: Callable[[dict[str, str]], bool],
    *,
    model: str = "tiny_preprocess",
    key: str = "decoder",
) -> set[str]:
    """Real servers, some of them fast by what a model reads; returns the values of one key."""
    values: set[str] = set()
    folders: dict[str, Path] = {}
    real = measuring.measured_server

    @contextmanager
    def measured_server(folder: Path) -> Iterator[MeasuredServer]:
        with real(folder) as server:
            folders[server.target.grpc_url] = folder
            yield server

    def profile(
        _analyzer: object, server: MeasuredServer, load: Load, *_: object, **__: object
    ) -> Profile:
        folder = folders[server.target.grpc_url] / model / "1"
        settings = json.loads((folder / "settings.json").read_text())
        values.add(settings[key])
        found = replace(MEASURED, images_per_s=200.0 if faster(settings) else 100.0)
        return Profile(load, found, (), {})

    monkeypatch.setattr(measuring, "measured_server", measured_server)
    monkeypatch.setattr(measuring, "profile", profile)
    return values


def test_a_bound_that_nothing_keeps_is_a_sentence(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    narrow = ["--instances", "1", "--decode-threads", "0", "--max-batch", "4"]
    assert tune(repository, *narrow, "--p99-ms", "0.01") == 1
    printed = capsys.readouterr()
    last = printed.err.splitlines()[-1]
    assert last.startswith("framewire: nothing keeps p99 of tiny within 0.01 ms, the least seen is")
    assert active_version(repository, "tiny") == 1
    kept = json.loads((repository.parent / "out" / "tiny" / "tuning.json").read_text())
    (only,) = kept["trials"]
    (point,) = only["variants"]["tiny"]["measured"]
    # perf_analyzer and the server's processes were really looked at.
    assert point["images_per_s"] > 0
    assert point["cpu_ms"] > 0
    assert f"{point['p99_ms']:.1f} ms" in last


def processes(server: Serving, model: str) -> int:
    return [each.model for each in stubs(server.triton_pid()).values()].count(model)


def answers(server: Serving) -> None:
    with Detector(server.url, "tiny") as detector:
        assert detector.detect(images.encoded(images.photograph(200, 160))) is not None
