"""A gateway that is told to stop, and a Triton that goes away and comes back."""

from __future__ import annotations

import signal
import threading
import time
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.gateway.clients import answer, labels, open_frames
from tests.gateway.running import Gateway, gateway
from tests.gateway.standing_still import standing_still, wait_for_count
from tests.serving import Serving, serving

RESTART = 1012


def answers_until_closed(client: Any) -> tuple[list[dict[str, Any]], int]:
    """Everything that comes, and the close code."""
    replies: list[dict[str, Any]] = []
    ended = None
    while ended is None:
        try:
            replies.append(answer(client))
        except ConnectionClosed as closed:
            ended = closed
    assert ended.rcvd is not None, ended
    return replies, ended.rcvd.code


def test_told_to_stop_it_answers_what_it_accepted(
    triton: Serving, squares: dict[str, bytes]
) -> None:
    with gateway(triton.url) as running, open_frames(running) as client:
        posted: list[int] = []
        poster = threading.Thread(target=lambda: posted.append(running.post(squares["red"])[0]))
        with standing_still(triton):
            for colour in ("red", "green", "blue"):
                client.send(squares[colour])
            poster.start()
            wait_for_count(running, "in_flight", 4)
            running.process.send_signal(signal.SIGTERM)
            wait_until_refused(running)
            client.send(squares["red"])  # too late
        replies, code = answers_until_closed(client)
        poster.join(30)
        assert [labels(reply) for reply in replies] == [["red"], ["green"], ["blue"]]
        assert code == RESTART
        assert posted == [200]
        assert running.process.wait(30) == 0
        assert running.error_text() == ""


def wait_until_refused(running: Gateway) -> None:
    """Until it says that it stops: by then nothing new is taken."""
    deadline = time.monotonic() + 30
    while running.get("/readyz")[0] == 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert running.post(b"x")[0] == 503
    with open_frames(running) as late:
        assert answers_until_closed(late) == ([], RESTART)


def test_under_load_every_client_gets_an_unbroken_row_and_a_close_code(
    triton: Serving, squares: dict[str, bytes]
) -> None:
    results: list[tuple[list[dict[str, Any]], int]] = []
    begun = threading.Barrier(5)

    def converse() -> None:
        with open_frames(running) as client:
            client.send(squares["red"])
            answer(client)
            begun.wait(30)
            sender = threading.Thread(target=send_until_closed, args=(client,))
            sender.start()
            results.append(answers_until_closed(client))
            sender.join(30)

    def send_until_closed(client: Any) -> None:
        try:
            while True:
                client.send(squares["red"])
        except ConnectionClosed:
            return

    with gateway(triton.url, "--max-frames-per-second", "1000") as running:
        clients = [threading.Thread(target=converse) for _ in range(4)]
        for each in clients:
            each.start()
        begun.wait(30)
        time.sleep(0.5)
        running.process.send_signal(signal.SIGTERM)
        for each in clients:
            each.join(30)
        assert running.process.wait(30) == 0
        assert "Traceback" not in running.error_text()
    assert len(results) == 4
    for replies, code in results:
        assert code == RESTART
        assert [reply["id"] for reply in replies] == list(range(1, len(replies) + 1))
        assert {reply["status"] for reply in replies} == {"ok"}


def test_what_is_not_answered_in_time_does_not_keep_it(
    triton: Serving, squares: dict[str, bytes]
) -> None:
    with (
        gateway(triton.url, "--drain-seconds", "0.5") as running,
        open_frames(running) as client,
        standing_still(triton),
    ):
        client.send(squares["red"])
        wait_for_count(running, "in_flight", 1)
        running.process.send_signal(signal.SIGTERM)
        assert answers_until_closed(client) == ([], RESTART)
        assert running.process.wait(30) == 0
        assert "Traceback" not in running.error_text()


def test_triton_goes_away_and_comes_back(tiny_repository: Path, squares: dict[str, bytes]) -> None:
    with (
        serving(tiny_repository) as first,
        gateway(first.url, "--retries", "1", "--client-timeout", "5") as running,
        open_frames(running) as client,
    ):
        client.send(squares["red"])
        assert labels(answer(client)) == ["red"]
        first.stop()
        client.send(squares["red"])
        lost = answer(client)
        assert lost["status"] in ("unreachable", "not_ready")
        # Whose address that is concerns no stranger.
        assert str(first.grpc_port) not in lost["error"]
        status, posted = running.post(squares["red"])
        assert (status, posted["status"]) == (503, "unreachable")
        assert running.get("/readyz")[0] == 503
        assert running.get("/healthz")[0] == 200
        with serving(tiny_repository, "--grpc-port", str(first.grpc_port)):
            deadline = time.monotonic() + 60
            reply: dict[str, Any] = {"status": ""}
            while reply["status"] != "ok":
                assert time.monotonic() < deadline, reply
                client.send(squares["green"])
                reply = answer(client)
            assert labels(reply) == ["green"]
            time.sleep(1.1)
            assert running.get("/readyz")[0] == 200
        said = running.error_text()
        assert f"cannot reach a Triton server at {first.url}" in said
        assert said.count("cannot reach") == 1
        assert "answers again" in said


def test_it_starts_before_its_triton(tiny_repository: Path, squares: dict[str, bytes]) -> None:
    with serving(tiny_repository) as known:
        port = known.grpc_port
    with gateway(f"127.0.0.1:{port}", "--retries", "0") as running, open_frames(running) as client:
        assert running.get("/readyz")[0] == 503
        assert running.get("/pipeline")[0] == 503
        for _ in range(3):
            client.send(squares["red"])
        assert {answer(client)["status"] for _ in range(3)} == {"unreachable"}
        with serving(tiny_repository, "--grpc-port", str(port)):
            deadline = time.monotonic() + 60
            while running.get("/pipeline")[0] != 200:
                assert time.monotonic() < deadline
                time.sleep(0.2)
            client.send(squares["red"])
            assert labels(answer(client)) == ["red"]
