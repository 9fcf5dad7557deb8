"""What docs/gateway.md tells people to type and to expect is so."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import sys

from builder.commands.gateway import add_gateway
from builder.gateway import answers, session
from builder.gateway.app import CLOSE_TRY_AGAIN_LATER
from builder.gateway.frames import CLOSE_INVALID_PAYLOAD, CLOSE_UNSUPPORTED_DATA
from builder.gateway.settings import Limits
from tests.conftest import ROOT
from tests.documented import run
from tests.gateway.running import Gateway
from thin_client import errors
from thin_client.contract import ImageStatus

DOCUMENT = (ROOT / "docs" / "gateway.md").read_text()


def test_every_option_is_explained() -> None:
    commands = argparse.ArgumentParser().add_subparsers()
    add_gateway(commands)
    for action in commands.choices["gateway"]._actions:
        if action.dest != "help":
            assert f"`{action.option_strings[0]}" in DOCUMENT or (
                f" {action.option_strings[0]} " in DOCUMENT
            ), action.option_strings


def test_every_limit_has_its_default() -> None:
    limits = Limits()
    for option, default in (
        ("in-flight", f"{limits.in_flight}"),
        ("max-frames-per-second", f"{limits.frames_per_s:g}"),
        ("max-message-bytes", f"{limits.message_bytes // 2**20} MiB"),
        ("max-connections", f"{limits.connections}"),
        ("client-connections", f"{limits.client_connections}"),
        ("client-frames-per-second", f"{limits.client_frames_per_s:g}"),
        ("drain-seconds", f"{limits.drain_s:g}"),
    ):
        assert f"| `--{option}` | {default} |" in DOCUMENT


def test_every_status_and_close_code_is_there() -> None:
    for status in ImageStatus:
        assert f"`{status.name.lower()}`" in DOCUMENT or f'"{status.name.lower()}"' in DOCUMENT
    for name in errors.__all__:
        kind = getattr(errors, name)
        if kind is not errors.BadImage:
            word, status, _ = answers.meaning(kind("what went wrong"))
            row = next(line for line in DOCUMENT.splitlines() if f"`{word}`" in line)
            assert f"| {status.value} |" in row
    for code in (
        CLOSE_UNSUPPORTED_DATA,
        CLOSE_INVALID_PAYLOAD,
        session.CLOSE_SERVICE_RESTART,
        CLOSE_TRY_AGAIN_LATER,
    ):
        assert f"| {code} | " in DOCUMENT


def test_the_snippet_prints_what_it_finds(video_gateway: Gateway) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    address = video_gateway.frames_url.removesuffix("/frames")
    code = snippet.replace("ws://localhost:8080", address)
    assert code != snippet
    assert any(each in run([sys.executable, "-c", code], ROOT) for each in ("red", "green", "blue"))


def test_curl_gets_an_answer(video_gateway: Gateway) -> None:
    (command,) = re.findall(r"^    (curl .*)$", DOCUMENT, re.MULTILINE)
    there = command.replace("http://localhost:8080", video_gateway.url).replace("marker", "red")
    answer = json.loads(run([*shlex.split(there), "--silent", "--noproxy", "*"], ROOT))
    assert answer["status"] == "ok"
    assert {each["label"] for each in answer["detections"]} <= {"red"}
