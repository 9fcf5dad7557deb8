"""Running trtexec: minutes of work, told line by line, and one sentence when it fails."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from builder.errors import TrtexecError

# "[11/21/2026-08:10:57] [I] [TRT] "
PREFIX = re.compile(r"^\[[\d/:-]+\] \[[A-Z]\] (?:\[TRT\] )?")
ERROR = re.compile(r"^\[[\d/:-]+\] \[E\] ")
# What trtexec says after every failure; what went wrong stands above them.
SAID_ANYWAY = (
    "Failed to parse onnx file",
    "Parsing model failed",
    "Engine could not be created from network",
    "Building engine failed",
    "Failed to create engine from model or file.",
    "Engine set up failed",
    "--- Begin node ---",
    "--- End node ---",
)
SHOWN_ERRORS = 3
STOP_TIMEOUT_S = 10

Progress = Callable[[float, str], None]
"""Called with the seconds gone by and the last line that trtexec printed."""


def run_trtexec(
    command: Sequence[str],
    environment: Mapping[str, str],
    *,
    log: Path,
    progress: Progress,
    interval_s: float,
) -> str:
    """Run trtexec to its end and return all it printed.

    Args:
        command: the program and its arguments.
        environment: variables to set for it.
        log: file that gets everything it prints.
        progress: called every ``interval_s`` seconds.
        interval_s: seconds between two calls.

    Raises:
        TrtexecError: it cannot be started, failed or was killed.
        KeyboardInterrupt: passed on, once trtexec has ended.
    """
    start = time.monotonic()
    try:
        process = subprocess.Popen(
            list(command),
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, no lock is taken
        )
    except OSError as error:
        raise TrtexecError(
            f"{command[0]} cannot be run ({error.strerror}): install libnvinfer-bin again"
        ) from error
    lines: list[str] = []
    with process, log.open("w") as copy:
        reader = threading.Thread(target=_read, args=(process, lines, copy), daemon=True)
        reader.start()
        try:
            while True:
                try:
                    process.wait(interval_s)
                    break
                except subprocess.TimeoutExpired:
                    progress(time.monotonic() - start, _without_prefix(lines[-1:]))
        finally:
            _stop(process)
            reader.join()
    if process.returncode:
        raise TrtexecError(_failure(process.returncode, lines, log))
    return "".join(lines)


def _read(process: subprocess.Popen[str], lines: list[str], copy: TextIO) -> None:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    for line in process.stdout:
        lines.append(line)
        copy.write(line)


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _without_prefix(lines: Sequence[str]) -> str:
    return PREFIX.sub("", lines[-1]).strip() if lines else ""


def _failure(code: int, lines: Sequence[str], log: Path) -> str:
    said = [_without_prefix([line]) for line in lines if ERROR.match(line)]
    telling = [line for line in said if not line.endswith(SAID_ANYWAY) and line] or said
    last = telling[-SHOWN_ERRORS:] or [_without_prefix(lines) or "it printed nothing"]
    if code < 0:
        end = f"was killed by {signal.Signals(-code).name}"
        fix = "it may lack memory: try a smaller --max-batch or --workspace"
    else:
        end = f"failed with exit code {code}"
        fix = "`framewire check --tensorrt` names the nodes that TensorRT does not accept"
    return f"trtexec {end} ({'; '.join(last)}): {fix}; all it said is in {log}"


def _die_with_parent() -> None:
    # Nothing here has used gRPC, whose threads a fork may wait for.
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
