"""Shared memory, cores and ports, as they are where something is wrong with them."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from builder.pipelines.repository import build_pipeline
from builder.serving.ports import free_ports
from builder.serving.supervision.health_endpoint import health_endpoint
from builder.serving.supervision.readiness_board import ReadinessBoard
from builder.settings import BuildSettings
from tests.builder.doctor.examining import PORT_OPTIONS, doctor, with_shared_memory
from tests.tiny_detector import save_tiny_detector

CORES = len(os.sched_getaffinity(0))


def test_a_dev_shm_that_is_too_small(repository: Path) -> None:
    said = doctor("--repository", repository, before=with_shared_memory(64))
    told = said.the("shared-memory-small")
    assert told.startswith("error: /dev/shm has 64 MB and full batches")
    assert "may need 224 MB" in told
    assert "`docker run --shm-size 256m`" in told
    assert said.code == 1


def test_a_dev_shm_that_is_large_enough_and_full(repository: Path) -> None:
    full = with_shared_memory(256, "fallocate -l 200M /dev/shm/somebody_elses")
    told = doctor("--repository", repository, before=full).the("shared-memory-full")
    assert "only 56 MB of /dev/shm are free" in told
    assert "somebody_elses has 200 MB" in told
    assert "`ls -lS /dev/shm`" in told


def test_regions_of_a_running_server_do_not_make_it_full(repository: Path) -> None:
    ours = with_shared_memory(256, "fallocate -l 200M /dev/shm/framewire_1_00_x")
    said = doctor("--repository", repository, before=ours)
    assert not said.names() & {"shared-memory-full", "shared-memory-small"}


def test_more_processes_that_decode_than_cores(tmp_path: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    settings = BuildSettings("tiny", instances=2, decode_threads=CORES + 1)
    build_pipeline(model, tmp_path / "models", settings)
    said = doctor("--repository", tmp_path / "models")
    models = {told.split()[1] for told in said.all_of("cores-oversubscribed")}
    assert models == {"tiny_preprocess", "tiny_bls"}
    told = said.all_of("cores-oversubscribed")[0]
    assert f"2 processes of {CORES + 1} threads each, {2 * CORES + 2} threads on {CORES}" in told
    assert "--name tiny --instances" in told


def test_cores_count_as_far_as_the_process_may_use_them(tmp_path: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    build_pipeline(model, tmp_path / "models", BuildSettings("tiny", instances=3))
    (core, *_) = os.sched_getaffinity(0)
    said = doctor("--repository", tmp_path / "models", before=["taskset", "-c", str(core)])
    assert "3 threads on 1 core" in said.all_of("cores-oversubscribed")[0]


def test_the_default_is_not_too_much_for_one_core(repository: Path) -> None:
    (core, *_) = os.sched_getaffinity(0)
    said = doctor("--repository", repository, before=["taskset", "-c", str(core)])
    assert said.report["looked_at"]["cores"].startswith("1 core to use, enough")


@pytest.mark.alone
def test_other_programs_that_keep_the_cores_busy(repository: Path) -> None:
    endless = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(endless) for _ in range(2 * CORES)]
    try:
        said = doctor("--repository", repository, "--watch-seconds", "1")
    finally:
        for process in busy:
            process.kill()
            process.wait()
    told = said.the("machine-busy")
    assert told.startswith("hint: other programs keep ")
    assert any(f"(process {process.pid})" in told for process in busy)


def test_a_port_that_somebody_has(repository: Path) -> None:
    ports = dict(zip(PORT_OPTIONS, map(str, free_ports(4)), strict=True))
    http_port = int(ports["--http-port"])
    options = [word for pair in ports.items() for word in pair]
    with socket.create_server(("127.0.0.1", http_port)):
        said = doctor("--repository", repository, *options)
    told = said.the("port-taken")
    assert told.startswith(f"warning: port {http_port}, where `framewire serve` is to serve http")
    assert f"(process {os.getpid()})" in told
    assert "`framewire serve --http-port`" in told
    # It works elsewhere, and is no health all the same.
    assert said.code == 1


def test_a_supervisor_without_its_triton_is_no_stranger_on_a_port(repository: Path) -> None:
    ports = dict(zip(PORT_OPTIONS, map(str, free_ports(4)), strict=True))
    options = [word for pair in ports.items() for word in pair]
    board = ReadinessBoard(["tiny"])
    board.tell_all("Triton is being restarted")
    with health_endpoint("127.0.0.1", int(ports["--health-port"]), board):
        said = doctor("--repository", repository, *options)
    assert "(Triton is being restarted)" in said.the("not-ready-for-probes")
    assert "port-taken" not in said.names()


def test_a_supervisor_of_a_triton_elsewhere_has_its_port(repository: Path) -> None:
    ports = dict(zip(PORT_OPTIONS, map(str, free_ports(4)), strict=True))
    options = [word for pair in ports.items() for word in pair]
    board = ReadinessBoard(["tiny"])
    board.tell({"tiny": None})
    with health_endpoint("127.0.0.1", int(ports["--health-port"]), board):
        said = doctor("--repository", repository, *options)
    assert f"port {ports['--health-port']}" in said.the("port-taken")


def test_a_port_of_root_s_is_not_taken(repository: Path) -> None:
    limit = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    # Root is to be like anybody.
    as_anybody = ("setpriv", "--bounding-set=-net_bind_service") if os.geteuid() == 0 else ()
    options = ("--http-port", str(max(limit - 1, 1)))
    options += tuple(
        word
        for name, port in zip(PORT_OPTIONS, free_ports(4), strict=True)
        if name != "--http-port"
        for word in (name, str(port))
    )
    said = doctor("--repository", repository, *options, before=as_anybody)
    assert "port-taken" not in said.names()


def test_fewer_threads_are_advised_where_there_are_too_many(tmp_path: Path) -> None:
    model = save_tiny_detector(tmp_path / "tiny.onnx")
    settings = BuildSettings("tiny", decode_threads=3 * CORES)
    build_pipeline(model, tmp_path / "models", settings)
    told = doctor("--repository", tmp_path / "models").all_of("cores-oversubscribed")[0]
    advised = re.findall(r"`framewire build MODEL ([^`]*)`", told)[0]
    instances = int(re.findall(r"--instances (\d+)", advised)[0])
    assert "--decode-threads 0" in advised
    shutil.rmtree(tmp_path / "models")
    build_pipeline(model, tmp_path / "models", BuildSettings("tiny", instances=instances))
    said = doctor("--repository", tmp_path / "models")
    assert "cores-oversubscribed" not in said.names()
