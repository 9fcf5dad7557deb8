"""What a build can be told, checked once."""

from __future__ import annotations

import re
from dataclasses import dataclass

from builder.errors import SettingsError

# What is safe as a folder name, a Triton model name and part of a Prometheus label.
PIPELINE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
RESERVED_SUFFIXES = ("_bls", "_preprocess", "_network", "_postprocess")


@dataclass(frozen=True)
class BuildSettings:
    """Settings of one pipeline.

    Attributes:
        name: the pipeline's name, and the ensemble's in Triton.
        conf: default score threshold, 0 to 1; 0.25 as ultralytics' ``predict``.
        iou: default overlap for NMS, 0 to 1; 0.7 as ultralytics' ``predict``.
        max_det: rows of the outputs and the most detections of an image; 300 as ultralytics.
        class_agnostic: whether boxes of different classes suppress each other by default.
        candidates: rows that leave the network; more than can pass a sensible threshold.
        max_batch: the largest batch of one request and of one run of the network.
        max_image_bytes: a larger file is refused.
        max_image_pixels: an image with more pixels is refused before it is decoded.

    Raises:
        SettingsError: on creation, when a value is out of range.
    """

    name: str
    conf: float = 0.25
    iou: float = 0.7
    max_det: int = 300
    class_agnostic: bool = False
    candidates: int = 1000
    max_batch: int = 16
    max_image_bytes: int = 64 * 2**20
    max_image_pixels: int = 100_000_000

    def __post_init__(self) -> None:
        """Check every value."""
        if not PIPELINE_NAME.fullmatch(self.name):
            raise SettingsError(
                f"the pipeline name {self.name!r} must start with a letter and hold at most 64 "
                "letters, digits, '_' and '-': choose another with --name"
            )
        if self.name.endswith(RESERVED_SUFFIXES):
            raise SettingsError(
                f"the pipeline name {self.name!r} ends like one of a pipeline's own models "
                f"({', '.join(RESERVED_SUFFIXES)}): choose another with --name"
            )
        _check_range("--conf", self.conf, 0, 1)
        _check_range("--iou", self.iou, 0, 1)
        _check_range("--max-batch", self.max_batch, 1, 1024)
        # TensorRT's TopK takes at most 3840.
        _check_range("--candidates", self.candidates, 1, 3840)
        _check_range("--max-detections", self.max_det, 1, self.candidates)
        _check_range("--max-image-bytes", self.max_image_bytes, 1, 2**31 - 1)
        _check_range("--max-image-pixels", self.max_image_pixels, 1, 2**31 - 1)


def _check_range(option: str, value: float, lowest: float, highest: float) -> None:
    if not lowest <= value <= highest:
        raise SettingsError(f"{option} must be from {lowest} to {highest}, got {value}")
