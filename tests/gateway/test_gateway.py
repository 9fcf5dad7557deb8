"""Frames in and boxes out, over a WebSocket and by POST, before the real server."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosed

from tests import images
from tests.gateway.clients import answer, framed, labels, open_frames
from tests.gateway.running import Gateway
from tests.metrics import scrape, total
from tests.serving import Serving
from tests.tiny_detector import coloured_square
from thin_client import Detector

COLOURS = ("red", "green", "blue")
RED = images.encoded(coloured_square("red"))


def test_an_answer_is_what_a_client_over_grpc_gets(
    open_gateway: Gateway, triton: Serving, squares: dict[str, bytes]
) -> None:
    with Detector(triton.url, "tiny") as detector:
        expected = detector.detect(squares["red"], conf=0.1).to_dict()
    assert len(expected["detections"]) > 1
    with open_frames(open_gateway) as client:
        client.send(framed(squares["red"], id="one", conf=0.1))
        reply = answer(client)
    assert reply.pop("ms") > 0
    assert reply == {"id": "one", "status": "ok", **expected}
    status, posted = open_gateway.post(squares["red"], "?conf=0.1")
    assert (status, posted) == (200, {"status": "ok", **expected})


def test_answers_come_in_the_order_of_frames(
    open_gateway: Gateway, squares: dict[str, bytes]
) -> None:
    sent = [COLOURS[number % 3] for number in range(60)]
    with open_frames(open_gateway) as client:
        for colour in sent:
            client.send(squares[colour])
        replies = [answer(client) for _ in sent]
    assert [reply["id"] for reply in replies] == list(range(60))
    assert [labels(reply)[0] for reply in replies] == sent


def test_parameters_are_those_of_their_own_frame(
    open_gateway: Gateway, squares: dict[str, bytes]
) -> None:
    with open_frames(open_gateway) as client:
        client.send(framed(squares["red"], classes=["blue"]))
        client.send(squares["red"])
        client.send(framed(squares["red"], conf=0.1, max_det=1))
        replies = [answer(client) for _ in range(3)]
    assert [labels(reply) for reply in replies] == [[], ["red"], ["red"]]


def test_what_is_left_of_a_damaged_frame_is_looked_at_when_asked_for(
    open_gateway: Gateway,
) -> None:
    square = images.encoded(coloured_square("red", size=256, left=128, top=0, side=32))
    damaged = square[: len(square) * 9 // 10]
    with open_frames(open_gateway) as client:
        client.send(damaged)
        # What is missing is grey, which the detector takes for a little of every colour.
        client.send(framed(damaged, damaged="accept", conf=0.6))
        client.send(framed(square, damaged="accept"))
        refused, shown, whole = (answer(client) for _ in range(3))
    assert [refused["status"], shown["status"], whole["status"]] == ["corrupt", "damaged", "ok"]
    assert (labels(shown), shown["width"]) == (["red"], 256)
    assert {"error", "damaged"}.isdisjoint(shown)
    assert open_gateway.post(damaged)[0] == 422
    status, posted = open_gateway.post(damaged, "?damaged=accept&conf=0.6")
    assert (status, posted["status"], labels(posted)) == (200, "damaged", ["red"])


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"", "empty"),
        (b"no picture", "unsupported_format"),
        (images.encoded(images.photograph())[:500], "corrupt"),
        (images.jpeg_with_size(1200, 1000), "too_many_pixels"),
        (framed(RED, id=3, conf=7), "invalid_parameter"),
        (framed(RED, id=3, damaged="perhaps"), "invalid_parameter"),
        (framed(RED, id=3, quality=7), "invalid_parameter"),
        (framed(RED, id=3, classes=["purple"]), "invalid_parameter"),
    ],
)
def test_a_bad_frame_gets_a_word_and_a_sentence_and_the_next_is_fine(
    open_gateway: Gateway, squares: dict[str, bytes], message: bytes, status: str
) -> None:
    with open_frames(open_gateway) as client:
        client.send(message)
        client.send(squares["green"])
        bad, good = answer(client), answer(client)
    assert bad["status"] == status
    assert len(bad["error"].split()) > 3
    assert "detections" not in bad
    assert labels(good) == ["green"]


def test_a_bad_post_gets_a_status_of_http(open_gateway: Gateway) -> None:
    assert open_gateway.post(b"no picture")[0] == 422
    assert open_gateway.post(b"")[1]["status"] == "empty"
    status, posted = open_gateway.post(b"x", "?quality=7")
    assert (status, posted["status"]) == (400, "invalid_parameter")
    assert "quality" in posted["error"]
    assert open_gateway.get("/nothing")[0] == 404


@pytest.mark.parametrize(
    ("message", "code"), [("text", 1003), (b'{"id": [1]}\nx', 1007), (b'{"id": 1}', 1007)]
)
def test_misuse_closes_with_a_code_and_a_reason_after_what_came_before(
    open_gateway: Gateway, squares: dict[str, bytes], message: str | bytes, code: int
) -> None:
    with open_frames(open_gateway) as client:
        client.send(squares["red"])
        client.send(message)
        assert labels(answer(client)) == ["red"]
        with pytest.raises(ConnectionClosed) as closed:
            answer(client)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert len(closed.value.rcvd.reason.split()) > 3


def test_a_client_that_leaves_in_the_middle_troubles_nobody(
    open_gateway: Gateway, squares: dict[str, bytes]
) -> None:
    with open_frames(open_gateway) as staying:
        for _ in range(5):
            with open_frames(open_gateway) as leaving:
                for _ in range(3):
                    leaving.send(squares["red"])
        staying.send(squares["blue"])
        assert labels(answer(staying)) == ["blue"]
    assert "Traceback" not in open_gateway.error_text()


def test_it_says_what_a_client_needs_to_know(open_gateway: Gateway) -> None:
    status, text = open_gateway.get("/pipeline")
    assert status == 200
    assert '"pipeline":"tiny"' in text
    assert '"labels":["red","green","blue"]' in text
    assert '"conf":0.5' in text
    assert '"in_flight":4' in text


def test_it_is_well_and_ready(open_gateway: Gateway) -> None:
    assert open_gateway.get("/healthz") == (200, "ok\n")
    assert open_gateway.get("/readyz") == (200, "ready\n")


def test_it_counts_what_it_does(open_gateway: Gateway, squares: dict[str, bytes]) -> None:
    before = scrape(open_gateway.port)
    with open_frames(open_gateway) as client:
        for message in (squares["red"], squares["green"], b"no picture"):
            client.send(message)
            answer(client)
        during = scrape(open_gateway.port)
    open_gateway.post(squares["red"])
    after = scrape(open_gateway.port)

    def grown(name: str, **labelled: str) -> float:
        name = f"framewire_gateway_{name}"
        return total(after, name, **labelled) - total(before, name, **labelled)

    assert grown("frames_total", endpoint="websocket", status="ok") == 2
    assert grown("frames_total", endpoint="websocket", status="unsupported_format") == 1
    assert grown("frames_total", endpoint="post", status="ok") == 1
    assert grown("connections_total") == 1
    assert grown("received_bytes_total") == 2 * len(squares["red"]) + len(squares["green"]) + 10
    assert grown("answer_seconds_count") == 4
    assert grown("answer_seconds_bucket", le="+Inf") == 4
    assert total(during, "framewire_gateway_connections") >= 1
    assert total(after, "framewire_gateway_in_flight") == 0


def test_nothing_but_the_page_is_given_to_browsers(open_gateway: Gateway) -> None:
    status, page = open_gateway.get("/")
    assert status == 200
    assert "<title>Framewire</title>" in page
    # All that it loads is its own.
    assert "://" not in page
    for path in ("/main.js", "/style.css", "/icon.svg"):
        assert open_gateway.get(path)[0] == 200
    assert open_gateway.get("/../app.py")[0] == 404
    assert open_gateway.get("/%2e%2e/app.py")[0] == 404
