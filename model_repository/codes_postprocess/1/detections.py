"""Candidates of a batch to the contract's detection tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from contract import (
    DET_BOXES,
    DET_CLASSES,
    DET_SCORES,
    NUM_DETS,
    TRACK_IDS,
    Tensor,
    resolve_shape,
)

from nms import Thresholds, select_detections, to_source_pixels

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray


def detection_tensors(
    candidates: NDArray[np.float32],
    geometry: NDArray[np.float32],
    thresholds: Thresholds,
    max_det: int,
) -> dict[Tensor, NDArray[Any]]:
    """Return ``num_dets``, ``det_boxes``, ``det_scores`` and ``det_classes`` of each image.

    Args:
        candidates: float32 ``[n, K, 6]``.
        geometry: float32 ``[n, 6]``; an image of source size 0 could not be read and gets none.
        thresholds: for the whole request.
        max_det: rows of the outputs; rows past ``num_dets`` stay 0.
    """
    count = len(candidates)
    num_dets = np.zeros((count, *resolve_shape(NUM_DETS)), np.int32)
    boxes = np.zeros((count, *resolve_shape(DET_BOXES, max_det=max_det)), np.float32)
    scores = np.zeros((count, *resolve_shape(DET_SCORES, max_det=max_det)), np.float32)
    classes = np.zeros((count, *resolve_shape(DET_CLASSES, max_det=max_det)), np.int32)
    for index in range(count):
        if geometry[index, 0] == 0:
            continue
        chosen = select_detections(candidates[index], thresholds)
        kept = len(chosen)
        num_dets[index] = kept
        boxes[index, :kept] = to_source_pixels(chosen[:, :4], geometry[index])
        scores[index, :kept] = chosen[:, 4]
        classes[index, :kept] = chosen[:, 5]
    return {NUM_DETS: num_dets, DET_BOXES: boxes, DET_SCORES: scores, DET_CLASSES: classes}


def no_detections(count: int, max_det: int) -> dict[Tensor, NDArray[Any]]:
    """Return the same tensors for ``count`` images of which none could be read."""
    nothing = np.zeros((count, 0, 6), np.float32)
    return detection_tensors(
        nothing, np.zeros((count, 6), np.float32), Thresholds(1, 1, 1), max_det
    )


class Rows(NamedTuple):
    """What is in one frame of a stream, best first.

    Attributes:
        boxes_xyxy: float32 ``[n, 4]``, pixels of the upright picture.
        scores: float32 ``[n]``.
        classes: int32 ``[n]``.
        track_ids: int64 ``[n]``, 0 where there is no track.
    """

    boxes_xyxy: NDArray[np.float32]
    scores: NDArray[np.float32]
    classes: NDArray[np.int32]
    track_ids: NDArray[np.int64]


def no_rows() -> Rows:
    """Return those of a frame in which nothing is."""
    return Rows(
        np.empty((0, 4), np.float32),
        np.empty(0, np.float32),
        np.empty(0, np.int32),
        np.empty(0, np.int64),
    )


def row_tensors(rows: Rows, max_det: int) -> dict[Tensor, NDArray[Any]]:
    """Return the tensors of one frame: those of :func:`detection_tensors`, and ``track_ids``."""
    count = len(rows.scores)
    boxes = np.zeros((1, *resolve_shape(DET_BOXES, max_det=max_det)), np.float32)
    scores = np.zeros((1, *resolve_shape(DET_SCORES, max_det=max_det)), np.float32)
    classes = np.zeros((1, *resolve_shape(DET_CLASSES, max_det=max_det)), np.int32)
    ids = np.zeros((1, *resolve_shape(TRACK_IDS, max_det=max_det)), np.int64)
    for padded, values in ((boxes, rows.boxes_xyxy), (scores, rows.scores)):
        padded[0, :count] = values
    classes[0, :count] = rows.classes
    ids[0, :count] = rows.track_ids
    return {
        NUM_DETS: np.array([[count]], np.int32),
        DET_BOXES: boxes,
        DET_SCORES: scores,
        DET_CLASSES: classes,
        TRACK_IDS: ids,
    }
