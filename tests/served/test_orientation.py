"""Frames of streams are turned before anything is done with them."""

from __future__ import annotations

import numpy as np
import pytest
from contract import ROTATIONS, Codec, ImageStatus

from decode import DecodeLimits
from frames import FrameFormat
from letterbox import draw_letterboxed
from orientation import UPRIGHT, Orientation, read_orientation
from refusals import RefusedPacketError
from stream import Stream
from tests import videos
from tests.conftest import ROOT

WANTED = FrameFormat(64, 48, DecodeLimits(2**20, 640 * 480))


def corners(picture: np.ndarray) -> list[int]:
    """Top left, top right, bottom left, bottom right."""
    return [int(picture[row, column, 0]) for row in (0, -1) for column in (0, -1)]


@pytest.mark.parametrize(
    ("rotation", "mirror", "expected"),
    [
        (0, False, [1, 2, 3, 4]),
        (90, False, [3, 1, 4, 2]),
        (180, False, [4, 3, 2, 1]),
        (270, False, [2, 4, 1, 3]),
        (0, True, [2, 1, 4, 3]),
        (90, True, [4, 2, 3, 1]),
        (180, True, [3, 4, 1, 2]),
        (270, True, [1, 3, 2, 4]),
    ],
)
def test_a_frame_is_mirrored_and_then_turned_clockwise(
    rotation: int, mirror: bool, expected: list[int]
) -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    picture[0, 0], picture[0, -1], picture[-1, 0], picture[-1, -1] = 1, 2, 3, 4
    turned = Orientation(rotation, mirror).upright(picture)
    assert turned.shape == ((3, 2, 3) if rotation in (90, 270) else (2, 3, 3))
    assert corners(turned) == expected


def test_a_frame_that_is_upright_is_not_copied() -> None:
    picture = np.zeros((2, 3, 3), np.uint8)
    assert UPRIGHT.upright(picture) is picture


@pytest.mark.parametrize("orientation", [Orientation(90), Orientation(270, mirror=True)])
def test_a_stream_looks_at_upright_frames_and_tells_their_size(orientation: Orientation) -> None:
    packets = videos.encoded("h264", videos.pan(ROOT / "samples" / "yard.jpg", 3))
    pictures = videos.decoded("h264", packets)
    stream = Stream(Codec.H264, WANTED, lambda _: None, orientation)
    expected = np.empty(WANTED.shape, np.uint8)
    for number, packet in enumerate(packets):
        answer = stream.push(packet, number)
        assert answer.status is ImageStatus.OK
        assert answer.size == (240, 320)
        box = WANTED.plan(240, 320)
        np.testing.assert_array_equal(answer.geometry, box.geometry())
        draw_letterboxed(orientation.upright(pictures[number]), expected, box)
        np.testing.assert_array_equal(answer.frame, expected)
    stream.close()


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_values_may_be_given_as_text(rotation: int) -> None:
    wanted = Orientation(rotation, mirror=True)
    for mirror in (True, "true"):
        for value in (rotation, str(rotation)):
            parameters = {"rotation": value, "mirror": mirror}
            assert read_orientation(parameters, Codec.H265) == wanted


def test_who_says_nothing_sends_upright_frames() -> None:
    assert read_orientation({}, Codec.H264) == UPRIGHT
    assert read_orientation({"rotation": 0, "mirror": "false"}, Codec.MJPEG) == UPRIGHT


@pytest.mark.parametrize(
    "value", [45, -90, 360, "90 degrees", "", True, None, [90], 90.5, "9" * 99]
)
def test_a_rotation_that_there_is_not_is_refused(value: object) -> None:
    with pytest.raises(RefusedPacketError, match="rotation must be one of 0, 90, 180, 270") as said:
        read_orientation({"rotation": value}, Codec.H264)
    assert len(str(said.value)) < 150


@pytest.mark.parametrize("value", [1, 0, "yes", None, "TRUE"])
def test_a_mirror_that_is_neither_true_nor_false_is_refused(value: object) -> None:
    with pytest.raises(RefusedPacketError, match="mirror must be true or false"):
        read_orientation({"mirror": value}, Codec.H264)


@pytest.mark.parametrize("parameters", [{"rotation": 90}, {"mirror": True}])
def test_jpegs_say_it_themselves(parameters: dict[str, object]) -> None:
    with pytest.raises(RefusedPacketError, match="says in its EXIF"):
        read_orientation(parameters, Codec.MJPEG)
