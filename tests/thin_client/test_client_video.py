"""Drawing, reading and writing video; with OpenCV."""

from __future__ import annotations

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from tests.thin_client.streaming.videos import display_matrix
from thin_client import Detections, OutputUnwritable, SourceUnreadable, annotate
from thin_client.drawing import color_bgr, write_annotated
from thin_client.video import VideoReader, VideoWriter, encode_jpeg


def one_dog(width: int, height: int, box: tuple[int, int, int, int]) -> Detections:
    return Detections(
        boxes_xyxy=np.array([box], np.float32),
        scores=np.array([0.5], np.float32),
        classes=np.array([1], np.int32),
        labels=("dog",),
        width=width,
        height=height,
    )


def black(width: int, height: int) -> np.ndarray:
    return np.zeros((height, width, 3), np.uint8)


def write_video(path, count: int, size: tuple[int, int] = (64, 48), fps: float = 10.0) -> None:
    with VideoWriter(str(path), fps) as writer:
        for number in range(count):
            writer.write(np.full((size[1], size[0], 3), number * 20, np.uint8))


def test_box_is_drawn_on_its_edges_and_not_into_the_original():
    original = black(200, 100)
    picture = annotate(original, one_dog(200, 100, (50, 40, 150, 90)))
    assert picture[65, 50].tolist() == list(color_bgr(1))
    assert picture[65, 150].tolist() == list(color_bgr(1))
    assert picture[90, 100].tolist() == list(color_bgr(1))
    assert not picture[65, 100].any()
    assert not original.any()


@pytest.mark.parametrize("top", [0, 40])
def test_label_is_drawn_inside_the_picture(top):
    picture = annotate(black(200, 100), one_dog(200, 100, (50, top, 150, 95)))
    label_rows = picture[:20] if top == 0 else picture[20:40]
    # Ink of another colour than the box.
    colors = {tuple(pixel) for pixel in label_rows.reshape(-1, 3).tolist()}
    assert {(0, 0, 0), color_bgr(1)} < colors or {(255, 255, 255), color_bgr(1)} < colors


def test_detections_of_another_size_are_refused():
    with pytest.raises(ValueError, match="200x100 and the detections are of one of 100x200"):
        annotate(black(200, 100), one_dog(100, 200, (0, 0, 1, 1)))


def test_neighbouring_classes_have_different_colours():
    assert len({color_bgr(index) for index in range(80)}) == 80


def test_annotated_picture_is_written_in_the_format_of_its_suffix(tmp_path):
    jpeg = encode_jpeg(black(200, 100), 90)
    target = tmp_path / "out.png"
    write_annotated(jpeg, one_dog(200, 100, (50, 40, 150, 90)), target)
    assert target.read_bytes().startswith(b"\x89PNG")
    assert cv2.imread(str(target))[65, 50].tolist() == list(color_bgr(1))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("out.xyz", "does not write '.xyz' files"), ("absent/out.png", "No such file")],
)
def test_picture_that_cannot_be_written_is_said(tmp_path, name, sentence):
    jpeg = encode_jpeg(black(20, 10), 90)
    with pytest.raises(OutputUnwritable, match=sentence):
        write_annotated(jpeg, one_dog(20, 10, (0, 0, 1, 1)), tmp_path / name)


def test_quality_decides_how_large_a_frame_is():
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), np.uint8)
    assert len(encode_jpeg(noise, 30)) < len(encode_jpeg(noise, 95))


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv", ".mov"])
def test_video_that_was_written_is_read_back(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    write_video(path, 7)
    with VideoReader(str(path)) as reader:
        frames = list(reader.frames())
        assert reader.fps == pytest.approx(10)
        assert reader.frame_count == 7
    assert [frame.index for frame in frames] == list(range(7))
    assert frames[0].pixels_bgr.shape == (48, 64, 3)
    assert abs(int(frames[6].pixels_bgr.mean()) - 120) < 10


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_what_a_phone_filmed_is_read_upright(tmp_path, rotation):
    stored = np.zeros((48, 64, 3), np.uint8)
    stored[:24, :32] = 255
    path = tmp_path / "phone.mp4"
    with av.open(str(path), "w") as container:
        track = container.add_stream("libx264", rate=10, options={"crf": "8"})
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        track.codec_context.sample_aspect_ratio = Fraction(4, 3)
        if rotation:
            track.set_display_matrix(display_matrix(rotation, mirror=False))
        for frame in (av.VideoFrame.from_ndarray(stored, "bgr24"), None):
            container.mux(track.encode(frame))
    with VideoReader(str(path)) as reader:
        (frame,) = reader.frames()
        aspect = reader.sample_aspect_ratio
    expected = np.rot90(stored, -rotation // 90)
    assert frame.pixels_bgr.shape == expected.shape
    assert np.abs(frame.pixels_bgr.astype(int) - expected).mean() < 10
    assert aspect == (Fraction(3, 4) if rotation in (90, 270) else Fraction(4, 3))


def test_frames_end_at_the_limit(tmp_path):
    path = tmp_path / "clip.avi"
    write_video(path, 7)
    with VideoReader(str(path)) as reader:
        assert len(list(reader.frames(limit=3))) == 3


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "there is no such file"), (b"no video", "OpenCV cannot read it")],
)
def test_video_that_cannot_be_opened_is_said(tmp_path, content, sentence):
    path = tmp_path / "clip.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceUnreadable, match=sentence):
        VideoReader(str(path))


def test_camera_that_is_not_there_is_said(capfd):
    with pytest.raises(SourceUnreadable, match="camera 97: check its index"):
        VideoReader(97)
    assert capfd.readouterr().err == ""


def test_video_of_an_unknown_kind_is_refused_before_any_frame(tmp_path):
    with pytest.raises(OutputUnwritable, match=r"must end in \.avi, \.mkv, \.mov, \.mp4"):
        VideoWriter(str(tmp_path / "clip.gif"), 10)


def test_video_into_a_missing_folder_is_refused_before_any_frame(tmp_path):
    with pytest.raises(OutputUnwritable, match="its folder does not exist"):
        VideoWriter(str(tmp_path / "absent" / "clip.mp4"), 10)


def test_frame_of_another_size_is_refused_and_not_dropped(tmp_path):
    with VideoWriter(str(tmp_path / "clip.avi"), 10) as writer:
        writer.write(black(64, 48))
        with pytest.raises(OutputUnwritable, match="a frame is 32x24, the first was 64x48"):
            writer.write(black(32, 24))
