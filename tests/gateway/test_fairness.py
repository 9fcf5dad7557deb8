"""One client that floods the gateway leaves room for the others."""

from __future__ import annotations

import http.client
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from builder.gateway import silence
from builder.gateway.clients import Clients, TooManyConnections
from builder.gateway.settings import Limits
from tests.gateway.clients import answer, labels, open_frames
from tests.gateway.running import Gateway, gateway
from tests.gateway.standing_still import standing_still, wait_for_count
from tests.serving import Serving

# The whole network of 127 is this machine's, so a client can have another address.
OTHER = "127.0.0.2"


def from_address(running: Gateway, address: str) -> ClientConnection:
    there = socket.create_connection(("127.0.0.1", running.port), source_address=(address, 0))
    return open_frames(running, sock=there)


def test_an_address_has_its_connections_and_leaves_the_others_theirs(
    triton: Serving, squares: dict[str, bytes]
) -> None:
    with gateway(triton.url, "--client-connections", "2") as running, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(open_frames(running))
        with open_frames(running) as third, pytest.raises(ConnectionClosed) as closed:
            answer(third)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1013
        assert "this address" in closed.value.rcvd.reason
        # Requests of HTTP count too.
        status, said = running.post(squares["red"])
        assert (status, said["status"]) == (429, "client")
        with from_address(running, OTHER) as other:
            other.send(squares["red"])
            assert labels(answer(other)) == ["red"]
        assert 'refused_total{reason="client"} 2' in running.get("/metrics")[1]


def test_the_frames_of_an_address_share_one_pace(
    triton: Serving, squares: dict[str, bytes]
) -> None:
    limits = ("--client-frames-per-second", "10", "--client-connections", "3", "--in-flight", "2")
    with gateway(triton.url, *limits) as running, ExitStack() as stack:
        clients = [stack.enter_context(open_frames(running)) for _ in range(3)]
        other = stack.enter_context(from_address(running, OTHER))
        began = time.monotonic()
        for client in clients:
            for _ in range(6):
                client.send(squares["red"])
        # Meanwhile the other address has its own.
        other.send(squares["blue"])
        assert labels(answer(other)) == ["blue"]
        for client in clients:
            assert [answer(client)["id"] for _ in range(6)] == list(range(6))
        took_s = time.monotonic() - began
    # Each connection takes its first place when it opens, and six are to be had at once, so nine of
    # the eighteen wait for one: that long at least, whatever the machine.
    assert took_s >= 0.89


def test_posts_that_come_too_fast_are_told_to_come_later(
    triton: Serving, squares: dict[str, bytes]
) -> None:
    limits = ("--client-frames-per-second", "0.1", "--client-connections", "1", "--in-flight", "2")
    with gateway(triton.url, *limits) as running:
        answers = [running.post(squares["red"])[0] for _ in range(4)]
        assert answers == [200, 200, 429, 429]


def test_an_address_may_use_all_its_connections_at_once(
    triton: Serving, squares: dict[str, bytes]
) -> None:
    with (
        gateway(triton.url, "--client-frames-per-second", "0.1") as running,
        ThreadPoolExecutor(Limits.client_connections) as pool,
    ):
        with standing_still(triton):
            posts = [
                pool.submit(running.post, squares["red"]) for _ in range(Limits.client_connections)
            ]
            wait_for_count(running, "in_flight", len(posts))
        assert [post.result()[0] for post in posts] == [200] * len(posts)


def test_a_connection_that_sends_nothing_is_closed(
    triton: Serving, squares: dict[str, bytes]
) -> None:
    with gateway(triton.url) as running:
        silent = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(50)]
        half = socket.create_connection(("127.0.0.1", running.port))
        half.sendall(b"GET /frames HTTP/1.1\r\nHost:")
        # The first request of a connection buys no more patience for the second.
        again = http.client.HTTPConnection("127.0.0.1", running.port)
        again.request("GET", "/metrics")
        assert again.getresponse().read()
        again.sock.sendall(b"GET /metrics HTTP/1.1\r\nHost:")
        status, _ = running.post(squares["red"])
        assert status == 200
        for each in (*silent, half, again.sock):
            each.settimeout(silence.REQUEST_PATIENCE_S * 3)
            assert each.recv(1000) == b""
            each.close()


def test_an_open_websocket_may_be_silent_for_longer(
    triton: Serving, squares: dict[str, bytes]
) -> None:
    with gateway(triton.url) as running, open_frames(running) as client:
        time.sleep(silence.REQUEST_PATIENCE_S + 1)
        client.send(squares["red"])
        assert labels(answer(client)) == ["red"]


def test_addresses_are_forgotten_when_they_have_nothing_left() -> None:
    now = [0.0]
    clients = Clients(Limits(client_connections=1, client_frames_per_s=10), lambda: now[0])
    with clients.entering("10.0.0.1") as first:
        for _ in range(50):
            first.pace.wait_s()
        with pytest.raises(TooManyConnections), clients.entering("10.0.0.1"):
            pass
    # Who comes back at once finds the pace that it left.
    with clients.entering("10.0.0.1") as again:
        assert not again.pace.take()
    now[0] = 60.0
    with clients.entering("10.0.0.2"):
        assert len(clients) == 1


def test_to_come_again_brings_no_new_burst() -> None:
    now = [0.0]
    clients = Clients(Limits(client_frames_per_s=8, in_flight=4), lambda: now[0])
    with clients.entering("10.0.0.1") as first:
        while first.pace.take():
            pass
    # Time for two frames has passed, and not for the four of a new address.
    now[0] = 0.26
    with clients.entering("10.0.0.1") as again:
        assert [again.pace.take() for _ in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("10.0.0.1", "10.0.0.2", False),
    ],
)
def test_what_counts_as_one_client(one: str, other: str, same: bool) -> None:
    clients = Clients(Limits())
    with clients.entering(one) as first, clients.entering(other) as second:
        assert (first is second) == same
