"""Streams to a server that can be told to misbehave: what is on the wire, and what is delivered."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest

from tests.h264_pcm import Coded, access_units
from tests.thin_client.streaming.server import STREAM, streaming_server
from tests.thin_client.streaming.videos import (
    FPS,
    HEIGHT,
    WIDTH,
    annex_b,
    joined,
    moved,
    packets,
    write_video,
)
from thin_client import (
    Detector,
    PipelineNotFound,
    RequestRefused,
    ServerUnreachable,
    StreamResult,
    VideoStream,
)
from thin_client.contract import Codec
from thin_client.errors import SourceUnreadable
from thin_client.retry import MOST_LOST_PROCESSES
from thin_client.streaming import session
from thin_client.streaming.encoding import Encoder
from thin_client.streaming.inbox import Item
from thin_client.streaming.source import VideoSource
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


def taken(stream: VideoStream) -> tuple[list[StreamResult], Exception | None]:
    """All results and what the stream ended with; one that does not end fails the test."""
    results: list[StreamResult] = []
    ends: list[Exception | None] = []

    def take() -> None:
        try:
            results.extend(stream)
            ends.append(None)
        except Exception as error:  # noqa: BLE001 - that is what is asked
            ends.append(error)

    taking = threading.Thread(target=take, daemon=True)
    taking.start()
    taking.join(30)
    assert not taking.is_alive(), "the stream does not end"
    return results, ends[0]


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


def test_a_damaged_file_is_read_to_its_end_and_what_it_cost_is_counted(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.mp4", muxer={"movflags": "faststart"})
    with av.open(str(video)) as container:
        place = [packet.pos for packet in container.demux(video=0) if packet.size]
    data = bytearray(video.read_bytes()[: place[50] + 99])
    data[place[20] : place[20] + 4] = b"\xff\xff\xff\xff"
    video.write_bytes(data)
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True) as stream,
    ):
        results, error = taken(stream)
        statistics = stream.statistics(whole=True)
        # It is over, and stays so.
        assert (taken(stream), error) == (([], None), None)
    assert len(results) == statistics.frames == statistics.sent == 49
    assert statistics.dropped == 2


def test_a_source_that_breaks_off_ends_the_stream_after_what_it_gave(
    server: SimpleNamespace, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = VideoSource.items

    def breaking(self: VideoSource, **options: Any) -> Iterator[Item]:
        yield from itertools.islice(whole(self, **options), 12)
        raise RuntimeError("something that nobody thought of")

    monkeypatch.setattr(VideoSource, "items", breaking)
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True) as stream,
    ):
        results, error = taken(stream)
    assert isinstance(error, RuntimeError)
    assert "nobody thought of" in str(error)
    assert len(results) == 12


@pytest.mark.parametrize("what", ["encoding", "an answer"])
def test_whatever_breaks_ends_the_stream_with_its_reason(
    server: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def breaks(*_: Any, **__: Any) -> None:
        raise ArithmeticError(f"{what} broke")

    video = write_video(tmp_path / "video.avi", "mpeg4", count=30)
    if what == "encoding":
        monkeypatch.setattr(Encoder, "encode", breaks)
    else:
        monkeypatch.setattr(session, "read_answer", breaks)
    with Detector(server.url) as detector, detector.video_stream(str(video)) as stream:
        _, error = taken(stream)
    assert isinstance(error, ArithmeticError)
    assert str(error) == f"{what} broke"


def test_single_fields_are_taken_out_of_the_decoder_with_a_few_empty_packets(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    count = 150
    video = tmp_path / "fields.h264"
    pictures = [Coded(number, 40, key=number == 0, fields=True) for number in range(count)]
    video.write_bytes(b"".join(access_units(pictures, columns=2, rows=2)))
    server.fake.settings.fields = True
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True) as stream,
    ):
        results = list(stream)
        statistics = stream.statistics(whole=True)
    assert (len(results), statistics.sent, statistics.dropped) == (count, 2 * count, 0)
    empty = [packet for packet in server.fake.packets if not packet.data]
    assert len(empty) <= 3
    stamps = [result.timestamp_us for result in results]
    assert stamps == sorted(set(stamps))


def test_frames_that_a_decoder_swallows_are_counted_as_dropped(
    server: SimpleNamespace, video: Path
) -> None:
    server.fake.settings.swallow = lambda packet: packet.timestamp_us in (100_000, 1_000_000)
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True) as stream,
    ):
        results = list(stream)
        statistics = stream.statistics(whole=True)
    assert (len(results), statistics.sent, statistics.dropped) == (58, 60, 2)


@pytest.mark.parametrize("every_frame", [True, False])
@pytest.mark.parametrize("codec", ["auto", "jpeg"])
def test_a_frame_rate_that_was_asked_for_is_not_exceeded_and_the_rest_is_counted(
    server: SimpleNamespace, video: Path, codec: str, every_frame: bool
) -> None:
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), fps=25, codec=codec, every_frame=every_frame) as stream,
    ):
        assert stream.plan.fps == 25
        results = list(stream)
        statistics = stream.statistics(whole=True)
    assert statistics.thinned_out == pytest.approx(10, abs=1)
    assert statistics.sent + statistics.dropped + statistics.thinned_out == 60
    assert len(results) == statistics.sent
    assert not (every_frame and statistics.dropped)


def test_a_file_without_times_comes_at_its_rate(server: SimpleNamespace, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.h264", count=45)
    with Detector(server.url) as detector, detector.video_stream(str(video)) as stream:
        results = list(stream)
    arrived = [packet.arrived for packet in server.fake.packets if packet.data]
    for earlier, later in zip(arrived, arrived[15:], strict=False):
        assert later - earlier > 0.5 * 15 / FPS
    assert [result.timestamp_us for result in results] == pytest.approx(
        [number * 1e6 / FPS for number in range(45)], abs=99
    )


def test_a_clock_that_jumps_by_hours_is_not_waited_for(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    first = write_video(tmp_path / "first.ts", count=15)
    later = moved(first, tmp_path / "later.ts", 5 * 3600)
    video = joined(tmp_path / "joined.ts", first, later, first)
    with Detector(server.url) as detector, detector.video_stream(str(video)) as stream:
        stamps = [result.timestamp_us for result in stream]
        assert stream.statistics(whole=True).dropped == 0
    assert stamps == pytest.approx([number * 1e6 / FPS for number in range(45)], abs=20)


@pytest.mark.parametrize("turned", [(90, False), (180, False), (270, True)])
def test_packets_that_lie_pass_and_the_pipeline_is_told_when_the_stream_begins(
    server: SimpleNamespace, tmp_path: Path, turned: tuple[int, bool]
) -> None:
    video = write_video(tmp_path / "video.mp4", count=12, turned=turned)
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True, pictures=True) as stream,
    ):
        assert stream.plan.passing
        results = list(stream)
    first, *rest = [packet for packet in server.fake.packets if packet.data]
    assert (first.start, first.rotation, first.mirror) == (True, *turned)
    assert not any(packet.start or packet.rotation or packet.mirror for packet in rest)
    size = (WIDTH, HEIGHT) if turned[0] == 180 else (HEIGHT, WIDTH)
    assert {(each.picture.width, each.picture.height) for each in results} == {size}


def test_a_pipeline_that_turns_nothing_gets_frames_that_are_upright(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", count=12, turned=(90, False))
    with (
        streaming_server(options=None) as server,
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True, pictures=True) as stream,
    ):
        assert not stream.plan.passing
        assert (stream.plan.width, stream.plan.height) == (HEIGHT, WIDTH)
        results = list(stream)
    sent = [packet for packet in server.fake.packets if packet.data]
    assert not any(packet.rotation or packet.mirror for packet in sent)
    decoder = av.CodecContext.create("h264", "r")
    frames = [frame for packet in sent for frame in decoder.decode(av.Packet(packet.data))]
    assert {(frame.width, frame.height) for frame in frames} == {(HEIGHT, WIDTH)}
    assert len(results) == 12


def test_every_frame_of_an_open_group_survives_a_server_that_went_away(tmp_path: Path) -> None:
    options = {"x264-params": "open-gop=1:b-pyramid=normal", "preset": "veryfast"}
    video = write_video(tmp_path / "video.mp4", count=300, key_every=25, b_frames=2, **options)
    with streaming_server() as first, Detector(first.url) as detector:
        first.fake.settings.delay_s = 0.003
        with detector.video_stream(str(video), every_frame=True) as stream:
            results = iter(stream)
            count = len([next(results) for _ in range(120)])
            first.stop()
            with streaming_server(port=first.port) as second:
                count += len(list(results))
                sent = [packet for packet in second.fake.packets if packet.data]
            assert stream.statistics().dropped == 0
    assert count == 300
    # From a recovery point on, and not the whole file.
    assert is_key(sent[0].data, Codec.H264)
    assert len(sent) < 300 - 60
