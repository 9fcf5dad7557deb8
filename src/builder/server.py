"""Running Triton in the foreground: start it, know when it is ready, say why it ended."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from builder.embedded import find_embedded_triton
from builder.errors import (
    PortTakenError,
    RepositoryError,
    ServerDiedError,
    ServerNotReadyError,
)
from builder.shared_memory import (
    SHM_DEFAULT_BYTES,
    SHM_FOLDER,
    SHM_GROWTH_BYTES,
    shared_memory_shortage,
)

LOOPBACK = "127.0.0.1"
POLL_S = 0.1
# Triton gives requests in flight this long when it is told to stop; then it is killed.
DRAIN_S = 30
KILL_AFTER_S = DRAIN_S + 10
KEPT_LOG_LINES = 400

# glibc returns the pages of each decoded frame to the kernel and faults them in again for the next:
# half the time of a 1080p decode (docs/performance.md). These make it keep them.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**28),
}
# One frame, one thread: the served models bring their own threads, one for each core.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# What a Triton without a GPU says to its first request, and what nobody can or need do about.
HARMLESS = re.compile(r"pinned_memory_manager\.cc")
LOAD_FAILURE = re.compile(r"failed to load '(?P<model>[^']+)' version \d+: (?P<reason>.*)")
LOG_LINE = re.compile(r"[IWE]\d{4} \d\d:\d\d:\d\d\.\d+ \d+ \S+\] ")


@dataclass(frozen=True)
class ServerOptions:
    """How to serve a model repository.

    Attributes:
        repository: the Triton model repository.
        address: to listen on; anything but loopback exposes a Triton with known holes.
        grpc_port: of the KServe v2 gRPC endpoint.
        http_port: of the HTTP endpoint.
        metrics_port: of the Prometheus metrics.
        verbose: whether to pass all of Triton's log through, not only warnings and errors.
    """

    repository: Path
    address: str = LOOPBACK
    grpc_port: int = 8001
    http_port: int = 8000
    metrics_port: int = 8002
    verbose: bool = False

    @property
    def ports(self) -> dict[str, int]:
        """The ports by what they serve."""
        return {"grpc": self.grpc_port, "http": self.http_port, "metrics": self.metrics_port}


class TritonServer:
    """A running Triton, and the only thing that stops it."""

    def __init__(self, process: subprocess.Popen[str], options: ServerOptions) -> None:
        self._process = process
        self._options = options
        self._log: deque[str] = deque(maxlen=KEPT_LOG_LINES)
        # Without a GPU a healthy start logs errors about CUDA; until it is ready they only matter
        # if it dies, and then they are quoted.
        self._show_warnings = False
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id of ``tritonserver``."""
        return self._process.pid

    @property
    def grpc_url(self) -> str:
        """Address for a client on this machine."""
        return f"{_reachable(self._options.address)}:{self._options.grpc_port}"

    def wait_until_ready(self, timeout_s: float = 120) -> tuple[str, ...]:
        """Wait until every model is ready; return the models' names.

        Raises:
            ServerDiedError: Triton ended, with the reason its log gives.
            ServerNotReadyError: it did not become ready in time, with the models it waits for.
        """
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise self._death()
            models = _model_states(self.grpc_url)
            if models and all(state == "READY" for state in models.values()):
                self._show_warnings = True
                return tuple(sorted(models))
            time.sleep(POLL_S)
        waiting = [name for name, state in _model_states(self.grpc_url).items() if state != "READY"]
        raise ServerNotReadyError(
            f"Triton was not ready after {timeout_s:g} s"
            + (f", it still waits for {', '.join(sorted(waiting))}" if waiting else "")
            + ": run `framewire serve --verbose` to see what it does"
        )

    def wait(self) -> None:
        """Block until Triton ends by itself.

        Raises:
            ServerDiedError: always; ending is for :meth:`stop`.
        """
        self._process.wait()
        raise self._death()

    def stop(self) -> None:
        """Let requests in flight finish, end Triton and its stubs."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(KILL_AFTER_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _kill_group(self._process.pid)
        self._reader.join(timeout=5)

    def _read_log(self) -> None:
        # Always read to the end: a full pipe would stop Triton.
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        for line in self._process.stdout:
            self._log.append(line.rstrip("\n"))
            if self._options.verbose or (self._show_warnings and _is_warning(line)):
                sys.stderr.write(line)

    def _death(self) -> ServerDiedError:
        self._reader.join(timeout=5)
        code = self._process.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
        return ServerDiedError(f"Triton {how}: {_reason(list(self._log))}")


def _is_warning(line: str) -> bool:
    return line.startswith(("W", "E")) and not HARMLESS.search(line)


def _reason(log: list[str]) -> str:
    failures = [match for line in log if (match := LOAD_FAILURE.search(line))]
    if failures:
        # What follows "At:" is a traceback, which the log above has in full.
        reasons = {match["model"]: match["reason"].split(r"\n\nAt:")[0] for match in failures}
        return "; ".join(f"model {model} did not load: {why}" for model, why in reasons.items())
    errors = [LOG_LINE.sub("", line) for line in log if line.startswith(("E", "error:"))]
    last = errors or [line for line in log if line.strip()]
    return last[-1].strip('" ') if last else "it logged nothing; run `framewire serve --verbose`"


@contextmanager
def triton_server(options: ServerOptions) -> Iterator[TritonServer]:
    """Start the embedded Triton; on the way out stop it and leave nothing behind.

    Raises:
        EmbeddedUnavailableError: it cannot run on this machine.
        RepositoryError: there is no repository with models.
        PortTakenError: another program has one of the ports.
    """
    triton = find_embedded_triton()
    _check_repository(options.repository)
    _check_ports(options)
    if shortage := shared_memory_shortage(options.repository):
        print(f"framewire: warning: {shortage}", file=sys.stderr)
    shm_prefix = f"framewire_{os.getpid()}_{options.grpc_port}_"
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="framewire-")))
        stack.callback(_remove_shared_memory, shm_prefix)
        process = subprocess.Popen(
            [
                str(triton.binary),
                *triton_arguments(options, triton.make_backend_directory(scratch), shm_prefix),
            ],
            env={**ALLOCATOR, **ONE_THREAD, **triton.environment(os.environ)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # Its own group: a Ctrl-C reaches us alone, and we let Triton finish its requests.
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, no lock is taken
        )
        server = TritonServer(process, options)
        stack.callback(server.stop)
        yield server


def triton_arguments(options: ServerOptions, backend_directory: Path, shm_prefix: str) -> list[str]:
    """Return Triton's command line; every setting is explained where it is not plain."""
    return [
        f"--model-repository={options.repository}",
        f"--backend-directory={backend_directory}",
        f"--grpc-address={options.address}",
        f"--grpc-port={options.grpc_port}",
        f"--http-address={options.address}",
        f"--http-port={options.http_port}",
        f"--metrics-address={options.address}",
        f"--metrics-port={options.metrics_port}",
        # The configs are complete: completing them would start every stub twice.
        "--disable-auto-complete-config",
        "--allow-gpu-metrics=false",
        "--pinned-memory-pool-byte-size=0",
        f"--exit-timeout-secs={DRAIN_S}",
        f"--backend-config=python,shm-default-byte-size={SHM_DEFAULT_BYTES}",
        f"--backend-config=python,shm-growth-byte-size={SHM_GROWTH_BYTES}",
        # A name of our own, so that we can remove what a crashed stub leaves and nothing else.
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        # Clients keep idle connections alive; Triton's default calls that abuse and hangs up.
        "--grpc-keepalive-permit-without-calls=true",
        "--grpc-http2-min-recv-ping-interval-without-data=5000",
    ]


def _check_repository(repository: Path) -> None:
    if not repository.is_dir():
        raise RepositoryError(
            f"there is no model repository {repository}: make one with `framewire build MODEL.onnx "
            f"--name NAME --repository {repository}`"
        )
    if not any(repository.glob("*/config.pbtxt")):
        raise RepositoryError(
            f"{repository} holds no models: make some with `framewire build MODEL.onnx "
            f"--name NAME --repository {repository}`"
        )


def _check_ports(options: ServerOptions) -> None:
    if len(set(options.ports.values())) != len(options.ports):
        raise PortTakenError(
            f"the ports {options.ports} must differ: choose others with --grpc-port, --http-port "
            "and --metrics-port"
        )
    for purpose, port in options.ports.items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As servers do: a connection that is still closing does not count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((options.address, port))
            except OSError as error:
                raise PortTakenError(
                    f"port {port} on {options.address} cannot be used for {purpose} "
                    f"({error.strerror}): stop the program that has it, or choose another with "
                    f"--{purpose}-port"
                ) from error


def _model_states(grpc_url: str) -> Mapping[str, str]:
    """Return the state of every model, or nothing while the server does not answer."""
    # Imported late: it takes a third of a second, and `framewire --help` needs none of it.
    from tritonclient.grpc import InferenceServerClient  # noqa: PLC0415
    from tritonclient.utils import InferenceServerException  # noqa: PLC0415

    try:
        with InferenceServerClient(grpc_url) as client:
            if not client.is_server_live(client_timeout=1):
                return {}
            index = client.get_model_repository_index(client_timeout=5)
    except InferenceServerException:
        return {}
    return {model.name: model.state for model in index.models}


def _reachable(address: str) -> str:
    return LOOPBACK if address in {"0.0.0.0", "::"} else address  # noqa: S104 - compared, not bound


def _die_with_parent() -> None:
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _kill_group(group: int) -> None:
    # Stubs outlive a Triton that was killed; they are in its session and so in its group.
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _remove_shared_memory(prefix: str) -> None:
    for region in SHM_FOLDER.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


class _Stopped(Exception):  # noqa: N818 - not an error: somebody asked us to stop
    """Raised in the main thread by SIGTERM."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Leave the block quietly on SIGTERM or Ctrl-C."""

    def stop(*_: object) -> None:
        raise _Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except (_Stopped, KeyboardInterrupt):
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


def serve(options: ServerOptions) -> None:
    """Serve in the foreground until a signal comes, printing one line when ready."""
    with stopped_by_signals(), triton_server(options) as server:
        models = server.wait_until_ready()
        print(
            f"ready: {', '.join(models)} on gRPC {options.address}:{options.grpc_port}, "
            f"HTTP {options.http_port}, metrics {options.metrics_port}",
            flush=True,
        )
        server.wait()
