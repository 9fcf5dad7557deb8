"""Triton's messages without the client that they come with."""

from __future__ import annotations

import subprocess
import sys

import pytest

CLIENT_FIRST = "from tritonclient.grpc import model_config_pb2, service_pb2"
OURS_FIRST = "from builder.pipelines.config_messages import pb"
CHECK = """
{first}
from builder.pipelines.config_messages import pb
from tritonclient.grpc import model_config_pb2, service_pb2
assert pb is model_config_pb2
answer = service_pb2.ModelConfigResponse(config=pb.ModelConfig(name="codes"))
assert isinstance(answer.config, pb.ModelConfig)
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_they_bring_no_grpc_and_no_numpy() -> None:
    done = run(
        f"import sys; {OURS_FIRST}; pb.ModelConfig(); "
        "print([name for name in ('grpc', 'numpy') if name in sys.modules])"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("first", [CLIENT_FIRST, OURS_FIRST])
def test_whoever_comes_first_the_client_has_the_same_messages(first: str) -> None:
    done = run(CHECK.format(first=first))
    assert done.returncode == 0, done.stderr


def test_without_the_client_it_says_what_is_missing() -> None:
    done = run(f"import sys; sys.modules['tritonclient'] = None; {OURS_FIRST}")
    assert "tritonclient" in done.stderr.splitlines()[-1]
