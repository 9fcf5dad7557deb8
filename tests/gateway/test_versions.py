"""A pipeline that is given another version behind a gateway, on the real server."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import ClientConnection

from builder.cli import main
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests.gateway.chromium import chromium, find_chromium
from tests.gateway.clients import answer, framed, labels, open_frames
from tests.gateway.running import Gateway, gateway
from tests.gateway.test_video import squares_on_film
from tests.serving import Serving, serving
from tests.tiny_detector import own_metadata, save_tiny_detector, tiny_detector

OLD, NEW = ("red", "green", "blue"), ("blue", "red", "green")


def build(repository: Path, names: tuple[str, ...]) -> None:
    """The tiny detector; what shows the colour OLD[i] is of the class i, whatever its name is."""
    model = tiny_detector(metadata=own_metadata(names))
    file = save_tiny_detector(repository.parent / "tiny.onnx", model)
    build_pipeline(file, repository, BuildSettings("tiny", stream=True))


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Of version 1, to which every test goes back."""
    repository = tmp_path_factory.mktemp("versions") / "repository"
    build(repository, OLD)
    with serving(repository, "--no-supervise") as running:
        yield running


@pytest.fixture
def running(triton: Serving) -> Iterator[Gateway]:
    """Of the server's only pipeline, which nobody names."""
    with gateway(triton.url) as before:
        yield before


def load(triton: Serving) -> None:
    options = ["--repository", str(triton.repository), "--url", triton.url]
    assert main(["load", "tiny", *options]) == 0


def roll_back(triton: Serving) -> None:
    options = ["--repository", str(triton.repository), "--to", "1"]
    assert main(["rollback", "tiny", *options]) == 0
    load(triton)


def described(running: Gateway) -> list[str]:
    status, text = running.get("/pipeline")
    assert status == 200
    return list(json.loads(text)["labels"])


def test_pictures_are_named_by_the_version_that_looked_at_them(
    triton: Serving, running: Gateway, squares: dict[str, bytes]
) -> None:
    def found(client: ClientConnection, image: bytes, **header: object) -> list[str]:
        client.send(framed(image, **header))
        return labels(answer(client))

    with open_frames(running) as client:
        assert found(client, squares["red"]) == ["red"]
        assert running.post(squares["red"])[1]["detections"][0]["label"] == "red"
        build(triton.repository, NEW)
        load(triton)
        assert found(client, squares["red"]) == ["blue"]
        assert running.post(squares["red"])[1]["detections"][0]["label"] == "blue"
        assert found(client, squares["red"], classes=["red"]) == []
        assert found(client, squares["green"], classes=["red"]) == ["red"]
        roll_back(triton)
        # The first after the change asks by the index of the version before.
        assert found(client, squares["red"], classes=["red"]) == ["red"]
        assert found(client, squares["green"]) == ["green"]
    assert running.get("/readyz")[0] == 200
    assert running.error_text() == ""


def test_who_asks_what_the_pipeline_is_is_told_of_the_version_that_there_is(
    triton: Serving, running: Gateway
) -> None:
    assert described(running) == list(OLD)
    build(triton.repository, NEW)
    load(triton)
    # Without a frame in between.
    wait_for_labels(running, NEW)
    roll_back(triton)
    wait_for_labels(running, OLD)


def wait_for_labels(running: Gateway, expected: tuple[str, ...]) -> None:
    """What is told may be a second old."""
    deadline = time.monotonic() + 30
    while described(running) != list(expected):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("codec", ["h264", "mjpeg"])
def test_frames_of_a_stream_are_named_by_the_version_that_looked_at_them(
    triton: Serving, running: Gateway, codec: str
) -> None:
    colours, packets = squares_on_film(codec, 12)
    names = dict(zip(OLD, NEW, strict=True))
    with open_frames(running, f"?codec={codec}") as client:
        for packet in packets:
            client.send(packet)
        assert [labels(answer(client))[0] for _ in packets] == colours
        build(triton.repository, NEW)
        load(triton)
        # The stream that the old version knew is over; the new one begins with a key frame.
        client.send(packets[1])
        assert answer(client)["status"] in ("refused", "not_ready")
        for packet in packets:
            client.send(packet)
        assert [labels(answer(client))[0] for _ in packets] == [names[each] for each in colours]
        for packet in packets[:3]:
            client.send(framed(packet, classes=["red"]))
        told = [labels(answer(client)) for _ in packets[:3]]
        assert [bool(each) for each in told] == [names[each] == "red" for each in colours[:3]]
        roll_back(triton)
        client.send(packets[1])
        assert answer(client)["status"] in ("refused", "not_ready")
        # Asked by the index of the version before: one frame is not answered, and none wrongly.
        replies = []
        for packet in packets:
            client.send(framed(packet, classes=["red"]))
            replies.append(answer(client))
        assert replies[0]["status"] == "not_ready"
        told = [labels(reply) for reply in replies[1:]]
        assert {label for each in told for label in each} == {"red"}
        assert [bool(each) for each in told] == [each == "red" for each in colours[1:]]


def test_a_page_that_is_open_lists_the_classes_that_there_are(
    triton: Serving, running: Gateway, squares: dict[str, bytes], tmp_path: Path
) -> None:
    find_chromium()
    name = "children[0].nextSibling.textContent"
    listed = f"[...document.querySelectorAll('#classes li')].map((each) => each.{name})"
    found = f"document.querySelector('#classes .found')?.{name}"
    picture = tmp_path / "square.jpg"
    picture.write_bytes(squares["red"])
    with chromium(tmp_path / "profile") as page:
        page.open(f"{running.url}/")
        page.wait_for("document.getElementById('state')?.textContent === 'connected'")
        page.choose_file("#file", picture)
        page.wait_for(f"{found} === 'red'")
        assert page.evaluate(listed) == list(OLD)
        build(triton.repository, NEW)
        load(triton)
        page.choose_file("#file", picture)
        page.wait_for(f"{listed}[0] === 'blue'")
        assert page.evaluate(listed) == list(NEW)
        page.choose_file("#file", picture)
        page.wait_for(f"{found} === 'blue'")
        roll_back(triton)
        assert page.complaints == []
