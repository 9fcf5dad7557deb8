"""What one client can ask of a gateway, and what happens beyond."""

from __future__ import annotations

import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed

from builder.gateway.pacing import Pace
from tests.gateway.clients import answer, labels, open_frames
from tests.gateway.running import Gateway, gateway
from tests.gateway.standing_still import counted, standing_still, wait_for_count
from tests.serving import Serving

# Too much for the buffers of a socket, and nothing that Triton computes on for long.
LARGE = bytes(900_000)
MANY = 40
SETTLED_S = 1.0


def test_beyond_its_frames_in_flight_a_connection_is_not_read(triton: Serving) -> None:
    sent = []

    def send_all() -> None:
        for number in range(MANY):
            client.send(LARGE)
            sent.append(number)

    with gateway(triton.url, "--in-flight", "3") as running, open_frames(running) as client:
        sender = threading.Thread(target=send_all, daemon=True)
        with standing_still(triton):
            sender.start()
            wait_for_count(running, "in_flight", 3)
            time.sleep(SETTLED_S)
            # The client itself stands still: what was sent lies in the sockets between them.
            assert counted(running, "in_flight") == 3
            assert counted(running, "received_bytes_total") == 3 * len(LARGE)
            assert len(sent) < MANY - 5
        replies = [answer(client) for _ in range(MANY)]
        sender.join(30)
    assert [reply["id"] for reply in replies] == list(range(MANY))
    assert {reply["status"] for reply in replies} == {"unsupported_format"}


def test_one_connection_that_stands_still_does_not_hold_up_another(
    open_gateway: Gateway, squares: dict[str, bytes]
) -> None:
    with open_frames(open_gateway, max_queue=1) as deaf, open_frames(open_gateway) as other:
        threading.Thread(target=_send_until_closed, args=(deaf, LARGE), daemon=True).start()
        for _ in range(5):
            other.send(squares["red"])
            assert labels(answer(other)) == ["red"]


def _send_until_closed(client: object, message: bytes) -> None:
    try:
        while True:
            client.send(message)  # type: ignore[attr-defined]
    except (ConnectionClosed, OSError):
        return


def test_a_message_that_is_too_large_closes_with_1009(triton: Serving) -> None:
    with gateway(triton.url, "--max-message-bytes", "100000") as running:
        with open_frames(running) as client:
            client.send(bytes(100_000))
            assert answer(client)["status"] == "unsupported_format"
            client.send(bytes(100_001))
            with pytest.raises(ConnectionClosed) as closed:
                answer(client)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1009
        assert running.post(bytes(100_000))[0] == 422
        status, posted = running.post(bytes(100_001))
        assert (status, posted["status"]) == (413, "too_many_bytes")
        assert "100000" in posted["error"]


def test_frames_that_come_too_fast_are_taken_more_slowly_and_none_is_lost(
    triton: Serving, squares: dict[str, bytes]
) -> None:
    limits = ("--max-frames-per-second", "10", "--in-flight", "2")
    with gateway(triton.url, *limits) as running, open_frames(running) as client:
        began = time.monotonic()
        for _ in range(22):
            client.send(squares["red"])
        replies = [answer(client) for _ in range(22)]
        took_s = time.monotonic() - began
    assert [reply["id"] for reply in replies] == list(range(22))
    # Two at once, twenty at ten a second: that long at least, whatever the machine.
    assert took_s >= 1.99


def test_a_pace_lets_a_few_through_after_a_pause() -> None:
    now = [0.0]
    pace = Pace(rate=10, burst=3, clock=lambda: now[0])
    now[0] = 5.0
    assert [round(pace.wait_s(), 6) for _ in range(5)] == [0, 0, 0, 0.1, 0.2]


def test_beyond_its_connections_a_client_is_told_to_come_later(
    triton: Serving, squares: dict[str, bytes]
) -> None:
    with gateway(triton.url, "--max-connections", "2") as running:
        with open_frames(running) as first, open_frames(running) as second:
            for client in (first, second):
                client.send(squares["red"])
                answer(client)
            with open_frames(running) as third, pytest.raises(ConnectionClosed) as closed:
                answer(third)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1013
            assert "connections" in closed.value.rcvd.reason
            first.send(squares["blue"])
            assert labels(answer(first)) == ["blue"]
        wait_for_count(running, "connections", 0)
        with open_frames(running) as client:
            client.send(squares["green"])
            assert labels(answer(client)) == ["green"]
        assert counted(running, "refused_total", reason="connections") == 1
