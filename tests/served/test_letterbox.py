from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from letterbox import (
    CENTRE,
    PAD_VALUE,
    STRETCH,
    TOP_LEFT,
    Letterbox,
    draw_letterboxed,
    plan_letterbox,
    smallest_rectangle,
)
from nms import to_source_pixels
from tests import images
from tests.conftest import ROOT

WRITTEN = json.loads((ROOT / "tests" / "golden" / "letterbox.json").read_text())
GOLDEN, RECTANGLES = WRITTEN["cases"], WRITTEN["rectangles"]


def drawn(image: np.ndarray, frame: np.ndarray, placement: str = CENTRE) -> Letterbox:
    """Letterbox an image into a frame; return where it lies."""
    box = plan_letterbox(image.shape[1], image.shape[0], frame.shape[1], frame.shape[0], placement)
    draw_letterboxed(image, frame, box)
    return box


@pytest.mark.parametrize("frame", sorted({tuple(case["frame"]) for case in GOLDEN}))
def test_sizes_and_padding_are_those_of_ultralytics(frame: tuple[int, int]) -> None:
    cases = [case for case in GOLDEN if tuple(case["frame"]) == frame]
    assert len(cases) > 50
    for case in cases:
        height, width = case["source"]
        box = plan_letterbox(width, height, frame[1], frame[0])
        assert [box.resized_height, box.resized_width] == case["resized"], case
        bottom = frame[0] - box.top - box.resized_height
        right = frame[1] - box.left - box.resized_width
        assert [box.top, bottom, box.left, right] == case["padding"], case


def test_the_smallest_rectangles_are_those_of_ultralytics() -> None:
    assert len(RECTANGLES) > 300
    for case in RECTANGLES:
        (height, width), (largest_height, largest_width) = case["source"], case["largest"]
        frame = smallest_rectangle(
            width, height, largest_width, largest_height, stride=case["stride"]
        )
        assert list(frame) == case["frame"][::-1], case
        box = plan_letterbox(width, height, largest_width, largest_height, drawn=frame)
        assert [box.resized_height, box.resized_width] == case["resized"], case
        bottom = frame[1] - box.top - box.resized_height
        right = frame[0] - box.left - box.resized_width
        assert [box.top, bottom, box.left, right] == case["padding"], case


def test_an_image_that_is_not_what_its_frame_was_made_for_is_drawn_smaller() -> None:
    image = np.full((1000, 100, 3), 7, np.uint8)
    frame = np.empty((64, 640, 3), np.uint8)
    box = plan_letterbox(100, 1000, 640, 640, drawn=(640, 64))
    draw_letterboxed(image, frame, box)
    assert (box.resized_width, box.resized_height) == (6, 64)
    assert (frame == 7).all(axis=2).sum() == 6 * 64


def test_boxes_come_back_where_ultralytics_puts_them() -> None:
    for case in GOLDEN:
        height, width = case["source"]
        box = plan_letterbox(width, height, case["frame"][1], case["frame"][0])
        back = to_source_pixels(np.array([case["box"]], np.float32), box.geometry())
        np.testing.assert_allclose(back[0], case["box_in_source"], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("width", "height"),
    [(1920, 1080), (3200, 1600), (480, 640), (640, 640), (333, 517), (2000, 30), (7, 900)],
)
def test_pixels_are_those_of_resize_and_border(width: int, height: int) -> None:
    image = images.photograph(width, height)
    frame = np.full((640, 640, 3), 7, np.uint8)
    box = drawn(image, frame)
    resized = image
    if (width, height) != (box.resized_width, box.resized_height):
        resized = cv2.resize(
            image, (box.resized_width, box.resized_height), interpolation=cv2.INTER_LINEAR
        )
    expected = cv2.copyMakeBorder(
        resized,
        box.top,
        640 - box.top - box.resized_height,
        box.left,
        640 - box.left - box.resized_width,
        cv2.BORDER_CONSTANT,
        value=(PAD_VALUE,) * 3,
    )
    np.testing.assert_array_equal(frame, expected)


def test_a_frame_in_the_middle_of_a_batch_is_filled_alone() -> None:
    batch = np.zeros((3, 64, 96, 3), np.uint8)
    drawn(images.photograph(50, 50), batch[1])
    assert batch[1].any()
    assert not batch[0].any()
    assert not batch[2].any()


@pytest.mark.parametrize(("width", "height"), [(1919, 1079), (1001, 333), (7, 900), (64, 64)])
def test_top_left_is_as_yolox_has_it(width: int, height: int) -> None:
    image = images.photograph(width, height)
    frame = np.full((416, 416, 3), 7, np.uint8)
    box = drawn(image, frame, TOP_LEFT)
    ratio = min(416 / height, 416 / width)
    resized = max(int(width * ratio), 1), max(int(height * ratio), 1)
    expected = np.full((416, 416, 3), PAD_VALUE, np.uint8)
    expected[: resized[1], : resized[0]] = cv2.resize(image, resized)
    np.testing.assert_array_equal(frame, expected)
    # YOLOX divides boxes by the ratio, whatever int() took off the sides.
    corners = np.array([[0, 0, 100 * ratio, 50 * ratio]], np.float32)
    back = to_source_pixels(corners, box.geometry())
    np.testing.assert_allclose(back[0], [0, 0, min(100, width), min(50, height)], rtol=1e-5)


def test_stretched_images_fill_the_frame() -> None:
    image = images.photograph(300, 100)
    frame = np.full((64, 96, 3), 7, np.uint8)
    box = drawn(image, frame, STRETCH)
    np.testing.assert_array_equal(frame, cv2.resize(image, (96, 64)))
    back = to_source_pixels(
        np.array([[0, 0, 96, 64], [48, 32, 96, 64]], np.float32), box.geometry()
    )
    np.testing.assert_allclose(back, [[0, 0, 300, 100], [150, 50, 300, 100]], rtol=1e-5)
