"""How LitServe is started, measured and ended, with a small server in its place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from builder.benchmark.litserve import LitServeSettings, litserve
from builder.benchmark.sessions import session_cpu_seconds, session_processes
from builder.errors import BenchmarkError
from tests.conftest import ROOT
from tests.serving import running

SETTINGS = LitServeSettings(Path("d.pt"), 2, 4, 0.01)
# Like the real one it has processes of its own, one of which ignores SIGTERM.
PROGRAM = """
import http.server, signal, subprocess, sys, time
sys.path.insert(0, PEERS)
from end_with_stdin import end_with_stdin
end_with_stdin()
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
print(*sys.argv[1:], flush=True)
stubborn = "import signal, time; signal.signal(15, 1); print(1, flush=True); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE)
child.stdout.readline()

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.say(b"ok")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        self.say(b'{"boxes": [[1, 2, 3, 4, 0.5, 6]]}')
    def say(self, content):
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(options["--port"])), Handler).serve_forever()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    peers = str(ROOT / "benchmarks" / "peers")
    (tmp_path / "litserve_predict.py").write_text(f"PEERS = {peers!r}\n{PROGRAM}")
    return tmp_path


def start(folder: Path, *, square: bool = False):  # type: ignore[no-untyped-def]
    return litserve(Path(sys.executable), folder, SETTINGS, folder / "log", square=square)


def test_it_is_measured_and_all_of_its_processes_end(folder: Path) -> None:
    with start(folder, square=True) as server:
        processes = session_processes(server.pid)
        assert len(processes) == 2
        measured, cpu_ms = server.measure([b"1", b"2"], in_flight=2, seconds=0.5)
        (boxes,) = server.boxes([b"1"])
    assert measured.images > 2
    # 20 ms of each image; the clock's tick is 10 ms.
    assert 15 < cpu_ms < 60
    assert boxes.tolist() == [[1, 2, 3, 4, 0.5, 6]]
    assert not [pid for pid in processes if running(pid)]
    said = (folder / "log").read_text()
    for option in ("--model d.pt", "--workers 2", "--batch 4", "--batch-timeout-s 0.01"):
        assert option in said
    assert said.splitlines()[0].endswith("--batch-timeout-s 0.01 --square")


def test_one_that_ends_at_once_is_quoted(folder: Path) -> None:
    (folder / "litserve_predict.py").write_text("raise SystemExit('no module named litserve')")
    with (
        pytest.raises(
            BenchmarkError, match=r"d\.pt, 2 workers.* ended, .*no module named litserve"
        ),
        start(folder),
    ):
        pass


def test_an_exception_meanwhile_ends_it_too(folder: Path) -> None:
    processes = []
    with suppress(KeyboardInterrupt), start(folder) as server:
        processes += session_processes(server.pid)
        raise KeyboardInterrupt
    assert len(processes) == 2
    assert not [pid for pid in processes if running(pid)]


def test_nothing_is_left_when_the_benchmark_is_killed(folder: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
from builder.benchmark.litserve import LitServeSettings, litserve
from builder.benchmark.sessions import session_processes
folder = Path({str(folder)!r})
with litserve(Path(sys.executable), folder, LitServeSettings(Path("d.pt"), 1), folder / "log",
              square=False) as server:
    print(*session_processes(server.pid), flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as bench:
        assert bench.stdout is not None
        processes = [int(pid) for pid in bench.stdout.readline().split()]
        assert len(processes) == 2
        bench.send_signal(signal.SIGKILL)
    end = time.monotonic() + 30
    while left := [pid for pid in processes if running(pid)]:
        assert time.monotonic() < end, f"{left} go on"
        time.sleep(0.05)


def test_cpu_time_of_a_session_is_that_of_its_children_too() -> None:
    burn = (
        "import time\nwhile time.process_time() < 0.3: pass\nprint(1, flush=True); time.sleep(600)"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {burn!r}], stdin=0)"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            assert session_cpu_seconds(process.pid) >= 0.25
            assert len(session_processes(process.pid)) == 2
        finally:
            os.killpg(process.pid, signal.SIGKILL)
