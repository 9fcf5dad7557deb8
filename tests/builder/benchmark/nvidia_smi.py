"""A stand-in for nvidia-smi, for a machine that has none."""

from __future__ import annotations

from pathlib import Path


def nvidia_smi(folder: Path, script: str) -> None:
    """Put one into a folder that is to be on PATH."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
