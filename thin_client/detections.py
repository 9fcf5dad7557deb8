"""What was found in one image: a frozen, shape-checked result."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from thin_client.contract import READ_STATUSES, STATUS_SENTENCES, ImageStatus
from thin_client.errors import SupervisionMissing

__all__ = ["Detection", "Detections"]


@dataclass(frozen=True)
class Detection:
    """One detected object.

    Attributes:
        label: class name, as the server gives it.
        class_index: index of the class in the pipeline's labels.
        score: confidence, 0 to 1.
        box_xyxy: left, top, right, bottom in pixels of the source image after EXIF rotation.
        track_id: which object of its stream it is, from 1; None where nothing tracks, or no track
            has begun with it yet.
    """

    label: str
    class_index: int
    score: float
    box_xyxy: tuple[float, float, float, float]
    track_id: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the detection as JSON types; scores to 4 decimals, boxes to 2.

        ``track_id`` only where there is one.
        """
        return {
            "label": self.label,
            "class": self.class_index,
            "score": round(self.score, 4),
            "box": [round(edge, 2) for edge in self.box_xyxy],
            **({} if self.track_id is None else {"track_id": self.track_id}),
        }


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in one image, best first; iterating gives one Detection at a time.

    Attributes:
        boxes_xyxy: float32 [n, 4], x1 y1 x2 y2 in pixels of the source image after EXIF rotation.
        scores: float32 [n], descending.
        classes: int32 [n], indices into the pipeline's labels.
        labels: n class names.
        width: of the source image after EXIF rotation, pixels; 0 when it could not be read.
        height: likewise.
        status: ``ImageStatus.OK``; ``ImageStatus.DAMAGED``, where what could be decoded of a
            damaged image was looked at; or why the image has no detections.
        error: why, as a sentence; None when the image was read, whole or in part.
        track_ids: int64 [n], which object of its stream each is, from 1; 0 where no track has begun
            with it. None where nothing tracks: of images, and of streams without a tracker.

    Raises:
        ValueError: an array has another dtype or shape than stated here.
    """

    boxes_xyxy: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    labels: tuple[str, ...]
    width: int
    height: int
    status: ImageStatus = ImageStatus.OK
    error: str | None = None
    track_ids: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Check dtypes and shapes."""
        count = len(self.labels)
        _check("boxes_xyxy", self.boxes_xyxy, np.dtype(np.float32), (count, 4))
        _check("scores", self.scores, np.dtype(np.float32), (count,))
        _check("classes", self.classes, np.dtype(np.int32), (count,))
        if self.track_ids is not None:
            _check("track_ids", self.track_ids, np.dtype(np.int64), (count,))
        if (self.status in READ_STATUSES) != (self.error is None):
            raise ValueError(f"status {self.status!r} does not go with error {self.error!r}")

    @classmethod
    def failed(cls, status: ImageStatus, error: str | None = None) -> Detections:
        """Return the result for an image that could not be read."""
        return cls(
            boxes_xyxy=np.zeros((0, 4), np.float32),
            scores=np.zeros(0, np.float32),
            classes=np.zeros(0, np.int32),
            labels=(),
            width=0,
            height=0,
            status=status,
            error=error or STATUS_SENTENCES[status],
        )

    @property
    def ok(self) -> bool:
        """Return whether the image was read; an image without objects is ok."""
        return self.error is None

    @property
    def damaged(self) -> bool:
        """Return whether only a part of the image was read, or parts of it wrongly."""
        return self.status is ImageStatus.DAMAGED

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.labels)

    def __bool__(self) -> bool:
        """Return whether anything was found."""
        return bool(self.labels)

    def __iter__(self) -> Iterator[Detection]:
        """Yield the detections, best first."""
        track_ids = [0] * len(self) if self.track_ids is None else self.track_ids.tolist()
        rows = zip(
            self.labels,
            self.classes.tolist(),
            self.scores.tolist(),
            self.boxes_xyxy.tolist(),
            track_ids,
            strict=True,
        )
        for label, class_index, score, (x1, y1, x2, y2), track_id in rows:
            yield Detection(label, class_index, score, (x1, y1, x2, y2), track_id or None)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types: width, height and detections; or only error when there is one.

        Of a damaged image also ``damaged``, which is true.
        """
        if self.error is not None:
            return {"error": self.error}
        return {
            "width": self.width,
            "height": self.height,
            **({"damaged": True} if self.damaged else {}),
            "detections": [detection.to_dict() for detection in self],
        }

    def to_supervision(self) -> Any:
        """Return ``supervision.Detections`` of the same boxes, for its annotators and zones.

        ``xyxy`` float32 [n, 4], ``confidence`` float32 [n], ``class_id`` int [n],
        ``data["class_name"]`` [n], and ``tracker_id`` int [n] where the stream is tracked. As those
        of supervision's own trackers, they hold what belongs to a track: a detection with which
        none has begun is left out then.

        Raises:
            SupervisionMissing: supervision is not installed.
        """
        try:
            supervision = importlib.import_module("supervision")
        except ImportError as error:
            raise SupervisionMissing(
                "to_supervision needs supervision, which is not installed: pip install supervision"
            ) from error
        found = supervision.Detections(
            # Copies: these arrays look into the bytes of the answer, and cannot be written.
            xyxy=self.boxes_xyxy.copy(),
            confidence=self.scores.copy(),
            class_id=self.classes.astype(int),
            tracker_id=None if self.track_ids is None else self.track_ids.astype(int),
            data={"class_name": np.array(self.labels, dtype=str)},
        )
        return found if self.track_ids is None else found[self.track_ids > 0]


def _check(
    name: str, array: npt.NDArray[Any], dtype: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    if array.dtype != dtype or array.shape != shape:
        found = f"{array.dtype} {list(array.shape)}"
        raise ValueError(f"{name} is {found}, expected {dtype} {list(shape)}")
