"""The two programs that Model Analyzer starts: the embedded Triton and perf_analyzer, made ready.

Each is a small shell script that sets what its program needs and becomes it. Model Analyzer's own
``triton_server_flags`` would not do: it takes each flag once, and ``--backend-config`` is needed
several times. It also gives one environment to both programs, which need different libraries.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from builder.benchmark.perf_analyzer import PerfAnalyzer
from builder.serving.embedded import PYTHON_VARIABLES, EmbeddedTriton
from builder.serving.server import dying_with_parent
from builder.serving.server_options import ServerOptions, triton_arguments

# Model Analyzer gives the server these itself.
ITS_ARGUMENTS = frozenset(
    {
        "--grpc-port",
        "--http-port",
        "--metrics-port",
        "--model-control-mode",
        "--model-repository",
    }
)


def write_server(
    triton: EmbeddedTriton, options: ServerOptions, repository: Path, backends: Path, file: Path
) -> Path:
    """Write a program that is the embedded Triton with the settings of ``framewire serve``.

    Args:
        triton: the embedded server.
        options: its addresses.
        repository: path of the model repository that a shell takes as it is.
        backends: likewise, with the Python backend and its stub.
        file: to write; returned.
    """
    prefix = f"framewire_analyzer_{options.grpc_port}_"
    arguments = [
        argument
        for argument in triton_arguments(options, repository, backends, prefix)
        if argument.partition("=")[0] not in ITS_ARGUMENTS
    ]
    environment = {**options.tuning, **triton.environment(os.environ)}
    needed = ("LD_LIBRARY_PATH", "PATH", *options.tuning)
    # Model Analyzer starts it in a session of its own, where it would outlive a kill.
    command = dying_with_parent([str(triton.binary)])
    return _write_program(file, command, arguments, {name: environment[name] for name in needed})


def write_perf_analyzer(analyzer: PerfAnalyzer, file: Path) -> Path:
    """Write a program that is perf_analyzer with the libraries it needs; return ``file``."""
    libraries = {"LD_LIBRARY_PATH": analyzer.environment()["LD_LIBRARY_PATH"]}
    return _write_program(file, [str(analyzer.program.absolute())], [], libraries)


def _write_program(
    file: Path, command: Sequence[str], arguments: Sequence[str], environment: Mapping[str, str]
) -> Path:
    """Write a program that becomes a command, with the caller's arguments before ``arguments``."""
    lines = [
        "#!/bin/sh",
        f"unset {' '.join(sorted(PYTHON_VARIABLES))}",
        *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
        " ".join(["exec", shlex.join(command), '"$@"', shlex.join(arguments)]).rstrip(),
    ]
    file.write_text("\n".join(lines) + "\n")
    file.chmod(0o755)
    return file
