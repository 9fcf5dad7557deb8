from __future__ import annotations

import numpy as np
from contract import DET_BOXES, DET_CLASSES, DET_SCORES, NUM_DETS

from detections import detection_tensors, no_detections
from nms import Thresholds

GEOMETRY = np.array([640, 640, 1, 1, 0, 0], np.float32)
UNREADABLE = np.zeros(6, np.float32)
CANDIDATES = np.array([[10, 10, 50, 50, 0.9, 3], [100, 100, 150, 150, 0.5, 1]], np.float32)


def test_each_image_of_a_batch_gets_its_own_rows() -> None:
    tensors = detection_tensors(
        np.stack([CANDIDATES, CANDIDATES, CANDIDATES[::-1] * [1, 1, 1, 1, 0, 1]]).astype(
            np.float32
        ),
        np.stack([GEOMETRY, UNREADABLE, GEOMETRY]),
        Thresholds(0.25, 0.7, 5),
        max_det=5,
    )
    assert tensors[NUM_DETS].tolist() == [[2], [0], [0]]
    assert tensors[DET_BOXES].shape == (3, 5, 4)
    np.testing.assert_array_equal(tensors[DET_BOXES][0, :2], CANDIDATES[:, :4])
    np.testing.assert_allclose(tensors[DET_SCORES][0, :2], [0.9, 0.5])
    assert tensors[DET_CLASSES][0, :2].tolist() == [3, 1]
    for tensor in (DET_BOXES, DET_SCORES, DET_CLASSES):
        assert not tensors[tensor][0, 2:].any()
        assert not tensors[tensor][1:].any()
    assert tensors[NUM_DETS].dtype == tensors[DET_CLASSES].dtype == np.int32
    assert tensors[DET_BOXES].dtype == tensors[DET_SCORES].dtype == np.float32


def test_unreadable_images_alone_need_no_network() -> None:
    tensors = no_detections(2, max_det=7)
    assert tensors[NUM_DETS].tolist() == [[0], [0]]
    assert tensors[DET_BOXES].shape == (2, 7, 4)
