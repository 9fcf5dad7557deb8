"""The page in a real browser: real getUserMedia, real WebSocket, real Triton with the demo."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest

from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings
from tests import images
from tests.conftest import ROOT
from tests.gateway.browsing import (
    CANVAS,
    camera_options,
    canvas_rgba,
    detected_in_packets,
    drawn_wrong,
    sent_frames,
    still_film,
)
from tests.gateway.chromium import Page, chromium, find_chromium
from tests.gateway.running import Gateway, gateway
from tests.serving import Serving, serving
from thin_client import Detector

SAMPLES = ROOT / "samples"
TOKEN = "only.pages-that~know+this"  # noqa: S105
CONNECTED = "document.getElementById('state')?.textContent === 'connected'"
FOUND = "document.querySelector('#classes .found')"
CHOOSE = """(kind) => {
    const codec = document.getElementById("codec");
    codec.value = kind;
    codec.dispatchEvent(new Event("change"));
}"""
TROUBLE = "document.getElementById('trouble')?.textContent"


@pytest.fixture(scope="module")
def demo() -> Iterator[Serving]:
    find_chromium()  # before a server is started for nothing
    with serving(ROOT / "model_repository") as running:
        yield running


@pytest.fixture(scope="module")
def before_demo(demo: Serving) -> Iterator[Gateway]:
    with gateway(demo.url, "--model", "codes") as running:
        yield running


@pytest.fixture
def page(tmp_path: Path, before_demo: Gateway) -> Iterator[Page]:
    """The gateway's page in a browser whose camera sees the warehouse."""
    options = camera_options(SAMPLES / "warehouse.jpg", tmp_path)
    with chromium(tmp_path / "profile", *options) as opened:
        opened.open(f"{before_demo.url}/")
        opened.wait_for(CONNECTED)
        yield opened
        assert opened.complaints == []


def expected(demo: Serving, encoded: bytes, conf: float) -> list[dict[str, Any]]:
    """What a client over gRPC is told."""
    with Detector(demo.url, "codes") as detector:
        return list(detector.detect(encoded, conf=conf).to_dict()["detections"])


def wait_for_drawing(page: Page, least: int) -> dict[str, Any]:
    """The answer that is on the canvas, once it shows the latest but for the one on its way."""
    drawn: list[dict[str, Any]] = []
    wrong: list[str | None] = []

    def as_the_server_said() -> bool:
        canvas = canvas_rgba(page)
        for answer in page.received[-4:]:
            if len(answer.get("detections", ())) >= least:
                wrong.append(drawn_wrong(canvas, answer))
                if wrong[-1] is None:
                    drawn.append(answer)
                    return True
        return False

    page.wait_until(as_the_server_said, f"boxes on the canvas, last {wrong[-1:]}", 30)
    return drawn[0]


def test_boxes_of_what_the_camera_sees_are_on_the_canvas(page: Page, demo: Serving) -> None:
    page.evaluate("document.getElementById('camera').click()")
    page.wait_for(FOUND)
    page.wait_until(lambda: len(page.received) >= 8, "eight answers")
    answer = wait_for_drawing(page, least=20)
    header, jpeg = sent_frames(page)[answer["id"]]
    assert jpeg.startswith(b"\xff\xd8")
    assert answer["detections"] == expected(demo, jpeg, header["conf"])
    assert [each["id"] for each in page.received] == list(range(len(page.received)))
    for meter in ("rate", "latency", "latency-p95", "up", "down", "frame-size"):
        page.wait_for(f"Number(document.getElementById('{meter}').textContent) > 0")
    assert page.evaluate(TROUBLE) == ""


def test_the_threshold_goes_with_each_frame(page: Page, demo: Serving) -> None:
    page.evaluate("document.getElementById('camera').click()")
    page.wait_for(FOUND)
    slide = "(value) => { conf.value = value; conf.dispatchEvent(new Event('input')); }"
    page.evaluate(f"({slide})(0.94)")
    page.wait_until(
        lambda: any(header["conf"] == 0.94 for header, _ in sent_frames(page).values()),
        "a frame with the threshold",
    )
    page.wait_until(lambda: len(page.received[-1]["detections"]) < 10, "fewer boxes")
    answer = wait_for_drawing(page, least=1)
    assert sent_frames(page)[answer["id"]][0]["conf"] == 0.94
    assert min(each["score"] for each in answer["detections"]) >= 0.94


def test_a_picture_is_sent_as_its_file_is_and_its_boxes_are_drawn(
    page: Page, demo: Serving
) -> None:
    picture = SAMPLES / "desk.jpg"
    page.choose_file("#file", picture)
    page.wait_for(FOUND)
    answer = wait_for_drawing(page, least=1)
    frames = sent_frames(page)
    assert [encoded for _, encoded in frames.values()] == [picture.read_bytes()]
    header = frames[0][0]
    assert answer["detections"] == expected(demo, picture.read_bytes(), header["conf"])


def test_a_dropped_file_that_is_no_picture_is_called_that(page: Page) -> None:
    drop(page, b"nothing to see here", "notes.jpg")
    page.wait_for(f"{TROUBLE}.includes('not a JPEG, PNG, WebP or BMP')")
    drop(page, (SAMPLES / "desk.jpg").read_bytes(), "desk.jpg")
    page.wait_for(FOUND)
    assert page.evaluate(TROUBLE) == ""
    page.evaluate("document.getElementById('stop').click()")
    assert not canvas_rgba(page).any()


def drop(page: Page, content: bytes, name: str) -> None:
    """Let a file fall onto the stage."""
    encoded = base64.b64encode(content).decode()
    page.evaluate(
        f"""(() => {{
            const bytes = Uint8Array.from(atob("{encoded}"), (each) => each.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], "{name}", {{ type: "image/jpeg" }}));
            const options = {{ dataTransfer, bubbles: true, cancelable: true }};
            document.getElementById("stage").dispatchEvent(new DragEvent("drop", options));
        }})()"""
    )


def test_the_browser_encodes_video_where_the_pipeline_takes_it(page: Page, demo: Serving) -> None:
    page.evaluate("document.getElementById('camera').click()")
    page.wait_for(FOUND)
    as_pictures = len(sent_frames(page)[0][1])
    page.evaluate(f"({CHOOSE})('h264')")
    page.sent.clear()
    page.wait_until(lambda: page.received[-1].get("frame_index", -1) >= 12, "frames of video")
    answer = wait_for_drawing(page, least=15)
    frames = sent_frames(page)
    packets = [frames[number] for number in range(answer["id"] + 1)]
    assert all(packet.startswith(b"\0\0\0\1") for _, packet in packets)
    # A picture that stands still costs video next to nothing.
    assert sum(len(packet) for _, packet in packets[1:]) / len(packets) < as_pictures / 5
    # The same packets to the server without browser and gateway; it looks at each of them.
    known = detected_in_packets(demo.url, "codes_stream", packets)[-1]
    assert furthest(known, answer["detections"]) < 12


def test_frames_go_where_their_kind_is_expected_whenever_it_is_changed(page: Page) -> None:
    page.evaluate("document.getElementById('camera').click()")
    page.wait_for(FOUND)
    page.evaluate(
        f"""new Promise((done) => {{
            let turns = 0;
            const turn = () => {{
                ({CHOOSE})(turns % 2 ? "jpeg" : "h264");
                turns += 1;
                turns < 60 ? setTimeout(turn, 50 + 7 * (turns % 11)) : done();
            }};
            turn();
        }})"""
    )
    kinds = set()
    for message in page.sent:
        line, _, frame = message.partition(b"\n")
        video = "timestamp" in json.loads(line)
        assert frame.startswith(b"\0\0\0\1" if video else b"\xff\xd8")
        kinds.add(video)
    assert kinds == {True, False}


def test_a_video_file_plays_and_its_frames_are_sent(
    page: Page, demo: Serving, tmp_path: Path
) -> None:
    film = tmp_path / "film.mp4"
    still_film(SAMPLES / "warehouse.jpg", film)
    page.choose_file("#file", film)
    page.wait_for(FOUND)
    page.wait_until(lambda: len(page.received) >= 8, "eight answers")
    answer = wait_for_drawing(page, least=20)
    header, jpeg = sent_frames(page)[answer["id"]]
    assert answer["detections"] == expected(demo, jpeg, header["conf"])
    assert page.evaluate("document.getElementById('video').currentTime") > 0
    page.evaluate("document.getElementById('stop').click()")
    assert not canvas_rgba(page).any()


@pytest.mark.parametrize("codec", ["jpeg", "h264"])
@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_phones_film_is_sent_as_it_is_shown(
    page: Page, demo: Serving, tmp_path: Path, rotation: int, codec: str
) -> None:
    film = tmp_path / "film.mp4"
    still_film(SAMPLES / "warehouse.jpg", film, rotation=rotation)
    page.evaluate(f"({CHOOSE})('{codec}')")
    page.choose_file("#file", film)
    page.wait_for(FOUND)
    page.wait_until(lambda: len(page.received) >= 8, "eight answers")
    answer = wait_for_drawing(page, least=15)
    assert (answer["width"], answer["height"]) == (1280, 720)
    assert ("frame_index" in answer) == (codec == "h264")
    # What is drawn is where the same picture without a film has it.
    picture = cv2.resize(cv2.imread(str(SAMPLES / "warehouse.jpg")), (1280, 720))
    known = expected(demo, images.encoded(picture, ".jpg"), 0.5)
    assert len(known) >= 15
    assert furthest(known, answer["detections"]) < 12


def furthest(known: list[dict[str, Any]], found: list[dict[str, Any]]) -> float:
    """How far the edges of any known box are from those of the nearest that was found, pixels."""
    return max(
        min(max(abs(a - b) for a, b in zip(box["box"], each["box"], strict=True)) for each in found)
        for box in known
    )


@pytest.fixture(scope="module")
def sparing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Before a pipeline whose network need not look at every frame."""
    repository = tmp_path_factory.mktemp("sparing") / "repository"
    detector = SAMPLES / "code_detector" / "codes.onnx"
    build_pipeline(detector, repository, BuildSettings("codes", stream=True))
    with serving(repository, "--no-supervise") as triton, gateway(triton.url) as running:
        yield running


def test_video_is_looked_at_as_the_network_has_room_and_its_tracks_are_drawn(
    sparing: Gateway, tmp_path: Path
) -> None:
    options = camera_options(SAMPLES / "warehouse.jpg", tmp_path)
    with chromium(tmp_path / "profile", *options) as page:
        page.open(f"{sparing.url}/")
        page.wait_for(CONNECTED)
        page.evaluate(f"({CHOOSE})('h264')")
        page.evaluate("document.getElementById('camera').click()")
        page.wait_for(FOUND)

        def both() -> bool:
            return {reply.get("looked_at") for reply in page.received} >= {True, False}

        page.wait_until(both, "frames that were looked at, and others")
        answer = wait_for_drawing(page, least=15)
        assert all(each["track_id"] > 0 for each in answer["detections"])
        for meter in ("rate", "looked-at"):
            page.wait_for(f"Number(document.getElementById('{meter}').textContent) > 0")
        # Empty would be 0 for Number.
        page.wait_for("parseFloat(document.getElementById('dropped').textContent) >= 0")
        assert page.complaints == []


def test_a_file_that_the_browser_cannot_play_is_called_that(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no film at all")
    page.choose_file("#file", broken)
    page.wait_for(f"{TROUBLE} === 'this browser cannot play broken.mp4.'")


def test_it_fits_a_phone(page: Page) -> None:
    page.resize(360, 740, scale=2, mobile=True)
    page.evaluate("document.getElementById('camera').click()")
    page.wait_for(FOUND)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 360
    page.wait_for(f"{CANVAS}.width === 2 * document.getElementById('video').offsetWidth")
    for control in ("camera", "stop", "conf", "rate"):
        assert page.evaluate(f"document.getElementById('{control}').getBoundingClientRect().top")
    tops = page.evaluate(
        "[...document.querySelectorAll('button')].filter((each) => each.offsetHeight)"
        ".map((each) => each.offsetHeight)"
    )
    assert min(tops) >= 44  # as fingers need it


def test_a_page_with_the_token_in_its_address_gets_in_and_hides_it(
    demo: Serving, tmp_path: Path
) -> None:
    with (
        gateway(demo.url, environment={"FRAMEWIRE_GATEWAY_TOKEN": TOKEN}) as guarded,
        chromium(tmp_path / "profile") as page,
    ):
        page.open(f"{guarded.url}/")
        page.wait_for(f"{TROUBLE}.includes('token')")
        page.wait_for("!document.getElementById('token-form').hidden")
        page.open("about:blank")
        page.open(f"{guarded.url}/#token={TOKEN}")
        page.wait_for(CONNECTED)
        assert TOKEN not in page.evaluate("location.href")
        assert page.evaluate("document.getElementById('token-form').hidden")
        page.choose_file("#file", SAMPLES / "desk.jpg")
        page.wait_for(FOUND)


def test_a_gateway_that_goes_and_comes_back_is_noticed(demo: Serving, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as page:
        with gateway(demo.url) as first:
            page.open(f"{first.url}/")
            page.wait_for(CONNECTED)
        page.wait_for(f"{TROUBLE}.includes('the gateway stops')")
        assert page.evaluate("document.getElementById('state').textContent") == "not connected"
        with gateway(demo.url, "--port", str(first.port)):
            page.wait_for(CONNECTED)
            assert page.evaluate(TROUBLE) == ""
            page.choose_file("#file", SAMPLES / "desk.jpg")
            page.wait_for(FOUND)
