"""What ``framewire start`` would serve, without a Triton; and one as containers have it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path

from builder.serving.embedded import find_embedded_triton
from builder.serving.server_options import ServerOptions
from builder.serving.supervision.supervisor import Supervision

Look = Callable[[Path], None]


class Served:
    """What ``serve`` was given; ``look`` is called while it would serve."""

    def __init__(self) -> None:
        self.repositories: list[Path] = []
        self.left_out: list[Mapping[str, str]] = []
        self.look: Look = lambda _repository: None

    def __call__(self, options: ServerOptions, _supervision: Supervision | None) -> None:
        self.repositories.append(options.repository)
        self.left_out.append(options.left_out)
        self.look(options.repository)


def installed_triton(folder: Path, first: str = "true") -> Path:
    """A program that is the embedded Triton, laid out as an installed one.

    Args:
        folder: for it.
        first: what it does before it starts, for bash.
    """
    embedded = find_embedded_triton()
    program = folder / "opt" / "bin" / "tritonserver"
    program.parent.mkdir(parents=True)
    embedded.make_backend_directory(folder / "opt")
    environment = embedded.environment({"PATH": os.environ["PATH"]})
    options = [*embedded.arguments, '"$@"']
    program.write_text(
        f"""#!/bin/bash
{first}
export {" ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())}
exec {embedded.binary} {" ".join(options)}
"""
    )
    program.chmod(0o755)
    return program
