"""``framewire doctor`` beside the real Triton, healthy and ill."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient

from builder.pipelines.config_files import config_text, read_config
from builder.pipelines.repository import build_pipeline
from builder.serving.access import ADMIN_KEY_VARIABLE
from builder.serving.embedded import find_embedded_triton
from builder.serving.ports import free_ports
from builder.serving.server_options import ModelControl
from builder.serving.shared_memory import SHM_FOLDER
from builder.serving.supervision.health_endpoint import health_endpoint
from builder.serving.supervision.readiness_board import ReadinessBoard
from builder.settings import BuildSettings
from tests import images, serving
from tests.builder.doctor.examining import PORT_OPTIONS, Said, doctor, with_shared_memory
from tests.conftest import ROOT
from tests.e2e.doctored import (
    bare_triton,
    camera_that_waits_for_nobody,
    traffic,
    without_batching,
)
from tests.serving import Serving, children, framewire, shared_memory_of
from tests.tiny_detector import coloured_square, save_tiny_detector

pytestmark = pytest.mark.alone

KEY = "doctor-knows-the-key-0001"
# As many pixels as the tiny pipeline accepts: with its network, decoding is most of the work.
LARGE = images.encoded(images.photograph(1200, 800))
SMALL = images.encoded(coloured_square("red"))
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - in a network of its own
NEVER_BAD = {"machine-busy", "leftover-scratch-folder", "triton-vulnerable"}


@pytest.fixture
def repository(tiny_repository: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny_repository, tmp_path / "models"))


def inside(server: Serving) -> list[str]:
    """Words that run a command with the mounts of a server."""
    namespaces = ("--user", "--mount", "--preserve-credentials")
    return ["nsenter", "--target", str(server.process.pid), *namespaces]


def test_a_healthy_pipeline_is_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    # With a /dev/shm of its own: in this machine's there may be what others left.
    apart = with_shared_memory(1024)
    monkeypatch.setattr(serving, "framewire", lambda *words: [*apart, *framewire(*words)])
    with serving.serving(ROOT / "model_repository") as server:
        with traffic(server.url, "codes", SMALL, at_once=2):
            # A busy machine may need longer for ten answers.
            for seconds in ("2", "8", "30"):
                watching = ("--url", server.url, "--watch-seconds", seconds)
                said = doctor(*watching, before=inside(server))
                told = report_of(*watching, before=inside(server))
                if not said.report["not_looked_at"] and "could not" not in told.stdout:
                    break
        outside = doctor("--url", server.url)
    assert said.names() - NEVER_BAD == set(), said.report["findings"]
    assert said.report["not_looked_at"] == {}
    for what in (
        "shared memory",
        "contract",
        "server",
        "served",
        "processes",
        "allocator",
        "supervisor",
    ):
        assert what in said.report["looked_at"]
    assert said.report["looked_at"]["server"].endswith("is ready, with codes")
    assert re.search(r"codes answers \d+ images a second", said.report["looked_at"]["queues"])
    assert told.stdout.splitlines()[-1].startswith("healthy: looked at 2")
    assert told.returncode == 0
    assert told.stderr == ""
    # From outside, the server's own /dev/shm counts.
    assert "of 1024 MB free" in outside.report["looked_at"]["shared memory"]


def report_of(*options: str, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*(before or ()), *framewire("doctor", *options)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


def test_a_server_that_answers_here_is_looked_at_unasked(server: Serving, tmp_path: Path) -> None:
    ports = (server.grpc_port, server.http_port, server.metrics_port, server.health_port)
    options = zip(PORT_OPTIONS, map(str, ports), strict=True)
    said = doctor(*(word for pair in options for word in pair), folder=tmp_path)
    assert f"127.0.0.1:{server.grpc_port} is ready, with codes, tiny" in str(said.report)
    assert said.report["looked_at"]["ports"].endswith("are the server's")
    # And so is what it serves, wherever it is run.
    assert str(server.repository) in said.report["looked_at"]["repository"]


def test_where_nobody_sends_nothing_is_said_about_traffic(server: Serving) -> None:
    said = doctor("--url", server.url)
    for what in ("batches", "queues", "backlog", "failures"):
        assert "--watch-seconds" in said.report["not_looked_at"][what]


def test_an_allocator_that_is_not_tuned(tiny_repository: Path) -> None:
    with bare_triton(tiny_repository, tuned=False) as triton:
        said = doctor("--url", triton.grpc_url)
    told = said.the("allocator-untuned")
    assert f"warning: tritonserver (process {triton.pid}) runs without MALLOC_MMAP" in told
    assert "export MALLOC_MMAP_THRESHOLD_=134217728" in told
    assert "OMP_NUM_THREADS=1" in said.the("threads-unlimited")


def test_another_allocator_will_do(
    tiny_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that is named so: it is the name that is looked at.
    libraries = find_embedded_triton().library_path[0]
    shutil.copy(next(libraries.glob("libkeyutils-*")), tmp_path / "libjemalloc.so.2")
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "libjemalloc.so.2"))
    with bare_triton(tiny_repository, tuned=False) as triton:
        monkeypatch.delenv("LD_PRELOAD")
        said = doctor("--url", triton.grpc_url)
    assert "allocator-untuned" not in said.names()


def test_processes_that_died_or_were_stopped(tiny_repository: Path) -> None:
    with bare_triton(tiny_repository) as triton:
        assert not doctor("--url", triton.grpc_url).names("error")
        stubs = {model_of(pid): pid for pid in children(triton.pid)}
        os.kill(stubs["tiny_preprocess"], signal.SIGKILL)
        os.kill(stubs["tiny_postprocess"], signal.SIGSTOP)
        said = doctor("--url", triton.grpc_url)
        os.kill(stubs["tiny_postprocess"], signal.SIGCONT)
    assert "tiny_preprocess has 1 of its 2 processes left" in said.the("process-died")
    told = said.the("process-stopped")
    assert f"`kill -CONT {stubs['tiny_postprocess']}`" in told


def test_what_a_supervisor_tells_probes_and_that_there_is_none(tiny_repository: Path) -> None:
    (port,) = free_ports(1)
    board = ReadinessBoard(["tiny"])
    with bare_triton(tiny_repository) as triton:
        alone = doctor("--url", triton.grpc_url)
        # Of this process, which is the Triton's parent as `framewire serve` is of its own.
        with health_endpoint("127.0.0.1", port, board):
            board.tell({"tiny": "tiny_preprocess does not answer"})
            hanging = doctor("--url", triton.grpc_url)
            board.tell({"tiny": None})
            well = doctor("--url", triton.grpc_url)
    told = alone.the("not-supervised")
    assert told.startswith(f"hint: nobody watches over tritonserver (process {triton.pid})")
    told = hanging.the("not-ready-for-probes")
    assert f"supervisor on port {port} tells probes not to send" in told
    assert "(tiny: tiny_preprocess does not answer)" in told
    assert not well.names() & {"not-supervised", "not-ready-for-probes"}


def model_of(stub: int) -> str:
    return Path(Path(f"/proc/{stub}/cmdline").read_text().split("\0")[1]).parts[-3]


def test_a_pipeline_that_is_not_ready_and_why(tiny_repository: Path) -> None:
    with bare_triton(tiny_repository, control=ModelControl.EXPLICIT) as triton:
        with InferenceServerClient(triton.grpc_url) as client:
            client.unload_model("tiny_network")
            while state_of(client, "tiny_network") != "unloaded":
                time.sleep(0.05)
        said = doctor("--url", triton.grpc_url)
    told = said.the("pipeline-not-ready")
    assert "tiny_network is not ready (unloaded), nor is tiny | " in told
    assert "`framewire load tiny --url" in told


def state_of(client: InferenceServerClient, model: str) -> str:
    """Why a model is not ready, as Triton has it."""
    models = client.get_model_repository_index().models
    return next(each.reason for each in models if each.name == model)


def test_a_server_that_has_not_taken_the_new_version(repository: Path, tmp_path: Path) -> None:
    with bare_triton(repository, control=ModelControl.EXPLICIT) as triton:
        model = save_tiny_detector(tmp_path / "tiny.onnx")
        build_pipeline(model, repository, BuildSettings("tiny", conf=0.4))
        said = doctor("--url", triton.grpc_url, "--repository", repository)
        told = said.the("server-behind")
        assert "serves version 1 of tiny, and version 2 is the repository's" in told
        mend = re.findall(r"`framewire ([^`]*)`", told)[0].split()
        subprocess.run(framewire(*mend), check=True, capture_output=True)
        after = doctor("--url", triton.grpc_url, "--repository", repository)
        elsewhere = doctor("--url", triton.grpc_url, "--repository", ROOT / "model_repository")
    assert "server-behind" not in after.names()
    assert str(repository) in elsewhere.the("another-repository")


def test_what_the_server_serves_counts_too(repository: Path) -> None:
    for model in ("tiny", "tiny_bls"):
        config = read_config(repository / model)
        config.parameters["contract_fingerprint"].string_value = "0123456789abcdef"
        config.parameters["labels"].string_value = '["0", "1", "2"]'
        (repository / model / "config.pbtxt").write_text(config_text(config))
    with bare_triton(repository) as triton:
        url = triton.grpc_url
        said = doctor("--url", url, "--repository", ROOT / "model_repository")
    told = said.all_of("contract-mismatch")
    assert [text.split()[1] for text in told] == ["tiny", "tiny_bls"]
    assert all(f"in {url} was built by framewire" in text for text in told)
    assert "3 of the 3 classes of tiny in" in said.the("labels-missing")


def test_too_many_processes_of_a_running_server(repository: Path) -> None:
    config = read_config(repository / "tiny_preprocess")
    config.instance_group[0].count = 3
    (repository / "tiny_preprocess" / "config.pbtxt").write_text(config_text(config))
    cores = os.sched_getaffinity(0)
    # The server inherits it, and it is the server's that counts.
    os.sched_setaffinity(0, [min(cores)])
    try:
        with bare_triton(repository) as triton:
            os.sched_setaffinity(0, cores)
            other = ROOT / "model_repository"
            said = doctor("--url", triton.grpc_url, "--repository", other)
    finally:
        os.sched_setaffinity(0, cores)
    told = said.the("cores-oversubscribed")
    assert "tiny_preprocess decodes in 3 processes, 3 threads on 1 core" in told


def test_requests_that_wait_and_are_not_taken_together(repository: Path) -> None:
    without_batching(repository, "tiny_preprocess")
    with (
        bare_triton(repository) as triton,
        traffic(triton.grpc_url, "tiny", LARGE, at_once=12),
    ):
        said = doctor("--url", triton.grpc_url, "--watch-seconds", "2")
    told = next(each for each in said.all_of("no-batches") if "for tiny_preprocess" in each)
    assert "for tiny_preprocess, and it took them one by one" in told
    assert "its config has no dynamic_batching" in told
    assert "`framewire build MODEL --name tiny --replace`" in told
    # And as nothing else takes so long, it holds up all.
    assert "waiting for tiny_preprocess" in said.the("bottleneck")


def test_a_network_that_holds_up_all(server: Serving) -> None:
    # Two of its batches and a half: as many as are with it at a time, and some that wait.
    with traffic(server.url, "codes", SMALL, at_once=40):
        # A busy machine may need longer for enough answers.
        for seconds in ("2", "8", "30"):
            said = doctor("--url", server.url, "--watch-seconds", seconds)
            if "bottleneck" in said.names():
                break
    told = said.the("bottleneck")
    assert re.search(r"about \d+ images of codes were with codes_network at any time", told)
    assert "which holds all to" in told
    assert "--runtime tensorrt" in told
    assert "no-batches" not in said.names()


def test_frames_that_are_decoded_faster_than_the_network_takes_them() -> None:
    with (
        bare_triton(ROOT / "model_repository") as triton,
        camera_that_waits_for_nobody(triton.grpc_url, "codes", SMALL, per_s=120),
    ):
        said = doctor("--url", triton.grpc_url, "--watch-seconds", "2")
    told = said.the("network-behind")
    assert re.search(r"about \d+ were with it at any time.* waited \d+ ms to be decoded", told)
    assert "--in-flight" in told


def test_requests_that_fail(server: Serving) -> None:
    with traffic(server.url, "tiny", b"no picture at all", at_once=2):
        said = doctor("--url", server.url, "--watch-seconds", "2")
    told = said.the("requests-failing")
    found = re.search(r"warning: (\d+) of (\d+) requests to tiny failed or were refused", told)
    assert found
    # Where nobody else is answered, a canary now and then is.
    failed, ended = map(int, found.groups())
    assert ended - 5 <= failed <= ended
    assert f"--url {server.url}" in told


def test_without_the_admin_key_it_says_so_and_does_not_guess(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ADMIN_KEY_VARIABLE, KEY)
    with (
        serving.serving(tiny_repository, "--restrict") as server,
        traffic(server.url, "tiny", SMALL, at_once=1),
    ):
        with_key = doctor("--url", server.url, "--watch-seconds", "1")
        monkeypatch.delenv(ADMIN_KEY_VARIABLE)
        without = doctor("--url", server.url, "--watch-seconds", "1")
    assert "queues" in with_key.report["looked_at"]
    assert "statistics-restricted" not in with_key.names()
    told = without.the("statistics-restricted")
    assert told.startswith("hint: ")
    assert ADMIN_KEY_VARIABLE in told
    assert ADMIN_KEY_VARIABLE in without.report["not_looked_at"]["queues"]
    assert "with the admin key" in without.report["looked_at"]["access"]
    # What needs no key is told all the same.
    assert without.report["looked_at"]["server"].endswith("is ready, with tiny")
    assert KEY not in str(without.report) + str(with_key.report)


def test_a_server_that_listens_to_everybody(
    tiny_repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a network of its own, where nobody is.
    alone = ["unshare", "--user", "--map-root-user", "--net", "sh", "-c"]
    alone += ['ip link set lo up && exec "$@"', "sh"]
    monkeypatch.setattr(serving, "framewire", lambda *words: [*alone, *framewire(*words)])
    with serving.serving(tiny_repository, "--address", EVERY_ADDRESS) as server:
        namespaces = ("--user", "--net", "--preserve-credentials")
        within = ["nsenter", "--target", str(server.process.pid), *namespaces]
        said = doctor("--url", server.url, before=within)
    assert "listens on 0.0.0.0 (gRPC), 0.0.0.0 (HTTP) and lets" in said.the("open-to-all")
    assert "`framewire serve --restrict`" in said.the("open-to-all")
    assert said.the("triton-vulnerable").startswith("warning: ")


def test_what_a_killed_server_left(tiny_repository: Path, tmp_path: Path) -> None:
    server = Serving(tiny_repository)
    server.wait_until_ready()
    triton = server.triton_pid()
    family = [*children(triton), triton, server.process.pid]
    clean = doctor("--repository", tiny_repository)
    try:
        # All at once, as where memory runs out or a container ends.
        for pid in reversed(family):
            os.kill(pid, signal.SIGSTOP)
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        server.process.wait()
        regions = shared_memory_of(server.process.pid)
        assert len(regions) == 6
        said = doctor("--repository", tiny_repository)
        (told,) = said.all_of("leftover-shared-memory")
        pattern = regions[0][:-36]
        assert f"{SHM_FOLDER}/{pattern}*" in told
        assert pattern not in str(clean.report)
        (folder,) = folders_in(said, of=tiny_repository)
        assert folders_in(clean, of=tiny_repository) == []
        shutil.rmtree(folder)
    finally:
        for region in shared_memory_of(server.process.pid):
            (SHM_FOLDER / region).unlink()
        server.stop()
    assert pattern not in str(doctor("--repository", tiny_repository).report)


def folders_in(said: Said, of: Path) -> list[Path]:
    """Folders that are to be removed, of servers of one repository."""
    found = " ".join(said.all_of("leftover-scratch-folder"))
    folders = [
        Path(word) for words in re.findall(r"`rm -r ([^`]*)`", found) for word in words.split()
    ]
    return [folder for folder in folders if (folder / "repository").resolve() == of]


def test_plain_words_for_people(tmp_path: Path, tiny_repository: Path) -> None:
    small = with_shared_memory(16)
    ports = [str(port) for port in free_ports(4)]
    options = zip(PORT_OPTIONS, ports, strict=True)
    done = report_of(
        *("--repository", str(tiny_repository), "--watch-seconds", "0.1"),
        *(word for pair in options for word in pair),
        before=small,
    )
    assert done.returncode == 1
    assert "error: shared-memory-small: /dev/shm has 16 MB" in done.stdout
    assert "    mend: `docker run --shm-size" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("ill: looked at ")
    assert done.stderr == "framewire: 1 thing is wrong or slow, listed above\n"
