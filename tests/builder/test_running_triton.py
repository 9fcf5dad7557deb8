"""A Triton that cannot be started, or is in no hurry to end; without a Triton."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from builder.errors import PortTakenError, ServerError
from builder.serving import server as server_module
from builder.serving.ports import free_ports
from builder.serving.server_options import ModelControl, ServerOptions
from builder.serving.supervision import supervisor
from builder.serving.triton_process import TritonServer


def test_a_second_signal_ends_what_still_drains(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    # As deaf as a Triton that waits for its requests.
    script = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    options = ServerOptions(tmp_path, control=ModelControl.EXPLICIT)
    server = TritonServer(process, options)
    monkeypatch.setattr(server.local, "model_states", interrupted)
    with pytest.raises(KeyboardInterrupt):
        server.drain()
    assert process.wait(30) == -signal.SIGKILL
    server.stop()


def test_a_machine_without_room_for_a_process_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Nothing:
        binary, arguments = Path("tritonserver"), ()

        def make_backend_directory(self, folder: Path) -> Path:
            return folder

        def environment(self, _: object) -> dict[str, str]:
            return {}

    def full(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", full)
    running = server_module.running_triton(Nothing(), ServerOptions(tmp_path))  # type: ignore[arg-type]
    with (
        pytest.raises(ServerError, match=r"cannot be started .*Resource temporarily.*make room"),
        running,
    ):
        pass


def test_a_port_that_another_program_took_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "PORTS_S", 0.1)
    ports = free_ports(3)
    options = ServerOptions(tmp_path, "127.0.0.1", *ports)
    supervisor._wait_for_ports(options)
    with (
        socket.create_server(("127.0.0.1", ports[1])),
        pytest.raises(PortTakenError, match="--http-port"),
    ):
        supervisor._wait_for_ports(options)
