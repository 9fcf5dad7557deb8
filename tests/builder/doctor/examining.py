"""Running ``framewire doctor`` and reading what it says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.serving.ports import free_ports
from tests.conftest import ROOT
from tests.serving import framewire

# Of a namespace of its own, whose mounts nobody else sees; as whoever runs the tests.
PRIVATE_MOUNTS = ("unshare", "--user", "--map-root-user", "--mount")
PORT_OPTIONS = ("--grpc-port", "--http-port", "--metrics-port", "--health-port")


@dataclass(frozen=True)
class Said:
    """What it said, and how it ended."""

    code: int
    report: dict[str, Any]
    errors: str

    def names(self, *severities: str) -> set[str]:
        """Names of the findings, of all severities or of those given."""
        return {
            each["name"]
            for each in self.report["findings"]
            if not severities or each["severity"] in severities
        }

    def the(self, name: str) -> str:
        """Severity, sentence and mend of the only finding of a name."""
        (text,) = self.all_of(name)
        return text

    def all_of(self, name: str) -> list[str]:
        """Severity, sentence and mend of each finding of a name."""
        return [
            f"{each['severity']}: {each['sentence']} | {each['mend']}"
            for each in self.report["findings"]
            if each["name"] == name
        ]


def doctor(
    *options: str | Path,
    before: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> Said:
    """Run it in a process of its own, after the words of ``before``."""
    command = [*before, *command_line(*options)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=folder
    )
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout.startswith("{"), (done.stdout, done.stderr)
    said = Said(done.returncode, json.loads(done.stdout), done.stderr)
    assert said.code == int(not said.report["healthy"])
    return said


def command_line(*options: str | Path) -> list[str]:
    """It, in JSON, with free ports unless a server is named, and a short look."""
    given = list(map(str, options))
    if "--url" not in given and "--grpc-port" not in given:
        ports = zip(PORT_OPTIONS, free_ports(4), strict=True)
        given += [str(word) for pair in ports for word in pair]
    if "--watch-seconds" not in given:
        given += ["--watch-seconds", "0.2"]
    return framewire("doctor", "--json", *given)


def with_shared_memory(megabytes: int, *preparing: str) -> list[str]:
    """Words that run a command with a /dev/shm of its own of this size, after shell commands."""
    lines = (f"mount -t tmpfs -o size={megabytes}m tmpfs /dev/shm", *preparing, 'exec "$@"')
    return [*PRIVATE_MOUNTS, "sh", "-c", " && ".join(lines), "sh"]
