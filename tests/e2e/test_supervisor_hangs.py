"""Models that hang, noticed whichever of their processes does and whoever sends requests."""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tritonclient.utils import InferenceServerException

from tests.certificates import make_certificates
from tests.e2e.wire import infer
from tests.serving import serving
from tests.supervised import (
    PATIENCE_S,
    PUBLIC,
    SQUARE,
    assert_mended,
    is_ready,
    lines,
    wait_until,
)
from tests.swapping import Traffic

# A request of a user's, and not the supervisor's own, meets it; once.
HANG = """
import os, threading, time


def _hang(self, requests, execute=TritonPythonModel.execute):
    canary = requests[0].request_id() == "framewire-canary"
    if canary or not os.path.exists({file!r}):
        return execute(self, requests)
    os.unlink({file!r})
    {how}


TritonPythonModel.execute = _hang
"""
# The canary itself meets it; once.
HANG_OF_CANARIES = """
import os, time


def _hang(self, requests, execute=TritonPythonModel.execute):
    while os.path.exists({file!r}) and requests[0].request_id() == "framewire-canary":
        time.sleep(0.01)
    return execute(self, requests)


TritonPythonModel.execute = _hang
"""
LOCKED = "lock = threading.Lock(); lock.acquire(); lock.acquire()"
WAITING = "while True: time.sleep(0.01)"


def with_code(repository: Path, copy: Path, model: str, code: str) -> Path:
    """A copy of a repository, in which a model has some more code."""
    shutil.copytree(repository, copy)
    with (copy / model / "1" / "model.py").open("a") as file:
        file.write(code)
    return copy


@pytest.mark.parametrize(
    ("model", "how", "told"),
    [
        # Of two processes: the other one answers every canary.
        ("preprocess", LOCKED, r"tiny_preprocess: its process \d+ is stuck"),
        ("bls", LOCKED, r"tiny_bls: its process \d+ is stuck"),
        # Of one: whichever is noticed first.
        ("postprocess", LOCKED, r"tiny_postprocess: its process \d+ is stuck|tiny: it has not ans"),
        # Its process does something, if not what it should; the ensemble is what does not answer.
        ("postprocess", WAITING, r"tiny(_stream)?: it has not answered a canary for"),
    ],
)
def test_a_model_that_hangs_is_mended(
    streaming_repository: Path, tmp_path: Path, model: str, how: str, told: str
) -> None:
    file = tmp_path / "hang"
    hang = HANG.format(file=str(file), how=how)
    copy = with_code(streaming_repository, tmp_path / "repository", f"tiny_{model}", hang)
    with serving(copy) as server, ThreadPoolExecutor(1) as thread:
        file.touch()
        met = thread.submit(infer, server.url, "tiny_bls" if model == "bls" else "tiny", [SQUARE])
        assert re.search(told, assert_mended(server, 0))
        # Not for ever: whoever sent it may send it again.
        with pytest.raises(InferenceServerException, match="UNAVAILABLE"):
            met.result(PATIENCE_S)


def test_what_can_only_be_told_by_its_process_is_told_under_load(
    streaming_repository: Path, tmp_path: Path
) -> None:
    file = tmp_path / "hang"
    hang = HANG.format(file=str(file), how=LOCKED)
    copy = with_code(streaming_repository, tmp_path / "repository", "tiny_preprocess", hang)
    with serving(copy) as server, Traffic(server.url, SQUARE, PUBLIC, threads_each=4):
        file.touch()
        assert "tiny_preprocess: its process" in assert_mended(server, 0)


def test_canaries_get_through_where_others_need_certificates_and_a_key(
    streaming_repository: Path, tmp_path: Path
) -> None:
    file = tmp_path / "hang"
    hang = HANG_OF_CANARIES.format(file=str(file))
    copy = with_code(streaming_repository, tmp_path / "repository", "tiny_postprocess", hang)
    certificates = make_certificates(tmp_path)
    with serving(
        copy,
        *("--tls-certificate", str(certificates / "server.pem")),
        *("--tls-key", str(certificates / "server.key")),
        *("--tls-client-ca", str(certificates / "ca.pem")),
        "--restrict",
    ) as server:
        file.touch()
        wait_until(lambda: not is_ready(server), server.error_text)
        file.unlink()
        wait_until(lambda: is_ready(server), server.error_text)
        assert "has not answered a canary for" in "\n".join(lines(server))
