"""A running Triton: its log, when it is ready, why it ended, how it is stopped."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from builder.errors import ServerDiedError, ServerKilledError, ServerNotReadyError
from builder.pipelines.load_waits import longest_wait
from builder.pipelines.manifest import pipelines
from builder.pipelines.pipeline_models import has_streams, public_models
from builder.serving.load_failures import load_failures, short_reason
from builder.serving.loading import Loaded, loaded
from builder.serving.local_triton import LocalTriton
from builder.serving.model_processes import ModelProcesses
from builder.serving.server_options import DRAIN_S, ModelControl, ServerOptions
from builder.serving.triton_metrics import TritonMetrics
from builder.serving.version_states import VersionStates
from thin_client.redaction import without_secrets

# For models without a request to end.
UNLOAD_S = 30
POLL_S = 0.05
WATCH_S = 0.5
KILL_AFTER_S: float = DRAIN_S + 10
# After a drain nothing is left to answer, but Triton waits for streams that were not ended until
# they count as silent; nobody can send them anything any more.
KILL_STREAMS_AFTER_S = 10
KEPT_LOG_LINES = 400

# What a Triton without a GPU says to its first request, and what nobody can or need do about.
HARMLESS = re.compile(
    r"pinned_memory_manager\.cc|CudaDriverHelper|CUDA driver version is insufficient"
)
# What C++ says before it aborts.
ABORTED = re.compile(r"terminate called|what\(\):|Assertion .* failed|double free|corrupted")
LOG_LINE = re.compile(r"[IWE]\d{4} \d\d:\d\d:\d\d\.\d+ \d+ \S+\] ")


class TritonServer:
    """A running Triton, and the only thing that stops it."""

    def __init__(self, process: subprocess.Popen[str], options: ServerOptions) -> None:
        self._process = process
        self._options = options
        self._local = LocalTriton(options)
        self._metrics = TritonMetrics(options)
        self._log: deque[str] = deque(maxlen=KEPT_LOG_LINES)
        # Without a GPU a healthy start logs errors about CUDA; until it is ready they only matter
        # if it dies, and then they are quoted.
        self._show_warnings = False
        self._kill_after_s = KILL_AFTER_S
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Process id of ``tritonserver``."""
        return self._process.pid

    @property
    def grpc_url(self) -> str:
        """Address for a client on this machine."""
        return f"{self._options.local_address}:{self._options.grpc_port}"

    @property
    def version(self) -> str | None:
        """Version of a Triton that is ready, as ``2.51.0``; None when it does not say."""
        return self._local.version()

    @property
    def local(self) -> LocalTriton:
        """What this machine asks it."""
        return self._local

    @property
    def metrics(self) -> TritonMetrics:
        """Its metrics port."""
        return self._metrics

    def death(self) -> ServerDiedError | None:
        """Return why it ended, or None while it runs."""
        return None if self._process.poll() is None else self._death()

    def kill(self) -> None:
        """End Triton and its stubs at once; requests in flight get no answer."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def wait_until_ready(self, timeout_s: float | None = None) -> tuple[str, ...]:
        """Wait until every model is ready; return the models' names.

        Args:
            timeout_s: seconds to wait; as long as the pipelines say when None.

        Raises:
            ServerDiedError: Triton ended, with the reason its log gives.
            ServerNotReadyError: it did not become ready in time, with the models it waits for.
        """
        if timeout_s is None:
            timeout_s = longest_wait(self._options.repository)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            models = self._states()
            if models and all(_is_ready(versions) for versions in models.values()):
                self._show_warnings = True
                return tuple(sorted(models))
            time.sleep(POLL_S)
        raise self._not_ready(timeout_s)

    def wait_until_loaded(self) -> Loaded:
        """Wait until Triton has tried to load everything; return what is served and what is not.

        What is loaded of a pipeline that is not served is unloaded, where Triton takes such orders
        (``ModelControl.EXPLICIT``). With ``exit_on_error`` as :meth:`wait_until_ready`.

        Raises:
            ServerDiedError: Triton ended, or nothing at all did load, with the reasons.
            ServerNotReadyError: it was not done in time.
        """
        if self._options.exit_on_error:
            return Loaded(self.wait_until_ready(), {})
        timeout_s = longest_wait(self._options.repository)
        deadline = time.monotonic() + timeout_s
        # Triton opens its ports when it has tried to load everything.
        while not (states := self._states()):
            if time.monotonic() > deadline:
                raise self._not_ready(timeout_s)
            time.sleep(POLL_S)
        reasons = {**load_failures(list(self._log)), **self._local.model_reasons()}
        found = loaded(self._options, states, reasons)
        if not found.models:
            raise ServerDiedError("nothing can be served: " + "; ".join(found.missing.values()))
        if found.halves and self._options.control is ModelControl.EXPLICIT:
            self._local.unload(found.halves, UNLOAD_S)
        self._show_warnings = True
        return found

    def _states(self) -> VersionStates:
        if self._process.poll() is not None:
            raise self._death()
        return self._local.model_states()

    def _not_ready(self, timeout_s: float) -> ServerNotReadyError:
        models = self._local.model_states()
        waiting = [name for name, versions in models.items() if not _is_ready(versions)]
        return ServerNotReadyError(
            f"Triton was not ready after {timeout_s:g} s"
            + (f", it still waits for {', '.join(sorted(waiting))}" if waiting else "")
            + ": run `framewire serve --verbose` to see what it does"
        )

    def wait(self) -> None:
        """Block until Triton or the process of a model ends by itself.

        Raises:
            ServerDiedError: always; ending is for :meth:`stop`.
        """
        processes = ModelProcesses(self.pid)
        while self._process.poll() is None:
            died = processes.died(self._local.model_states, self._local.model_instances)
            if died and self._process.poll() is None:
                raise ServerDiedError(
                    f"the process of model {died.model} ended (out of memory, perhaps: see the "
                    "kernel's log), and Triton does not start it again: start the server again"
                )
            time.sleep(WATCH_S)
        raise self._death()

    def drain(self) -> None:
        """Refuse new requests to the pipelines, and wait until those accepted are answered.

        Triton's own way to end refuses the next step of a request that is on its way through a
        pipeline. Here the models that clients call are unloaded first, while their steps stay.
        Does nothing where Triton takes no such orders (``ModelControl.POLL`` and ``NONE``).

        Raises:
            KeyboardInterrupt: another signal came; everything is ended without an answer.
        """
        try:
            self._drain()
        except KeyboardInterrupt:
            self.kill()
            raise

    def _drain(self) -> None:
        if self._options.control is not ModelControl.EXPLICIT or not self._local.model_states():
            return  # the latter: it has taken no request yet
        repository = self._options.repository
        public = tuple(
            model
            for name in pipelines(repository)
            for model in public_models(name, streams=has_streams(repository, name))
        )
        if self._local.unload(public, DRAIN_S):
            if any(has_streams(repository, name) for name in pipelines(repository)):
                self._kill_after_s = KILL_STREAMS_AFTER_S
        elif self._process.poll() is None:
            print(
                f"framewire: warning: requests were still unanswered after {DRAIN_S} s and are "
                "given up",
                file=sys.stderr,
                flush=True,
            )

    def stop(self) -> None:
        """Let requests in flight finish, then end Triton and its stubs; at once if interrupted."""
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                self._process.wait(self._kill_after_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            # Stubs outlive a Triton that was killed; they are in its session and so in its group.
            self.kill()
            self._process.wait()
            self._reader.join(timeout=5)

    def _read_log(self) -> None:
        # Always read to the end: a full pipe would stop Triton.
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        with self._process.stdout as log:
            for said in log:
                # Where it names the collector that it was given, it is without the password.
                line = without_secrets(said)
                self._log.append(line.rstrip("\n"))
                if self._options.verbose or (self._show_warnings and _is_warning(line)):
                    with suppress(OSError):  # nobody reads it any more, or its disk is full
                        sys.stderr.write(line)

    def _death(self) -> ServerDiedError:
        # Processes of models outlive a Triton that was killed, and hold the end of its log.
        self.kill()
        self._reader.join(timeout=5)
        code = self._process.returncode
        reason = _reason(list(self._log))
        if code < 0:
            if code == -signal.SIGKILL:
                # It could not say why, and what is last in its log is about something else.
                reason = "out of memory, perhaps: see the kernel's log"
            return ServerKilledError(f"Triton was killed by {_signal_name(-code)} ({reason})")
        return ServerDiedError(f"Triton exited with {code}: {reason}")


def _signal_name(number: int) -> str:
    with suppress(ValueError):  # those for real time have no names
        return signal.Signals(number).name
    return f"signal {number}"


def _is_ready(versions: Mapping[int, str]) -> bool:
    # A version that was unloaded stays in the index.
    states = set(versions.values())
    return "READY" in states and "LOADING" not in states


def _is_warning(line: str) -> bool:
    return line.startswith(("W", "E")) and not HARMLESS.search(line)


def _reason(log: list[str]) -> str:
    if failures := load_failures(log):
        return "; ".join(
            f"model {model} did not load: {short_reason(why)}" for model, why in failures.items()
        )
    aborted = [line.strip() for line in log if ABORTED.search(line)]
    if aborted:
        return " ".join(aborted[-2:])
    polls = [line.split("] ", 1)[-1] for line in log if "Poll failed for model" in line]
    errors = polls or [
        LOG_LINE.sub("", line)
        for line in log
        if line.startswith(("E", "error:")) and not HARMLESS.search(line)
    ]
    last = errors or [line for line in log if line.strip()]
    return last[-1].strip('" ') if last else "it logged nothing; run `framewire serve --verbose`"
