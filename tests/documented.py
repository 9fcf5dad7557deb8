"""Running what the documents tell people to type."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.heads.sources import QUIET


def run(command: list[str], folder: Path) -> str:
    """Run a command that must succeed and return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **QUIET},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
