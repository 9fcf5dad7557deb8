"""``framewire serve`` in good and bad times."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tritonclient.grpc import InferenceServerClient
from tritonclient.utils import InferenceServerException

from tests import images
from tests.conftest import ROOT
from tests.e2e.wire import infer
from tests.serving import (
    Serving,
    children,
    framewire,
    running,
    serve_port_options,
    serving,
    shared_memory_of,
)
from tests.tiny_detector import coloured_square


def descendants(pid: int) -> list[int]:
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def wait_until_gone(pids: list[int]) -> list[int]:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(running(pid) for pid in pids):
        time.sleep(0.05)
    return [pid for pid in pids if running(pid)]


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(tiny_repository: Path, signal_number: int) -> None:
    server = Serving(tiny_repository)
    try:
        line = server.wait_until_ready()
        assert "tiny, tiny_bls" in line
        assert f"127.0.0.1:{server.grpc_port}" in line
        assert infer(server.url, "tiny", [images.encoded(coloured_square("red"))])
        assert shared_memory_of(server.process.pid)
        family = descendants(server.process.pid)
        assert len(family) >= 5
        server.process.send_signal(signal_number)
        assert server.wait() == 0
        assert server.error_text() == ""
        assert wait_until_gone(family) == []
        assert shared_memory_of(server.process.pid) == []
    finally:
        server.stop()


def test_every_accepted_request_is_answered_before_it_stops() -> None:
    # The demo's network takes its time: requests are on their way through all steps.
    pictures = [images.encoded(images.photograph(640, 480))] * 4
    server = Serving(ROOT / "model_repository")

    under_way = threading.Barrier(13, timeout=60)

    def send_until_refused(model: str) -> str:
        """What the first request is told that gets no answer."""
        for count in range(1000):
            try:
                answer = infer(server.url, model, pictures)
            except InferenceServerException as error:
                return str(error.message())
            assert not answer["image_status"].any()
            if count == 0:
                under_way.wait()
        raise AssertionError("it never stopped")

    try:
        server.wait_until_ready()
        with ThreadPoolExecutor(12) as threads:
            models = ["codes", "codes_bls"] * 6
            loops = [threads.submit(send_until_refused, model) for model in models]
            under_way.wait()
            server.process.send_signal(signal.SIGTERM)
            assert server.wait() == 0
        assert server.error_text() == ""
        for model, loop in zip(models, loops, strict=True):
            # Refused at the door, by the name that was called: a step would name itself.
            assert (
                loop.result() == f"Request for unknown model: '{model}' has no available versions"
            )
    finally:
        server.stop()


def wait_until_busy(url: str, network: str) -> None:
    """Return once the network has answered its first frames."""
    deadline = time.monotonic() + 30
    with InferenceServerClient(url) as client:
        while time.monotonic() < deadline:
            if client.get_inference_statistics(network).model_stats[0].inference_count:
                return
            time.sleep(0.005)
    raise AssertionError(f"{network} never began")


def test_unsupervised_it_tells_that_triton_was_killed_and_leaves_nothing(
    tiny_repository: Path,
) -> None:
    server = Serving(tiny_repository, "--no-supervise")
    try:
        server.wait_until_ready()
        family = descendants(server.process.pid)
        os.kill(server.triton_pid(), signal.SIGKILL)
        assert server.wait() == 1
        assert "framewire: Triton was killed by SIGKILL" in server.error_text()
        assert wait_until_gone(family) == []
        assert shared_memory_of(server.process.pid) == []
    finally:
        server.stop()


def test_unsupervised_it_tells_which_process_of_a_model_was_killed(
    tiny_repository: Path,
) -> None:
    server = Serving(tiny_repository, "--no-supervise")
    try:
        server.wait_until_ready()
        # One of two: the other one goes on answering.
        stubs = server.model_pids("tiny_preprocess")
        assert len(stubs) == 2
        os.kill(stubs[0], signal.SIGKILL)
        assert server.wait() == 1
        assert "the process of model tiny_preprocess ended" in server.error_text()
        assert shared_memory_of(server.process.pid) == []
    finally:
        server.stop()


def test_a_path_that_a_shell_would_take_apart_is_served(
    tiny_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a b;c$(touch pwned)'\"é"
    folder.mkdir()
    shutil.copytree(tiny_repository, folder / "repository")
    monkeypatch.setenv("TMPDIR", str(folder))
    with serving(folder / "repository") as server:
        assert infer(server.url, "tiny", [images.encoded(coloured_square("red"))])
    assert not list(tmp_path.rglob("pwned"))
    assert not Path("pwned").exists()


def test_a_model_folder_that_a_shell_would_take_apart_is_refused(
    tiny_repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_repository, tmp_path / "repository")
    (tmp_path / "repository" / "a;b").mkdir()
    ports, _ = serve_port_options()
    assert "cannot be a model" in serve_and_fail(tmp_path / "repository", *ports)


def test_when_it_is_killed_itself_triton_ends_too(tiny_repository: Path) -> None:
    server = Serving(tiny_repository)
    try:
        server.wait_until_ready()
        family = descendants(server.process.pid)
        server.process.kill()
        server.wait()
        assert wait_until_gone(family) == []
    finally:
        server.stop()


def test_a_model_that_does_not_load_is_named_with_its_reason(
    tiny_repository: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(tiny_repository, repository)
    model = repository / "tiny_postprocess" / "1" / "model.py"
    model.write_text(model.read_text() + "\nimport a_package_that_is_not_there\n")
    server = Serving(repository)
    try:
        assert server.wait() == 1
        sentence = server.error_text().strip().splitlines()[-1]
        assert sentence.startswith(
            "framewire: nothing can be served: model tiny_postprocess did not load: "
        )
        assert "No module named 'a_package_that_is_not_there'" in sentence
    finally:
        server.stop()


def test_a_damaged_network_is_named_with_its_reason(tiny_repository: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(tiny_repository, repository)
    (repository / "tiny_network" / "1" / "model.onnx").write_bytes(b"damaged")
    server = Serving(repository)
    try:
        assert server.wait() == 1
        assert "model tiny_network did not load" in server.error_text()
    finally:
        server.stop()


@pytest.mark.parametrize("purpose", ["grpc", "http", "metrics"])
def test_a_taken_port_is_refused_by_its_option(tiny_repository: Path, purpose: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports, _ = serve_port_options()
        ports[ports.index(f"--{purpose}-port") + 1] = str(port)
        refused = serve_and_fail(tiny_repository, *ports)
    assert f"port {port} on 127.0.0.1 cannot be used for {purpose}" in refused
    assert f"--{purpose}-port" in refused


@pytest.mark.parametrize("port", ["0", "-1", "70000", "99999999999999999999"])
def test_a_port_out_of_range_is_refused(tiny_repository: Path, port: str) -> None:
    ports, _ = serve_port_options()
    ports[1] = port
    assert "--grpc-port must be from 1 to 65535" in serve_and_fail(tiny_repository, *ports)


@pytest.mark.parametrize("address", ["", "300.1.1.1", "::1"])
def test_an_address_that_cannot_be_had_is_refused(tiny_repository: Path, address: str) -> None:
    ports, _ = serve_port_options()
    refused = serve_and_fail(tiny_repository, *ports, "--address", address)
    assert "IPv4 --address" in refused


def test_output_that_nobody_reads_ends_it_without_a_traceback(tiny_repository: Path) -> None:
    ports, _ = serve_port_options()
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            framewire("serve", "--repository", str(tiny_repository), *ports),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "framewire: cannot write the output: No space left on device\n"


def test_the_same_port_twice_is_refused(tiny_repository: Path) -> None:
    ports, grpc = serve_port_options()
    ports[3] = str(grpc)
    assert "must differ" in serve_and_fail(tiny_repository, *ports)


def test_a_repository_without_models_is_refused_with_the_way_to_make_some(tmp_path: Path) -> None:
    ports, _ = serve_port_options()
    assert "framewire build" in serve_and_fail(tmp_path, *ports)
    assert "there is no model repository" in serve_and_fail(tmp_path / "missing", *ports)


def serve_and_fail(repository: Path, *options: str) -> str:
    """The one sentence that a refused ``framewire serve`` leaves."""
    refused = subprocess.run(
        framewire("serve", "--repository", str(repository), *options),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.startswith("framewire: ")
    assert refused.stderr.count("\n") == 1
    return refused.stderr


def test_what_serves_holds_no_library_that_only_builds_or_clients_need(
    tiny_repository: Path,
) -> None:
    with serving(tiny_repository) as server:
        mapped = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "python" in mapped
    held = [name for name in ("numpy", "cygrpc", "onnx", "cv2", "ml_dtypes") if name in mapped]
    assert held == []
