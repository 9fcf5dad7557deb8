"""How many frames a second the network looks at: what is asked, and what is made of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from tests.thin_client.streaming.rtsp import Camera
from tests.thin_client.streaming.server import SPARING, STREAM, TRACKING, streaming_server
from tests.thin_client.streaming.videos import HEIGHT, WIDTH, annex_b, write_video
from thin_client import Detector, InvalidRequestParameter, PipelineNotFound
from thin_client.cli import main
from thin_client.contract import ImageStatus
from thin_client.drawing import color_bgr


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "video.mp4", key_every=15)


@pytest.fixture
def camera(video: Path) -> Iterator[Camera]:
    with closing(Camera(annex_b(video, "h264_mp4toannexb"))) as running:
        yield running


@pytest.fixture
def serve() -> Iterator[Callable[..., SimpleNamespace]]:
    with streaming_server(options=TRACKING) as running:
        yield running


def begun(server: SimpleNamespace) -> dict[str, str]:
    """What the packet that began the only stream said of looks and tracks."""
    (first,) = [packet for packet in server.fake.packets if packet.start]
    names = ("detect_fps", "track_high", "track_low", "track_buffer", "min_hits")
    return {name: value for name, value in first.parameters.items() if name in names}


def every_second(packet: Any) -> bool:
    return round(packet.timestamp_us * 30 / 1e6) % 2 == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [(None, {"detect_fps": "auto"}), (5, {"detect_fps": "5"}), ("all", {})],
)
def test_a_live_source_leaves_it_to_the_network_unless_told_otherwise(
    serve: SimpleNamespace, camera: Camera, asked: float | str | None, said: dict[str, str]
) -> None:
    with (
        Detector(serve.url) as detector,
        detector.video_stream(camera.url, detect_fps=asked) as stream,
    ):
        next(iter(stream))
    assert begun(serve) == said
    later = [packet for packet in serve.fake.packets if not packet.start]
    assert all("detect_fps" not in packet.parameters for packet in later)


@pytest.mark.parametrize(("asked", "said"), [(None, {}), ("auto", {"detect_fps": "auto"})])
def test_a_file_is_looked_at_whole_unless_told_otherwise(
    serve: SimpleNamespace, video: Path, asked: str | None, said: dict[str, str]
) -> None:
    tracking = {"track_high": 0.6, "track_low": 0.2, "track_buffer": 2, "min_hits": 3}
    with (
        Detector(serve.url) as detector,
        detector.video_stream(
            str(video),
            every_frame=True,
            detect_fps=asked,
            tracking=tracking,  # type: ignore[arg-type]
        ) as stream,
    ):
        results = list(stream)
    tracker = {"track_high": "0.6", "track_low": "0.2", "track_buffer": "2", "min_hits": "3"}
    assert begun(serve) == said | tracker
    assert {tuple(result.detections.track_ids.tolist()) for result in results} == {(42,)}  # type: ignore[union-attr]


@pytest.mark.parametrize("options", [None, "rotation,mirror"])
def test_an_older_pipeline_is_asked_for_nothing_that_it_does_not_know(
    camera: Camera, options: str | None
) -> None:
    with (
        streaming_server(options=options) as server,
        Detector(server.url) as detector,
        detector.video_stream(camera.url) as stream,
    ):
        result = next(iter(stream))
    assert result.looked_at
    assert result.detections.track_ids is None
    assert begun(server) == {}
    assert "looked_at" not in server.fake.packets[0].outputs
    assert "track_ids" not in server.fake.packets[0].outputs


@pytest.mark.parametrize(
    ("options", "asked", "named"),
    [
        ("rotation,mirror", {"detect_fps": 5}, "--detect-fps"),
        ("rotation,mirror", {"detect_fps": "auto"}, "--detect-fps"),
        (SPARING, {"tracking": {"track_high": 0.5}}, "--track-high"),
        (TRACKING, {"detect_fps": 5, "codec": "jpeg"}, "takes no video"),
    ],
)
def test_what_a_pipeline_cannot_do_is_refused_in_words_where_it_was_asked_for(
    video: Path, options: str, asked: dict[str, Any], named: str
) -> None:
    with (
        streaming_server(options=options) as server,
        Detector(server.url) as detector,
        pytest.raises(PipelineNotFound, match=named),
    ):
        detector.video_stream(str(video), **asked)
    assert not server.fake.packets


@pytest.mark.parametrize(
    "asked",
    [
        {"detect_fps": 0},
        {"detect_fps": "often"},
        {"tracking": {"track_low": 1.5}},
        {"tracking": {"track_buffer": -1}},
        {"tracking": {"min_hits": 0}},
    ],
)
def test_a_number_that_means_nothing_is_refused(
    serve: SimpleNamespace, video: Path, asked: dict[str, Any]
) -> None:
    with Detector(serve.url) as detector, pytest.raises(InvalidRequestParameter, match="expected"):
        detector.video_stream(str(video), **asked)


@pytest.mark.parametrize("tracks", [True, False])
def test_frames_that_nobody_looked_at_are_answered_and_counted_apart(
    serve: SimpleNamespace, video: Path, tracks: bool
) -> None:
    serve.fake.settings.looks = every_second
    serve.fake.settings.tracks = tracks
    with (
        Detector(serve.url) as detector,
        detector.video_stream(str(video), every_frame=True, detect_fps=15) as stream,
    ):
        results = list(stream)
        statistics = stream.statistics(whole=True)
    assert len(results) == 60
    assert [result.looked_at for result in results] == [True, False] * 30
    seen = ImageStatus.OK if tracks else ImageStatus.NOT_LOOKED_AT
    assert {result.detections.status for result in results[1::2]} == {seen}
    assert (statistics.frames, statistics.looked_at, statistics.dropped) == (60, 30, 0)
    assert statistics.looked_at_per_s == pytest.approx(statistics.frames_per_s / 2)


@pytest.mark.parametrize("tracks", [True, False])
def test_lines_say_which_frames_were_looked_at_and_which_object_is_which(
    serve: SimpleNamespace, video: Path, tracks: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    serve.fake.settings.looks = every_second
    serve.fake.settings.tracks = tracks
    options = ["--every-frame", "--detect-fps", "15", "--json", "--min-hits", "2"]
    # That nobody looked at a frame is no failure.
    assert main(["stream", str(video), "--url", serve.url, *options]) == 0
    *lines, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [line["looked_at"] for line in lines] == [True, False] * 30
    assert lines[0]["detections"][0]["track_id"] == 42
    assert ("detections" in lines[1]) == tracks
    assert not any("error" in line for line in lines)
    assert last["statistics"]["looked_at"] == 30
    assert begun(serve) == {"detect_fps": "15", "min_hits": "2"}


def test_held_frames_that_nobody_looked_at_are_taken_out(
    serve: SimpleNamespace, tmp_path: Path
) -> None:
    serve.fake.settings.held = 4
    serve.fake.settings.looks = lambda _: False
    serve.fake.settings.tracks = False
    video = write_video(tmp_path / "video.mp4", count=30)
    with (
        Detector(serve.url) as detector,
        detector.video_stream(str(video), every_frame=True, detect_fps=1) as stream,
    ):
        assert len(list(stream)) == 30


def test_motion_jpeg_is_a_stream_where_there_are_tracks_to_be_had(
    serve: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.avi", "mjpeg", count=10)
    with Detector(serve.url) as detector:
        with detector.video_stream(str(video), every_frame=True) as stream:
            assert stream.plan.passing
            assert len(list(stream)) == 10
        first = {packet.model for packet in serve.fake.packets}
        # Unless a picture a request was asked for.
        with detector.video_stream(str(video), every_frame=True, codec="jpeg") as stream:
            assert len(list(stream)) == 10
    assert first == {STREAM}
    assert {packet.model for packet in serve.fake.packets} == {STREAM, "codes"}


def test_a_stream_that_begins_anew_asks_again(serve: SimpleNamespace, camera: Camera) -> None:
    with (
        Detector(serve.url) as detector,
        detector.video_stream(camera.url, detect_fps=5) as stream,
    ):
        next(iter(stream))
        serve.fake.settings.hang_up = lambda _: len(serve.fake.packets) > 20
        while not any("detect_fps" in packet.parameters for packet in serve.fake.packets[21:]):
            next(iter(stream))
            if len(serve.fake.packets) > 21:
                serve.fake.settings.hang_up = lambda _: False


def test_an_annotated_video_has_a_trail_behind_what_moves(
    serve: SimpleNamespace, video: Path, tmp_path: Path
) -> None:
    serve.fake.settings.size = (WIDTH, HEIGHT)
    serve.fake.settings.box = lambda us: (us * 1e-4, 20, us * 1e-4 + 30, 60)
    last = {}
    for options in ((), ("--trails",)):
        out = tmp_path / f"out{len(options)}.avi"
        asked = ("--every-frame", "--url", serve.url, "--out", str(out), *options)
        assert main(["stream", str(video), *asked]) == 0
        with av.open(str(out)) as container:
            *_, frame = container.decode(video=0)
            last[options] = frame.to_ndarray(format="bgr24").astype(int)
    differs = np.abs(last[()] - last[("--trails",)]).max(axis=2) > 80
    rows, columns = np.nonzero(differs)
    # The middle of the lower edge was there in the second before the last frame, at 1.97 s.
    assert 59 <= np.median(rows) <= 61
    assert 100 <= columns.min() < 130
    assert 170 < columns.max() <= 215
    colour = last[("--trails",)][60, 130:180].mean(axis=0)
    assert np.abs(colour - color_bgr(42)).max() < 40
