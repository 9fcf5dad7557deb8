"""Streams to a server that can be told to misbehave: what is on the wire, and what is delivered."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.thin_client.streaming.server import STREAM, streaming_server
from tests.thin_client.streaming.videos import FPS, annex_b, packets, write_video
from thin_client import Detector, PipelineNotFound, RequestRefused, ServerUnreachable
from thin_client.contract import Codec
from thin_client.errors import SourceUnreadable
from thin_client.retry import MOST_LOST_PROCESSES
from thin_client.streaming.units import is_key


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    with streaming_server() as running:
        yield running


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "video.mp4")


def wait_for(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("codec", "suffix", "name", "to_annex_b"),
    [
        ("libx264", "mp4", "h264", "h264_mp4toannexb"),
        ("libx265", "mkv", "h265", "hevc_mp4toannexb"),
    ],
)
def test_packets_of_a_file_pass_byte_for_byte(
    server: SimpleNamespace, tmp_path: Path, codec: str, suffix: str, name: str, to_annex_b: str
) -> None:
    video = write_video(tmp_path / f"video.{suffix}", codec)
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True) as stream,
    ):
        assert stream.plan.passing
        results = list(stream)
    sent = [packet for packet in server.fake.packets if packet.data]
    assert [packet.data for packet in sent] == annex_b(video, to_annex_b)
    assert {packet.model for packet in sent} == {STREAM}
    assert [packet.start for packet in sent] == [True] + [False] * 59
    assert {packet.codec for packet in sent} == {name}
    assert len({packet.stream for packet in server.fake.packets}) == 1
    assert server.fake.packets[-1].end
    assert len(results) == 60


def test_motion_jpeg_passes_byte_for_byte_as_images(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.avi", "mjpeg", count=10)
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True) as stream,
    ):
        assert len(list(stream)) == 10
    assert [packet.data for packet in server.fake.packets] == packets(video)
    assert {packet.model for packet in server.fake.packets} == {"codes"}


def test_packets_leave_evenly_at_the_rate_of_the_source(
    server: SimpleNamespace, video: Path
) -> None:
    with Detector(server.url) as detector, detector.video_stream(str(video)) as stream:
        list(stream)
    arrived = [packet.arrived for packet in server.fake.packets if packet.data]
    # No bursts. How much later than due they are is up to a machine that others use too.
    for earlier, later in zip(arrived, arrived[15:], strict=False):
        assert later - earlier > 0.5 * 15 / FPS


@pytest.mark.parametrize("held", [0, 2])
def test_with_every_frame_nothing_is_lost_and_nothing_waits_for_the_clock(
    server: SimpleNamespace, tmp_path: Path, held: int
) -> None:
    video = write_video(tmp_path / "long.mp4", count=300)
    server.fake.settings.held = held
    server.fake.settings.delay_s = 0.002
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True) as stream,
    ):
        results = list(stream)
        statistics = stream.statistics(whole=True)
    assert [result.timestamp_us for result in results] == pytest.approx(
        [number * 1e6 / FPS for number in range(300)], abs=1
    )
    assert statistics.dropped == 0
    assert statistics.frames == 300


def test_a_source_that_must_be_encoded_is_without_frames_that_wait(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.avi", "mpeg4", count=30)
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True) as stream,
    ):
        assert not stream.plan.passing
        assert stream.plan.codec is Codec.H264
        results = list(stream)
    sent = [packet for packet in server.fake.packets if packet.data]
    assert len(results) == len(sent) == 30
    assert is_key(sent[0].data, Codec.H264)
    assert not any(packet.status for packet in sent)


def test_the_link_is_measured_with_bytes_that_no_model_sees(
    server: SimpleNamespace, video: Path
) -> None:
    with Detector(server.url) as detector, detector.video_stream(str(video)) as stream:
        link = stream.link
    assert link.bits_per_s > 1e6
    assert 0 < link.rtt_s < 1
    assert 10_000 < server.fake.probe_bytes < 2_000_000
    assert not server.fake.requests


def test_what_was_chosen_is_said_in_one_line(server: SimpleNamespace, video: Path) -> None:
    said: list[str] = []
    with Detector(server.url) as detector, detector.video_stream(str(video), say=said.append):
        pass
    assert len(said) == 1
    assert said[0].startswith("link ")
    assert "H.264 passes through" in said[0]


def test_a_pipeline_without_streams_gets_jpegs_and_is_named_when_video_is_asked_for(
    tmp_path: Path, video: Path
) -> None:
    with streaming_server(streams=False) as server, Detector(server.url) as detector:
        with detector.video_stream(str(video)) as stream:
            assert stream.plan.codec is Codec.MJPEG
            assert len(list(stream)) > 0
        with pytest.raises(PipelineNotFound, match=r"--stream.*--codec jpeg"):
            detector.video_stream(str(video), codec="h264")


def test_stale_packets_are_dropped_up_to_a_key_frame_and_counted_when_the_server_is_slow(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "long.mp4", count=180, key_every=15)
    server.fake.settings.delay_s = 0.15
    with Detector(server.url) as detector, detector.video_stream(str(video)) as stream:
        results = list(stream)
        statistics = stream.statistics(whole=True)
    assert statistics.dropped > 0
    assert len(results) + statistics.dropped == pytest.approx(180, abs=25)
    # Whatever was left out, the server could decode all that it got.
    assert not any(packet.status for packet in server.fake.packets if packet.data)
    assert len(results) < 100


def test_pictures_that_wait_are_replaced_by_newer_ones_when_the_server_is_slow(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.avi", "mpeg4", count=90)
    server.fake.settings.delay_s = 0.1
    with Detector(server.url) as detector, detector.video_stream(str(video)) as stream:
        results = list(stream)
        statistics = stream.statistics(whole=True)
    assert statistics.dropped > 20
    assert len(results) + statistics.dropped == 90
    assert not any(packet.status for packet in server.fake.packets if packet.data)
    # The last ones are not seconds old.
    assert results[-1].latency_s < 1.0


def test_when_the_server_comes_back_the_stream_goes_on_at_a_key_frame(tmp_path: Path) -> None:
    video = write_video(tmp_path / "long.mp4", count=240, key_every=30)
    said: list[str] = []
    with (
        streaming_server() as first,
        Detector(first.url) as detector,
        detector.video_stream(str(video), say=said.append) as stream,
    ):
        results = iter(stream)
        for _ in range(20):
            next(results)
        first.stop()
        with streaming_server(port=first.port) as second:
            rest = list(results)
            sent = [packet for packet in second.fake.packets if packet.data]
    assert sent[0].start
    assert is_key(sent[0].data, Codec.H264)
    assert not any(packet.status for packet in sent)
    assert rest[-1].timestamp_us > 7e6
    assert any("connecting again" in sentence for sentence in said)
    assert any(sentence.startswith("connected again after") for sentence in said)


def test_every_frame_survives_a_server_that_went_away(tmp_path: Path) -> None:
    video = write_video(tmp_path / "long.mp4", count=300, key_every=50)
    with streaming_server() as first, Detector(first.url) as detector:
        first.fake.settings.delay_s = 0.003
        with detector.video_stream(str(video), every_frame=True) as stream:
            results = iter(stream)
            stamps = [next(results).timestamp_us for _ in range(70)]
            first.stop()
            with streaming_server(port=first.port):
                stamps += [result.timestamp_us for result in results]
            assert stream.statistics().dropped == 0
    assert stamps == pytest.approx([number * 1e6 / FPS for number in range(300)], abs=1)


def test_a_stream_that_the_server_forgot_begins_anew(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "long.mp4", count=120, key_every=10)
    forgotten = threading.Event()

    def refuse(packet) -> str | None:
        if packet.timestamp_us > 1_000_000 and not forgotten.is_set():
            forgotten.set()
            return f"inference request for sequence {packet.stream} to model must specify START"
        return None

    server.fake.settings.refuse = refuse
    with Detector(server.url) as detector, detector.video_stream(str(video)) as stream:
        results = list(stream)
    assert [packet.start for packet in server.fake.packets].count(True) == 2
    assert results[-1].timestamp_us > 3_500_000


@pytest.mark.parametrize(
    "words",
    [
        "the stream's frames are 320x192 where at most 100 pixels are allowed",
        "this server has as many streams open as it may have: end one with sequence_end",
    ],
)
def test_a_refusal_ends_the_stream_with_the_servers_words(
    server: SimpleNamespace, video: Path, words: str
) -> None:
    server.fake.settings.refuse = lambda _: words
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video)) as stream,
        pytest.raises(RequestRefused, match=words),
    ):
        list(stream)


LOST = "Failed to process the request(s) for model instance 'a', message: Stub process 'a' is not"
LOST += " healthy."


def test_a_model_that_lost_its_process_is_met_again(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "long.mp4", count=120, key_every=10)
    lost: list[str] = []

    def refuse(packet) -> str | None:
        if packet.timestamp_us > 1_000_000 and packet.stream not in lost and len(lost) < 2:
            lost.append(packet.stream)
        return LOST if packet.stream in lost else None

    server.fake.settings.refuse = refuse
    with Detector(server.url) as detector, detector.video_stream(str(video)) as stream:
        results = list(stream)
    assert len(lost) == 2
    assert results[-1].timestamp_us > 3_500_000


def test_a_stream_that_ends_each_process_it_meets_is_given_up(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "long.mp4", count=240, key_every=5)
    server.fake.settings.refuse = lambda _: LOST
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video)) as stream,
        pytest.raises(RequestRefused, match="is not healthy"),
    ):
        list(stream)
    streams = {packet.stream for packet in server.fake.packets if packet.data}
    assert len(streams) == 1 + MOST_LOST_PROCESSES


def test_a_server_that_stays_away_ends_the_stream(tmp_path: Path) -> None:
    video = write_video(tmp_path / "long.mp4", count=240)
    with (
        streaming_server() as server,
        Detector(server.url) as detector,
        detector.video_stream(str(video), give_up_s=0.5) as stream,
    ):
        next(iter(stream))
        server.stop()
        with pytest.raises(ServerUnreachable, match=r"could not go on within 0\.5 s"):
            list(stream)


def test_boxes_come_with_the_picture_they_belong_to(server: SimpleNamespace, video: Path) -> None:
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True, pictures=True) as stream,
    ):
        results = list(stream)
    assert len(results) == 60
    assert all(result.picture is not None for result in results)
    assert [result.picture.pts * 1_000_000 * result.picture.time_base for result in results] == (
        pytest.approx([result.timestamp_us for result in results], abs=1)
    )


def test_who_leaves_early_ends_the_stream_at_the_server(
    server: SimpleNamespace, video: Path
) -> None:
    with Detector(server.url) as detector, detector.video_stream(str(video)) as stream:
        next(iter(stream))
    wait_for(lambda: server.fake.packets and server.fake.packets[-1].end)
    assert threading.active_count() < 30


def test_a_source_that_is_missing_or_no_video_is_refused_in_words(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("this is no video")
    with Detector(server.url) as detector:
        with pytest.raises(SourceUnreadable, match="there is no such file"):
            detector.video_stream(str(tmp_path / "missing.mp4"))
        with pytest.raises(SourceUnreadable, match="cannot open the video"):
            detector.video_stream(str(tmp_path / "text.mp4"))
        with pytest.raises(SourceUnreadable, match="cannot open the camera"):
            detector.video_stream("/dev/video99")
