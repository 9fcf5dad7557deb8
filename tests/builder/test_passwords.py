"""No password of an address comes out of ``framewire`` again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from builder import errors
from builder.serving.server_options import ServerOptions
from builder.serving.triton_process import TritonServer
from tests.conftest import ROOT
from tests.serving import framewire

SECRET = "g3h-31m"  # noqa: S105
USER = f"admin:{SECRET}@"
IMAGE = str(ROOT / "samples" / "desk.jpg")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("load", "tiny", "--url", f"grpcs://{USER}triton:8001"), "grpcs://***@triton:8001 names"),
        (("load", "tiny", "--url", f"{USER}triton:8001"), "***@triton:8001 names a user"),
        (("load", "tiny", "--url", f"http://{USER}triton"), "http://***@triton is an HTTP"),
        (("bench", IMAGE, "--url", f"{USER}triton:8001"), "***@triton:8001 names a user"),
        (("doctor", "--url", f"{USER}triton:8001"), "***@triton:8001 names a user"),
        (("doctor", "--json", "--url", f"http://{USER}triton"), "http://***@triton is an HTTP"),
        (("gateway", "--url", f"{USER}triton:8001"), "***@triton:8001 names a user"),
        (("gateway", "--header", f"Bearer {SECRET}"), "--header must be NAME=VALUE"),
        (("gateway", "--origin", f"https://{USER}shop.example"), "'https://***@shop.example'"),
        (("serve", "--trace-to", f"ftp://{USER}collector/v1"), "got 'ftp://***@collector/v1'"),
        (("serve", "--trace-to", f"collector/v1?key={SECRET}"), "got 'collector/v1?key=***'"),
        # What the parsers quote.
        (("serve", "--poll-seconds", f"http://{USER}collector"), "'http://***@collector'"),
        (("health", "--http-port", f"http://{USER}triton"), "'http://***@triton'"),
        (("list", f"http://{USER}models"), "unrecognized arguments: http://***@models"),
        (("inspect", f"http://{USER}models/tiny.onnx"), "http:/***@models/tiny.onnx"),
    ],
)
def test_of_an_argument_that_cannot_be(
    arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        framewire(*arguments),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert done.returncode in {1, 2}
    assert SECRET not in done.stdout + done.stderr
    assert said in done.stderr, done.stderr


@pytest.mark.parametrize("name", errors.__all__)
def test_no_error_of_the_builder_tells_a_password(name: str) -> None:
    error = getattr(errors, name)(f"no traces to https://{USER}collector/v1?key={SECRET}: refused")
    for text in (str(error), repr(error)):
        assert SECRET not in text
        assert "https://***@collector/v1?key=***: refused" in text


@pytest.mark.parametrize("verbose", [True, False])
def test_of_a_log_that_names_a_collector(
    verbose: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Releases of Triton differ in what they say of their options.
    said = f"error: no traces to https://{USER}collector/v1?key={SECRET}: refused"
    process = subprocess.Popen(
        [sys.executable, "-c", f"print({said!r}); exit(1)"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    server = TritonServer(process, ServerOptions(tmp_path, verbose=verbose))
    with pytest.raises(errors.ServerDiedError) as caught:
        server.wait_until_ready()
    server.stop()
    shown = "no traces to https://***@collector/v1?key=***: refused"
    assert shown in str(caught.value)
    told = capsys.readouterr().err
    assert (shown in told) == verbose
    assert SECRET not in told + str(caught.value)
