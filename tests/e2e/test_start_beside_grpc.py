"""Servers are started while gRPC is at work in the same process, and must not wait for it."""

from __future__ import annotations

import subprocess
import sys

from tests.serving import Serving

STARTS = """
import subprocess, sys
from thin_client.connection import Connection
from builder.serving.running_server import model_states
from builder.serving.server import dying_with_parent
for _ in range(150):
    assert model_states(Connection(sys.argv[1]))
    subprocess.run(dying_with_parent(["/bin/true"]), check=True)
"""


def test_starting_a_process_never_waits_for_grpc(server: Serving) -> None:
    subprocess.run([sys.executable, "-c", STARTS, server.url], check=True, timeout=120)
