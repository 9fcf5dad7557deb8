"""What breaks under ``framewire serve`` is noticed, told in a line and mended."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.serving.embedded import find_embedded_triton
from builder.serving.supervision.healing_limit import HELD_S
from builder.settings import BuildSettings
from tests import images
from tests.e2e.wire import infer
from tests.serving import Serving, running, serving, shared_memory_of
from tests.swapping import Traffic
from tests.tiny_detector import coloured_square, save_tiny_detector

SQUARE = images.encoded(coloured_square("red"))
MODELS = ("preprocess", "network", "postprocess", "bls", "decode")
# Many times what it takes: how long is for the drill to measure.
PATIENCE_S = 60
# Long enough for every alarm there is, but the one that takes half a minute.
PAUSE_S = 4
LOADED_S = 8
PUBLIC = ("tiny", "tiny_bls")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline that takes streams, too."""
    folder = tmp_path_factory.mktemp("supervised")
    build_pipeline(
        save_tiny_detector(folder / "tiny.onnx"),
        folder / "repository",
        BuildSettings("tiny", conf=0.5, stream=True),
    )
    return folder / "repository"


@pytest.fixture(scope="module")
def server(repository: Path) -> Iterator[Serving]:
    with serving(repository, "--max-restarts", "100") as running_server:
        yield running_server
    assert running_server.process.returncode == 0


def wait_until(condition: Callable[[], bool], told: Callable[[], object] = str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, told()
        time.sleep(0.02)


def is_ready(server: Serving) -> bool:
    return server.ready()[0] == HTTPStatus.OK


def lines(server: Serving) -> list[str]:
    """What the supervisor itself has said."""
    return [line.strip() for line in list(server.errors) if line.startswith("framewire: ")]


def answers(server: Serving, model: str) -> bool:
    try:
        return infer(server.url, model, [SQUARE])["num_dets"].shape == (1, 1)
    except InferenceServerException:
        # A channel that others share, and were refused on, waits before it connects again.
        return False


def assert_mended(server: Serving, before: int) -> str:
    """The line on what happened; it was unready and is ready, and left nothing."""
    wait_until(lambda: not is_ready(server), server.error_text)
    wait_until(lambda: is_ready(server), server.error_text)
    wait_until(lambda: len(lines(server)) >= before + 2, server.error_text)
    what, healed = lines(server)[before:]
    assert healed.startswith("framewire: healed after "), healed
    for model in PUBLIC:
        wait_until(lambda model=model: answers(server, model), server.error_text)
    # Else it would not count as mended, and wait before it mends again.
    time.sleep(HELD_S)
    regions = {name.split("_")[2] for name in shared_memory_of(server.process.pid)}
    assert len(regions) == 1
    return what


@pytest.mark.parametrize("model", MODELS)
def test_the_killed_process_of_a_model_is_mended(server: Serving, model: str) -> None:
    before = len(lines(server))
    pid = server.model_pids(f"tiny_{model}")[0]
    os.kill(pid, signal.SIGKILL)
    assert assert_mended(server, before) == (
        f"framewire: tiny_{model}: its process {pid} was killed (SIGKILL): restarting Triton"
    )


@pytest.mark.parametrize("model", MODELS)
def test_the_stopped_process_of_a_model_is_mended(server: Serving, model: str) -> None:
    before = len(lines(server))
    pid = server.model_pids(f"tiny_{model}")[-1]
    os.kill(pid, signal.SIGSTOP)
    assert assert_mended(server, before) == (
        f"framewire: tiny_{model}: its process {pid} was stopped (SIGSTOP): restarting Triton"
    )
    assert not running(pid)


def test_a_triton_that_was_killed_is_mended(server: Serving) -> None:
    before, family = len(lines(server)), server.model_pids("tiny_network")
    os.kill(server.triton_pid(), signal.SIGKILL)
    assert assert_mended(server, before).startswith("framewire: Triton: was killed by SIGKILL")
    assert not any(map(running, family))


def test_a_triton_that_was_stopped_is_mended(server: Serving) -> None:
    before, pid = len(lines(server)), server.triton_pid()
    os.kill(pid, signal.SIGSTOP)
    assert f"Triton: its process {pid} was stopped (SIGSTOP)" in assert_mended(server, before)


# A request of a user's, and not the supervisor's own, meets it; once.
HANG = """
import os, threading, time


def _hang(self, requests, execute=TritonPythonModel.execute):
    canary = requests[0].request_id() == "framewire-canary"
    if canary or not os.path.exists({file!r}):
        return execute(self, requests)
    os.unlink({file!r})
    {how}


TritonPythonModel.execute = _hang
"""
LOCKED = "lock = threading.Lock(); lock.acquire(); lock.acquire()"
WAITING = "while True: time.sleep(0.01)"


@pytest.mark.parametrize(
    ("model", "how", "told"),
    [
        # Of two processes: the other one answers every canary.
        ("preprocess", LOCKED, r"tiny_preprocess: its process \d+ is stuck"),
        ("bls", LOCKED, r"tiny_bls: its process \d+ is stuck"),
        # Of one: whichever is noticed first.
        ("postprocess", LOCKED, r"tiny_postprocess: its process \d+ is stuck|tiny: it has not ans"),
        # Its process does something, if not what it should; the ensemble is what does not answer.
        ("postprocess", WAITING, r"tiny(_stream)?: it has not answered a canary for"),
    ],
)
def test_a_model_that_hangs_is_mended(
    repository: Path, tmp_path: Path, model: str, how: str, told: str
) -> None:
    copy = shutil.copytree(repository, tmp_path / "repository")
    file = tmp_path / "hang"
    with (copy / f"tiny_{model}" / "1" / "model.py").open("a") as code:
        code.write(HANG.format(file=str(file), how=how))
    with serving(copy) as server, ThreadPoolExecutor(1) as thread:
        file.touch()
        met = thread.submit(infer, server.url, "tiny_bls" if model == "bls" else "tiny", [SQUARE])
        assert re.search(told, assert_mended(server, 0))
        # Not for ever: whoever sent it may send it again.
        with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
            met.result(PATIENCE_S)


def test_what_can_only_be_told_by_its_process_is_told_under_load(
    repository: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(repository, tmp_path / "repository")
    file = tmp_path / "hang"
    with (copy / "tiny_preprocess" / "1" / "model.py").open("a") as code:
        code.write(HANG.format(file=str(file), how=LOCKED))
    with serving(copy) as server, Traffic(server.url, SQUARE, PUBLIC, threads_each=4):
        file.touch()
        assert "tiny_preprocess: its process" in assert_mended(server, 0)


def test_load_is_no_fault(server: Serving) -> None:
    before = len(lines(server))
    big = images.encoded(images.photograph(1920, 1080))
    with Traffic(server.url, big, PUBLIC, threads_each=12) as traffic:
        until = time.monotonic() + LOADED_S
        while time.monotonic() < until:
            assert server.ready() == (HTTPStatus.OK, {"ready": True, "pipelines": {"tiny": True}})
            time.sleep(0.1)
    assert traffic.errors == []
    assert lines(server)[before:] == []


def test_a_stream_that_pauses_is_no_fault(server: Serving) -> None:
    before = len(lines(server))
    with InferenceServerClient(server.url) as client:
        send_packet(client, 7, start=True)
        time.sleep(PAUSE_S)
        assert is_ready(server)
        send_packet(client, 7, end=True)
    assert lines(server)[before:] == []


def test_a_new_version_is_no_fault(repository: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(repository, tmp_path / "repository")
    with serving(copy) as server, Traffic(server.url, SQUARE, PUBLIC, threads_each=2) as traffic:
        for version, instances in ((2, 3), (3, 1)):
            settings = BuildSettings("tiny", conf=0.5, stream=True, instances=instances)
            build_pipeline(repository.parent / "tiny.onnx", copy, settings)
            loaded = ["load", "tiny", "--repository", str(copy), "--url", server.url]
            assert main(loaded) == 0
            wait_until(
                lambda at=version: all(at in traffic.versions(model) for model in PUBLIC),
            )
            time.sleep(PAUSE_S)
            assert is_ready(server)
        assert lines(server) == []
        # What came with it is watched, too.
        assert len(server.model_pids("tiny_preprocess")) == 1
        os.kill(server.model_pids("tiny_preprocess")[0], signal.SIGKILL)
        assert "tiny_preprocess" in assert_mended(server, 0)


def test_a_pipeline_that_was_unloaded_is_unready_and_left_alone(repository: Path) -> None:
    with serving(repository) as server:
        with InferenceServerClient(server.url) as client:
            client.unload_model("tiny_bls")
            wait_until(lambda: not is_ready(server))
            assert server.ready("/readyz/tiny") == (
                HTTPStatus.SERVICE_UNAVAILABLE,
                {
                    "ready": False,
                    "pipelines": {"tiny": False},
                    "why": "tiny: tiny_bls is not loaded",
                },
            )
            assert server.ready("/livez")[0] == HTTPStatus.OK
            assert server.ready("/readyz/another")[0] == HTTPStatus.NOT_FOUND
            time.sleep(PAUSE_S)
            assert lines(server) == []
            client.load_model("tiny_bls")
        wait_until(lambda: is_ready(server))


def test_unsupervised_there_is_no_endpoint(repository: Path) -> None:
    with serving(repository, "--no-supervise") as server:
        with pytest.raises(ConnectionRefusedError):
            server.ready()
        assert infer(server.url, "tiny", [SQUARE])


def test_an_option_of_a_supervisor_that_is_not_there_is_refused(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["serve", "--repository", str(repository), "--no-supervise", "--health-port", "1"]
    assert main(command) == 1
    assert "--health-port does nothing with --no-supervise" in capsys.readouterr().err


def test_an_aborted_start_is_tried_again(repository: Path, tmp_path: Path) -> None:
    program = aborting_triton(tmp_path, times=2)
    with serving(repository, "--triton", str(program)) as server:
        assert infer(server.url, "tiny", [SQUARE])
        assert len(lines(server)) == 2
        assert all("Triton was killed by SIGABRT" in line for line in lines(server))


def test_a_start_that_aborts_each_time_ends_it(repository: Path, tmp_path: Path) -> None:
    server = Serving(repository, "--triton", str(aborting_triton(tmp_path, times=99)))
    try:
        assert server.wait() == 1
        assert [line.count("SIGABRT") for line in lines(server)] == [1, 1, 1]
    finally:
        server.stop()


def aborting_triton(folder: Path, times: int) -> Path:
    """A program that is the embedded Triton, but aborts when it is first started."""
    embedded = find_embedded_triton()
    program = folder / "opt" / "bin" / "tritonserver"
    program.parent.mkdir(parents=True)
    embedded.make_backend_directory(folder / "opt")
    environment = embedded.environment({"PATH": os.environ["PATH"]})
    options = [*embedded.arguments, '"$@"']
    program.write_text(
        f"""#!/bin/bash
echo x >>{folder}/starts
[ $(wc -l <{folder}/starts) -gt {times} ] || kill -ABRT $$
export {" ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())}
exec {embedded.binary} {" ".join(options)}
"""
    )
    program.chmod(0o755)
    return program


def send_packet(
    client: InferenceServerClient, stream: int, *, start: bool = False, end: bool = False
) -> None:
    packet = InferInput("packet", [1, 1], "BYTES")
    packet.set_data_from_numpy(np.array([[SQUARE]], dtype=object))
    client.infer(
        "tiny_stream",
        [packet],
        sequence_id=stream,
        sequence_start=start,
        sequence_end=end,
        parameters={"codec": "mjpeg"} if start else None,
        client_timeout=PATIENCE_S,
    )


def test_what_breaks_again_and_again_ends_it(repository: Path) -> None:
    server = Serving(repository, "--max-restarts", "1")
    try:
        server.wait_until_ready()
        os.kill(server.model_pids("tiny_bls")[0], signal.SIGKILL)
        wait_until(lambda: len(lines(server)) == 2, server.error_text)
        os.kill(server.model_pids("tiny_bls")[0], signal.SIGKILL)
        assert server.wait() == 1
        assert "Triton was started again 1 times within 10 min already" in lines(server)[-1]
        assert shared_memory_of(server.process.pid) == []
    finally:
        server.stop()


def test_a_signal_while_it_mends_ends_it_cleanly(repository: Path) -> None:
    server = Serving(repository)
    try:
        server.wait_until_ready()
        os.kill(server.triton_pid(), signal.SIGKILL)
        wait_until(lambda: bool(lines(server)), server.error_text)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert len(lines(server)) == 1
        assert shared_memory_of(server.process.pid) == []
    finally:
        server.stop()
