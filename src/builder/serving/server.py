"""Serving a model repository with Triton, and leaving nothing behind."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from builder.errors import ServerError
from builder.pipelines.publication import mend_repository
from builder.pipelines.versions import prune_hints
from builder.serving.embedded import EmbeddedTriton, find_embedded_triton
from builder.serving.installed import InstalledTriton, find_installed_triton
from builder.serving.left_out import leaving_out
from builder.serving.repository_view import repository_view
from builder.serving.server_options import (
    SHELL_SAFE,
    ServerOptions,
    check_ports,
    check_repository,
    triton_arguments,
)
from builder.serving.shared_memory import SHM_FOLDER, shared_memory_shortage
from builder.serving.triton_process import TritonServer

# prctl(PR_SET_PDEATHSIG, SIGTERM) holds until the process ends, whatever program it becomes.
ASK_AND_BECOME = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 15); os.execv(sys.argv[1], sys.argv[1:])"
)
FALLBACK_TEMPORARY = "/tmp"  # noqa: S108 - a folder of our own is made in it
SCRATCH_PREFIX = "framewire-"


Triton = EmbeddedTriton | InstalledTriton


@contextmanager
def triton_server(options: ServerOptions) -> Iterator[TritonServer]:
    """Start Triton; on the way out stop it and leave nothing behind.

    Raises:
        EmbeddedUnavailableError: the embedded one cannot run on this machine.
        TritonNotFoundError: there is no installed one where the options say.
        RepositoryError: there is no repository with models that can be served.
        PortTakenError: another program has one of the ports.
    """
    triton, chosen = checked_triton(options)
    with running_triton(triton, chosen) as server:
        yield server


def checked_triton(options: ServerOptions) -> tuple[Triton, ServerOptions]:
    """Check that a server can be started, and mend its repository.

    Returns:
        what to start, and the options with what it has to go without.

    Raises:
        as :func:`triton_server`.
    """
    triton = find_installed_triton(options.triton) if options.triton else find_embedded_triton()
    check_repository(options.repository)
    mend_repository(options.repository)
    chosen = leaving_out(options)
    check_ports(options)
    if shortage := shared_memory_shortage(options.repository, chosen.left_out):
        print(f"framewire: warning: {shortage}", file=sys.stderr)
    for hint in prune_hints(options.repository, chosen.left_out):
        print(f"framewire: {hint}", file=sys.stderr)
    return triton, chosen


@contextmanager
def running_triton(triton: Triton, options: ServerOptions) -> Iterator[TritonServer]:
    """Start a Triton that was checked; on the way out stop it and leave nothing behind.

    Raises:
        ServerError: this machine has no room for another process, or on its disk.
    """
    with ExitStack() as stack:
        try:
            server = _start(triton, options, stack)
        except OSError as error:
            raise ServerError(
                f"Triton cannot be started ({error}): make room for it on this machine, or mend "
                "the folder for temporary files (TMPDIR)"
            ) from error
        yield server


def _start(triton: Triton, options: ServerOptions, stack: ExitStack) -> TritonServer:
    # Process ids repeat where containers share /dev/shm.
    shm_prefix = f"framewire_{os.getpid()}_{secrets.token_hex(4)}_"
    scratch = stack.enter_context(_scratch_folder())
    # A repository may lie anywhere; Triton sees links whose path a shell takes as it is.
    repository = scratch / "repository"
    stack.enter_context(repository_view(options, repository))
    backends = triton.make_backend_directory(scratch)
    stack.callback(_remove_shared_memory, shm_prefix)
    process = subprocess.Popen(
        dying_with_parent(
            [
                str(triton.binary),
                *triton.arguments,
                *triton_arguments(options, repository, backends, shm_prefix),
            ]
        ),
        env={**options.tuning, **triton.environment(os.environ)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # Its own group: a Ctrl-C reaches us alone, and we let Triton finish its requests.
        start_new_session=True,
    )
    server = TritonServer(process, options)
    stack.callback(server.stop)
    return server


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    """Make a folder whose path a shell takes as it is."""
    chosen = tempfile.gettempdir()
    parent = chosen if SHELL_SAFE.fullmatch(chosen) else FALLBACK_TEMPORARY
    with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=parent) as folder:
        yield Path(folder)


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """Return a command line whose process the kernel ends when its parent dies.

    It asks for that and becomes the command, under the same process id. A ``preexec_fn`` would ask
    for it in a fork of this process, and a fork may wait for ever for the threads of gRPC, which
    asks a running server whether it is ready.
    """
    return [sys.executable, "-I", "-S", "-c", ASK_AND_BECOME, *command]


def _remove_shared_memory(prefix: str) -> None:
    for region in SHM_FOLDER.glob(f"{prefix}*"):
        region.unlink(missing_ok=True)


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt as Ctrl-C does, so that everything is cleaned up."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
