"""Packets of video through a gateway, before the real server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.gateway.clients import answer, framed, labels, open_frames
from tests.gateway.running import Gateway, gateway
from tests.serving import serving
from tests.tiny_detector import coloured_square
from tests.videos import encoded
from thin_client.contract import Codec, PipelineParameter, stream_fingerprint

COLOURS = ("red", "green", "blue")
SIDE, SQUARE = 128, 32
GOP = 10


def squares_on_film(codec: str, count: int) -> tuple[list[str], list[bytes]]:
    """Colours of squares, each on a picture for itself, and the packets that show them."""
    colours = [COLOURS[number % 3] for number in range(count)]
    pictures = [
        coloured_square(colour, size=SIDE, left=64, top=64, side=SQUARE) for colour in colours
    ]
    return colours, encoded(codec, pictures, gop=GOP)


def best_labels(replies: list[dict[str, Any]]) -> list[str]:
    return [labels(reply)[0] for reply in replies]


@pytest.mark.parametrize("codec", [codec.value for codec in Codec])
def test_every_packet_has_its_answer_in_order(video_gateway: Gateway, codec: str) -> None:
    colours, packets = squares_on_film(codec, 25)
    with open_frames(video_gateway, f"?codec={codec}") as client:
        for number, packet in enumerate(packets):
            client.send(framed(packet, id=f"p{number}", timestamp=40_000 * number))
        replies = [answer(client) for _ in packets]
    assert [reply["id"] for reply in replies] == [f"p{number}" for number in range(25)]
    assert {reply["status"] for reply in replies} == {"ok"}
    assert [reply["frame_index"] for reply in replies] == list(range(25))
    assert [reply["timestamp"] for reply in replies] == [40_000 * number for number in range(25)]
    assert best_labels(replies) == colours
    assert {(reply["width"], reply["height"]) for reply in replies} == {(SIDE, SIDE)}


def test_parameters_and_bad_packets_are_those_of_their_own_frame(video_gateway: Gateway) -> None:
    _, packets = squares_on_film("h264", 6)
    messages = [
        packets[0],
        framed(packets[1], classes=["blue"]),
        framed(packets[2], conf=7),
        framed(packets[3], quality=1),
        b"no packet",
    ]
    with open_frames(video_gateway, "?codec=h264") as client:
        for message in messages:
            client.send(message)
        replies = [answer(client) for _ in messages]
        assert labels(replies[0])[0] == "red"
        assert labels(replies[1]) == []
        assert [reply["status"] for reply in replies[2:4]] == ["invalid_parameter"] * 2
        assert replies[4]["status"] in ("corrupt_packet", "waiting_for_key_frame")
        for packet in packets[:3]:  # another key frame
            client.send(packet)
        assert best_labels([answer(client) for _ in range(3)]) == list(COLOURS)


def test_a_stream_that_begins_in_the_middle_waits_for_a_key_frame(video_gateway: Gateway) -> None:
    colours, packets = squares_on_film("h264", 2 * GOP)
    with open_frames(video_gateway, "?codec=h264") as client:
        for packet in packets[4:]:
            client.send(packet)
        replies = [answer(client) for _ in packets[4:]]
    waiting, found = replies[: GOP - 4], replies[GOP - 4 :]
    assert {reply["status"] for reply in waiting} == {"waiting_for_key_frame"}
    assert best_labels(found) == colours[GOP:]


def test_two_streams_do_not_mix_and_a_third_is_told_of_the_limit(video_gateway: Gateway) -> None:
    colours, packets = squares_on_film("h264", 9)
    with open_frames(video_gateway, "?codec=h264") as third:
        with (
            open_frames(video_gateway, "?codec=h264") as first,
            open_frames(video_gateway, "?codec=h264") as second,
        ):
            two_and_a_third(first, second, third, colours, packets)
        # Who leaves, leaves nothing behind: else the third would find no room.
        assert labels(first_detected(third, packets[0]))[0] == "red"


def two_and_a_third(
    first: ClientConnection,
    second: ClientConnection,
    third: ClientConnection,
    colours: list[str],
    packets: list[bytes],
) -> None:
    # The server has room for two, and the stream of the test before may still be ending.
    for client in (first, second):
        assert labels(first_detected(client, packets[0]))[0] == colours[0]
    for number, packet in enumerate(packets[1:], 1):
        first.send(packet)
        if number < 6:
            second.send(packet)
        assert labels(answer(first))[0] == colours[number]
        if number < 6:
            assert labels(answer(second))[0] == colours[number]
    for packet in packets[:2]:
        third.send(packet)
        assert answer(third)["status"] == "overloaded"


def first_detected(client: ClientConnection, packet: bytes) -> dict[str, Any]:
    """The answer to a packet once it is detected in."""
    deadline = time.monotonic() + 60
    while True:
        client.send(packet)
        reply = answer(client)
        if reply["status"] == "ok":
            return reply
        assert time.monotonic() < deadline, reply


def test_a_codec_that_there_is_not_closes_in_words(video_gateway: Gateway) -> None:
    with open_frames(video_gateway, "?codec=av1") as client:
        with pytest.raises(ConnectionClosed) as closed:
            answer(client)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1003
        assert "h264" in closed.value.rcvd.reason


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_frames_are_turned_as_the_connection_says(video_gateway: Gateway, rotation: int) -> None:
    upright = coloured_square("red", size=SIDE, left=64, top=32, side=SQUARE)[:96]
    stored = np.ascontiguousarray(np.rot90(upright, rotation // 90)[:, ::-1])
    packets = encoded("h264", [stored] * 3, gop=GOP)
    query = f"?codec=h264&rotation={rotation}&mirror=true"
    with open_frames(video_gateway, query) as client:
        for packet in packets:
            client.send(framed(packet, conf=0.9))
        replies = [answer(client) for _ in packets]
    for reply in replies:
        assert (reply["width"], reply["height"]) == (SIDE, 96)
        boxes = np.array([found["box"] for found in reply["detections"]])
        assert [*boxes[:, :2].min(0), *boxes[:, 2:].max(0)] == [64, 32, 96, 64]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("?codec=h264&rotation=45", "one of 0, 90, 180, 270"),
        ("?codec=h264&mirror=yes", "true or false"),
        ("?codec=mjpeg&rotation=90", "EXIF"),
        ("?rotation=90", "EXIF"),
    ],
)
def test_an_orientation_that_there_is_not_closes_in_words(
    video_gateway: Gateway, query: str, reason: str
) -> None:
    with open_frames(video_gateway, query) as client:
        with pytest.raises(ConnectionClosed) as closed:
            answer(client)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1003
        assert reason in closed.value.rcvd.reason


def test_a_pipeline_from_before_refuses_to_turn_frames_in_words(
    video_repository: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(video_repository, repository)
    config = repository / "tiny_stream" / "config.pbtxt"
    text = config.read_text()
    config.write_text(text.replace(PipelineParameter.STREAM_OPTIONS.value, "of_no_importance"))
    assert config.read_text() != text
    _, packets = squares_on_film("h264", 2)
    with serving(repository) as triton, gateway(triton.url) as running:
        with open_frames(running, "?codec=h264&rotation=90") as client:
            client.send(packets[0])
            reply = answer(client)
        assert reply["status"] == "refused"
        assert "turns no frames" in reply["error"]
        with open_frames(running, "?codec=h264") as client:
            client.send(packets[0])
            assert labels(answer(client))[0] == "red"


def test_the_network_looks_at_some_frames_and_the_tracker_answers_for_the_others(
    video_gateway: Gateway,
) -> None:
    # One anchor of the detector fits the square.
    picture = coloured_square("red", size=SIDE, left=32, top=48, side=16)
    packets = encoded("h264", [picture] * 40, gop=GOP)
    before = looked_at_in_all(video_gateway)
    with open_frames(video_gateway, "?codec=h264&detect_fps=10&min_hits=1") as client:
        replies = []
        for number, packet in enumerate(packets):
            client.send(framed(packet, timestamp=33_333 * number))
            replies.append(answer(client))
    assert {reply["status"] for reply in replies} == {"ok"}
    looked_at = [number for number, reply in enumerate(replies) if reply["looked_at"]]
    assert looked_at[0] == 0
    assert 5 <= len(looked_at) <= 20
    assert {tuple(found["track_id"] for found in reply["detections"]) for reply in replies} == {
        (1,)
    }
    assert looked_at_in_all(video_gateway) - before == len(looked_at)


def looked_at_in_all(running: Gateway) -> int:
    (line,) = [
        line
        for line in running.get("/metrics")[1].splitlines()
        if line.startswith("framewire_gateway_looked_at_total ")
    ]
    return int(line.split()[-1])


def test_a_stream_that_asks_for_nothing_is_looked_at_whole(video_gateway: Gateway) -> None:
    _, packets = squares_on_film("h264", 5)
    with open_frames(video_gateway, "?codec=h264") as client:
        for packet in packets:
            client.send(packet)
        replies = [answer(client) for _ in packets]
    assert all(reply["looked_at"] for reply in replies)
    assert not any("track_id" in found for reply in replies for found in reply["detections"])


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("?codec=h264&detect_fps=often", "detect_fps is a number"),
        ("?codec=h264&detect_fps=0", "detect_fps is 0.0, expected more than 0"),
        ("?codec=h264&track_high=2", "track_high is 2.0, expected 0 to 1"),
        ("?detect_fps=auto", "name its codec"),
    ],
)
def test_what_means_nothing_closes_the_connection(
    video_gateway: Gateway, query: str, said: str
) -> None:
    with open_frames(video_gateway, query) as client, pytest.raises(ConnectionClosed) as closed:
        answer(client)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1003
    assert said in closed.value.rcvd.reason


def test_it_says_which_codecs_the_pipeline_takes(
    video_gateway: Gateway, open_gateway: Gateway
) -> None:
    with_video = json.loads(video_gateway.get("/pipeline")[1])
    assert with_video["codecs"] == ["h264", "h265", "mjpeg"]
    assert with_video["detect_fps"]
    assert with_video["tracks"]
    without = json.loads(open_gateway.get("/pipeline")[1])
    assert without["codecs"] == []
    assert not without["detect_fps"]
    with open_frames(open_gateway, "?codec=h264") as client:
        client.send(b"a packet")
        reply = answer(client)
    assert reply["status"] == "refused"
    assert "no video" in reply["error"]


def test_video_of_another_contract_is_refused_and_pictures_are_not(
    video_repository: Path, squares: dict[str, bytes], tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(video_repository, repository)
    config = repository / "tiny_stream" / "config.pbtxt"
    text = config.read_text()
    config.write_text(text.replace(stream_fingerprint(), "another"))
    assert config.read_text() != text
    with serving(repository) as triton, gateway(triton.url) as running:
        status, described = running.get("/pipeline")
        assert (status, json.loads(described)["codecs"]) == (200, [])
        assert labels(running.post(squares["red"])[1])[0] == "red"
        with open_frames(running, "?codec=h264") as client:
            client.send(b"a packet")
            assert answer(client)["status"] == "misconfigured"
        running.stop()
        assert "tiny_stream' speaks contract another" in running.error_text()


def test_a_stream_goes_on_when_triton_comes_back(video_repository: Path) -> None:
    _, packets = squares_on_film("h264", GOP)
    with (
        serving(video_repository, "--no-supervise") as first,
        gateway(first.url, "--client-timeout", "5") as running,
        open_frames(running, "?codec=h264") as client,
    ):
        client.send(packets[0])
        assert labels(answer(client))[0] == "red"
        # Not told to stop: Triton then waits for calls that are open.
        os.kill(first.triton_pid(), signal.SIGKILL)
        first.wait()
        client.send(packets[1])
        assert answer(client)["status"] in ("unreachable", "not_ready")
        with serving(video_repository, "--grpc-port", str(first.grpc_port)):
            reply = first_detected(client, packets[0])
            assert reply["frame_index"] == 0
            client.send(packets[1])
            assert labels(answer(client))[0] == "green"
            client.close()
            running.stop()
