"""A pipeline that is given another version while a stream runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.thin_client.streaming.server import Packet, streaming_server
from tests.thin_client.streaming.videos import write_video
from thin_client import Detector, InvalidRequestParameter

OLD, NEW = ("person", "dog", "cat"), ("cat", "person", "dog")
VIDEOS = [("video.mp4", "libx264"), ("video.avi", "mjpeg")]


@pytest.fixture
def server() -> Iterator[SimpleNamespace]:
    """One whose pipeline has version 1; it finds the class 1 in every frame."""
    with streaming_server() as running:
        running.fake.serve_version(1, OLD)
        yield running


def change_at(server: SimpleNamespace, count: int, version: int, labels: tuple[str, ...]) -> None:
    """Give the pipeline another version when so many packets have come."""

    def look(_: Packet) -> None:
        if len(server.fake.packets) == count:
            server.fake.serve_version(version, labels)

    server.fake.settings.refuse = look


@pytest.mark.parametrize(("name", "codec"), VIDEOS)
def test_frames_are_named_by_the_labels_of_the_version_that_looked_at_them(
    server: SimpleNamespace, tmp_path: Path, name: str, codec: str
) -> None:
    video = write_video(tmp_path / name, codec)
    change_at(server, 20, 2, NEW)
    said: list[str] = []
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True, say=said.append) as stream,
    ):
        results = list(stream)
    assert len(results) == 60
    labels = [result.detections.labels for result in results]
    change = labels.index(("person",))
    assert 0 < change <= 20
    assert labels == [("dog",)] * change + [("person",)] * (60 - change)
    assert any("the pipeline has another version; connecting again" in line for line in said)


@pytest.mark.parametrize(("name", "codec"), VIDEOS)
def test_classes_are_asked_for_by_the_indices_of_the_version_that_answers(
    server: SimpleNamespace, tmp_path: Path, name: str, codec: str
) -> None:
    video = write_video(tmp_path / name, codec)
    change_at(server, 20, 2, NEW)
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True, classes=["dog"]) as stream,
    ):
        list(stream)
    asked = [packet.classes for packet in server.fake.packets]
    again = asked.index("2")
    # Those that were on their way already are sent once more.
    assert again >= 20
    assert set(asked[:again]) == {"1"}
    assert set(asked[again:]) == {"2"}
    assert len(asked[again:]) >= 40


def test_a_class_that_the_new_version_has_not_ends_the_stream(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.mp4")
    change_at(server, 20, 2, ("person", "dog"))
    with (
        Detector(server.url) as detector,
        detector.video_stream(str(video), every_frame=True, classes=["cat"]) as stream,
        pytest.raises(InvalidRequestParameter, match="no class 'cat'; it has person, dog"),
    ):
        list(stream)


def test_versions_that_call_their_classes_alike_change_without_a_break(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.avi", "mjpeg", count=300)
    with Detector(server.url) as detector, detector.video_stream(str(video)) as stream:
        results = iter(stream)
        assert next(results).detections.labels == ("dog",)
        server.fake.serve_version(2, NEW)
        while next(results).detections.labels != ("person",):
            continue
        began = server.fake.calls["ModelStreamInfer"]
        # Back to one that is known by now.
        server.fake.serve_version(1, OLD)
        while next(results).detections.labels != ("dog",):
            continue
        assert server.fake.calls["ModelStreamInfer"] == began


def test_a_stream_begins_with_the_labels_that_the_pipeline_has_then(
    server: SimpleNamespace, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "video.mp4", count=10)
    with Detector(server.url) as detector:
        assert detector.connect().labels == OLD
        server.fake.serve_version(2, ("cat", "wolf"))
        with detector.video_stream(str(video), every_frame=True, classes=["wolf"]) as stream:
            assert {result.detections.labels for result in stream} == {("wolf",)}
    assert {packet.classes for packet in server.fake.packets if packet.data} == {"1"}
    assert server.fake.calls["ModelStreamInfer"] == 1
