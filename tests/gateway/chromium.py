"""Headless Chromium with a camera that shows a file, driven over the DevTools protocol.

A client of our own, because what is needed of the protocol is a handful of calls, and the libraries
that speak it bring browsers, or a Node, of their own.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
START_TIMEOUT_S = 60
PATIENCE_S = 60
# One 1080p screenshot or one camera frame, in base64.
MAX_MESSAGE = 64 * 2**20


def find_chromium() -> str:
    """The browser; without one the test is skipped, and in CI it fails."""
    found = next((path for name in PROGRAMS if (path := shutil.which(name))), None)
    if found is not None:
        return found
    sentence = "no Chromium here: apt-get install --no-install-recommends chromium"
    if os.environ.get("CI"):
        pytest.fail(sentence)
    pytest.skip(sentence)


class Page:
    """The one tab of a browser.

    Attributes:
        sent: payloads of binary WebSocket messages that the page sent, in order.
        received: WebSocket messages that it received, as JSON, in order.
        complaints: errors in its console, blocked loads among them.
    """

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._number = 0
        self.sent: list[bytes] = []
        self.received: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a call of the protocol."""
        self._number += 1
        self._connection.send(
            json.dumps({"id": self._number, "method": method, "params": parameters})
        )
        while True:
            message = json.loads(self._connection.recv(timeout=PATIENCE_S))
            if message.get("id") == self._number:
                assert "error" not in message, (method, message["error"])
                return dict(message["result"])
            self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        kind, what = event.get("method"), event.get("params", {})
        if kind == "Network.webSocketFrameSent" and what["response"]["opcode"] == 2:
            self.sent.append(base64.b64decode(what["response"]["payloadData"]))
        elif kind == "Network.webSocketFrameReceived" and what["response"]["opcode"] == 1:
            self.received.append(json.loads(what["response"]["payloadData"]))
        elif kind == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(what["exceptionDetails"]))
        elif kind == "Log.entryAdded" and what["entry"]["level"] == "error":
            self.complaints.append(f"{what['entry']['text']} {what['entry'].get('url', '')}")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, awaited."""
        done = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait_for(self, expression: str, patience_s: float = PATIENCE_S) -> None:
        """Wait until a JavaScript expression is true."""
        self.wait_until(lambda: self.evaluate(f"!!({expression})"), expression, patience_s)

    def wait_until(
        self, condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S
    ) -> None:
        deadline = time.monotonic() + patience_s
        while not condition():
            trouble = self.evaluate("document.getElementById('trouble')?.textContent")
            assert time.monotonic() < deadline, (what, trouble, self.complaints)
            time.sleep(0.1)
            self.evaluate("0")  # takes note of what happened

    def open(self, url: str) -> None:
        """Load a page and its modules."""
        self.call("Page.navigate", url=url)
        here = json.dumps(url.partition("#")[0])
        self.wait_for(f"location.href.startsWith({here}) && document.readyState === 'complete'")

    def resize(self, width: int, height: int, scale: float = 1, mobile: bool = False) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=mobile,
        )

    def screenshot(self, quality: int = 80) -> bytes:
        """The page as a JPEG file."""
        shot = self.call("Page.captureScreenshot", format="jpeg", quality=quality)
        return base64.b64decode(shot["data"])

    def choose_file(self, selector: str, file: Path) -> None:
        """As a person does in the dialogue of a file input."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])


@contextmanager
def chromium(profile: Path, *options: str) -> Iterator[Page]:
    """A browser that is gone afterwards.

    Args:
        profile: a folder for it.
        options: of its command line.
    """
    log = profile.parent / "chromium.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                find_chromium(),
                *("--headless=new", "--disable-gpu", "--no-first-run", "--mute-audio"),
                # Tests run as root in containers, where its sandbox cannot be made.
                "--no-sandbox",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--remote-debugging-port=0",
                "--remote-allow-origins=*",
                f"--user-data-dir={profile}",
                "--window-size=1280,900",
                *options,
                "about:blank",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        with connect(
            _tab_address(process, profile, log),
            max_size=MAX_MESSAGE,
            open_timeout=START_TIMEOUT_S,
            proxy=None,
        ) as connection:
            yield Page(connection)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()


def _tab_address(process: subprocess.Popen[bytes], profile: Path, log: Path) -> str:
    """The address of the tab's DevTools, once the browser has written down its port."""
    written = profile / "DevToolsActivePort"
    deadline = time.monotonic() + START_TIMEOUT_S
    while not (written.exists() and written.read_text().count("\n")):
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.1)
    port = written.read_text().split()[0]
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
        if tabs:
            return str(tabs[0]["webSocketDebuggerUrl"])
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.1)
