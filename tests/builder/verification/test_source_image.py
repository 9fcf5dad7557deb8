from __future__ import annotations

import json

import numpy as np
import pytest

from builder.detectors.frame_shapes import Framing
from builder.detectors.heads import InputConvention, Placement
from builder.verification.source_image import in_source_pixels, network_input, place
from tests.conftest import ROOT

WRITTEN = json.loads((ROOT / "tests" / "golden" / "letterbox.json").read_text())
CASES = WRITTEN["cases"]
RECTANGLES = [
    case for case in WRITTEN["rectangles"] if case["source"][0] * case["source"][1] < 4_000_000
]
SMALL = [case for case in CASES if case["source"][0] * case["source"][1] < 4_000_000]


@pytest.mark.parametrize("case", SMALL, ids=lambda case: f"{case['source']}-{case['frame']}")
def test_a_picture_lies_where_ultralytics_puts_it(case: dict) -> None:
    height, width = case["frame"]
    framing = Framing(width, height, Placement.CENTRE)
    placed = place(np.zeros((*case["source"], 3), np.uint8), framing)
    inside = np.argwhere((placed.frame != 114).all(2))
    top, bottom, left, right = case["padding"]
    assert inside.min(0).tolist() == [top, left]
    assert inside.max(0).tolist() == [height - bottom - 1, width - right - 1]
    box = in_source_pixels(np.array([case["box"]], np.float32), placed)[0]
    np.testing.assert_allclose(box, case["box_in_source"], rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    "case", RECTANGLES[::7], ids=lambda case: f"{case['source']}-{case['frame']}-{case['stride']}"
)
def test_the_smallest_rectangle_is_that_of_ultralytics(case: dict) -> None:
    height, width = case["largest"]
    framing = Framing(width, height, Placement.CENTRE, stride=case["stride"])
    placed = place(np.zeros((*case["source"], 3), np.uint8), framing)
    assert list(placed.frame.shape[:2]) == case["frame"]
    assert [placed.top, placed.left] == case["padding"][::2]


def gradient(height: int, width: int) -> np.ndarray:
    columns = np.linspace(0, 250, width, dtype=np.float32)
    return np.repeat(np.tile(columns[None, :, None], (height, 1, 3)), 1, 0).astype(np.uint8)


def test_yolox_puts_a_picture_into_the_corner_and_cuts_its_size_off() -> None:
    placed = place(gradient(333, 517), Framing(416, 416, Placement.TOP_LEFT))
    # 333 * 416 / 517 = 267.9: int, not round.
    assert (placed.frame[266, :, 0] != 114).any()
    assert (placed.frame[267:] == 114).all()
    assert (placed.left, placed.top) == (0, 0)
    assert placed.gain_x == placed.gain_y == pytest.approx(416 / 517)


def test_rtdetr_stretches_a_picture() -> None:
    placed = place(gradient(100, 400), Framing(200, 200, Placement.STRETCH))
    assert (placed.gain_x, placed.gain_y) == (0.5, 2.0)
    assert placed.frame.shape == (200, 200, 3)
    assert placed.frame[0, -1, 0] > 240
    corner = in_source_pixels(np.array([[200, 200, 300, 300]], np.float32), placed)
    np.testing.assert_array_equal(corner, [[400, 100, 400, 100]])


def test_a_picture_of_the_right_size_stays_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3)).astype(np.uint8)
    np.testing.assert_array_equal(place(picture, Framing(96, 64, Placement.CENTRE)).frame, picture)


def test_a_thin_picture_keeps_one_pixel() -> None:
    placed = place(np.zeros((1, 3000, 3), np.uint8), Framing(64, 64, Placement.CENTRE))
    assert (placed.frame == 0).all(2).sum() == 64


@pytest.mark.parametrize(
    ("convention", "expected"),
    [
        (InputConvention(), [30 / 255, 20 / 255, 10 / 255]),
        (InputConvention(bgr=True, pixel_scale=1), [10, 20, 30]),
    ],
    ids=["RGB 0 to 1", "BGR 0 to 255"],
)
def test_the_network_gets_the_channels_and_the_range_it_knows(
    convention: InputConvention, expected: list[float]
) -> None:
    frame = np.full((4, 6, 3), (10, 20, 30), np.uint8)
    tensor = network_input(frame, convention)
    assert tensor.shape == (1, 3, 4, 6)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[0, :, 0, 0], expected, rtol=1e-6)
