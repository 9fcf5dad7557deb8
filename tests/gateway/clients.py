"""What a client of the gateway sends and reads."""

from __future__ import annotations

import json
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.gateway.running import Gateway

PATIENCE_S = 60


def open_frames(gateway: Gateway, query: str = "", **options: Any) -> ClientConnection:
    """A WebSocket to a gateway."""
    return connect(
        gateway.frames_url + query,
        proxy=None,
        compression=None,
        max_size=2**20,
        open_timeout=PATIENCE_S,
        **options,
    )


def framed(image: bytes, **header: Any) -> bytes:
    """A message with a header."""
    return json.dumps(header).encode() + b"\n" + image


def answer(client: ClientConnection) -> dict[str, Any]:
    """The next answer."""
    return dict(json.loads(client.recv(timeout=PATIENCE_S)))


def labels(reply: dict[str, Any]) -> list[str]:
    return [each["label"] for each in reply["detections"]]
