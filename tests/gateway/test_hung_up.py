"""Clients that go away before their answer: nobody works for them any more."""

from __future__ import annotations

import socket

import pytest

from tests.gateway.clients import open_frames
from tests.gateway.running import Gateway, gateway
from tests.gateway.standing_still import standing_still, wait_for_count
from tests.serving import Serving

# Longer than the test waits, so that no frame ends by itself.
PATIENT = ("--client-timeout", "600")


def post_and_wait(running: Gateway, image: bytes) -> socket.socket:
    head = (
        f"POST /detect HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n"
        f"Content-Type: image/jpeg\r\nContent-Length: {len(image)}\r\n\r\n"
    )
    client = socket.create_connection(("127.0.0.1", running.port))
    client.sendall(head.encode() + image)
    wait_for_count(running, "in_flight", 1)
    return client


@pytest.mark.parametrize("endpoint", ["post", "websocket"])
def test_a_frame_whose_client_hangs_up_is_under_way_no_longer(
    triton: Serving, squares: dict[str, bytes], endpoint: str
) -> None:
    with gateway(triton.url, *PATIENT) as running:
        assert running.post(squares["red"])[0] == 200
        with standing_still(triton):
            if endpoint == "post":
                post_and_wait(running, squares["red"]).close()
            else:
                with open_frames(running) as client:
                    client.send(squares["red"])
                    wait_for_count(running, "in_flight", 1)
            wait_for_count(running, "in_flight", 0)
        assert running.post(squares["green"])[0] == 200
        assert running.error_text() == ""
