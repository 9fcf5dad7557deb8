"""The rows of many sources on a terminal: drawn anew in place, and none of them twice."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.thin_client.streaming.rtsp import Camera
from tests.thin_client.streaming.server import TRACKING, streaming_server
from tests.thin_client.streaming.videos import annex_b, write_video


@pytest.fixture
def camera(tmp_path: Path) -> Iterator[Camera]:
    units = annex_b(write_video(tmp_path / "video.mp4", key_every=15), "h264_mp4toannexb")
    with closing(Camera(units)) as running:
        yield running


def screen(text: str) -> list[str]:
    """The lines of a terminal after a text with line feeds, moves up, and clearing below."""
    lines = [""]
    at = 0
    for piece in re.findall(r"\x1b\[\d+A|\x1b\[J|\r|\n|[^\x1b\r\n]+", text):
        if match := re.fullmatch(r"\x1b\[(\d+)A", piece):
            at = max(0, at - int(match[1]))
        elif piece == "\x1b[J":
            del lines[at:]
            lines.append("")
        elif piece == "\n":
            at += 1
            if at == len(lines):
                lines.append("")
        elif piece != "\r":
            lines[at] += piece
    return lines


def test_each_source_has_one_row_with_its_state_and_what_it_comes_to(camera: Camera) -> None:
    controller, terminal = pty.openpty()
    with streaming_server(options=TRACKING) as server:
        server.fake.settings.looks = lambda packet: round(packet.timestamp_us * 3e-5) % 2 == 0
        sources = (f"gate={camera.url}", "away=rtsp://127.0.0.1:9/live")
        process = subprocess.Popen(
            [sys.executable, "-m", "thin_client.cli", "stream", "--url", server.url, *sources],
            stdout=subprocess.DEVNULL,
            stderr=terminal,
            env=os.environ | {"COLUMNS": "200", "LINES": "40"},
        )
        os.close(terminal)
        text = ""
        try:
            while not re.search(r"gate +streaming +\d{2,} frames", "\n".join(screen(text)[-4:])):
                text += os.read(controller, 4096).decode()
        finally:
            process.kill()
            process.wait()
            os.close(controller)
    shown = screen(text)
    rows = [line for line in shown if re.match(r"(gate|away)  ", line)]
    assert len(rows) == 2, shown
    assert re.search(r"answered [\d.]+/s, looked at [\d.]+/s, dropped [\d.]+/s", rows[0])
    assert re.match(r"away  waiting    cannot open", rows[1])
    assert any(line.startswith("framewire-client: away: waiting") for line in shown)
