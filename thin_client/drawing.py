"""Boxes and labels drawn into a picture; through OpenCV."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from thin_client.detections import Detection, Detections
from thin_client.errors import OutputUnwritable
from thin_client.opencv import load_opencv
from thin_client.trails import Trails

__all__ = ["annotate", "color_bgr", "write_annotated"]

_JPEG_END = b"\xff\xd9"


def annotate(
    pixels_bgr: npt.NDArray[np.uint8], detections: Detections, trails: Trails | None = None
) -> npt.NDArray[np.uint8]:
    """Return a copy of a picture with its detections drawn in.

    A detection of a track has the track's colour and number, any other its class's colour.

    Args:
        pixels_bgr: uint8 [height, width, 3], blue green red, EXIF rotation applied.
        detections: of the same picture.
        trails: of the stream that it is a frame of: where each object was, drawn below the boxes.
            This frame's boxes have to be in them already (``Trails.follow``).

    Raises:
        ValueError: the detections are of a picture of another size.
        OpenCVMissing: there is no OpenCV.
    """
    cv2 = load_opencv("drawing boxes")
    height, width = pixels_bgr.shape[:2]
    if detections.ok and (detections.width, detections.height) != (width, height):
        raise ValueError(
            f"the picture is {width}x{height} and the detections are of one of"
            f" {detections.width}x{detections.height} pixels"
        )
    picture = pixels_bgr.copy()
    thickness = max(1, round(min(height, width) / 300))
    for track_id, points_xy in trails.paths() if trails else ():
        path = np.round(points_xy).astype(np.int32).reshape(-1, 1, 2)
        color = color_bgr(track_id)
        cv2.polylines(picture, [path], False, color, 2 * thickness, cv2.LINE_AA)
    # The best last, so that it lies on top.
    for detection in reversed(list(detections)):
        _draw(cv2, picture, detection, thickness)
    return picture


def write_annotated(image: bytes, detections: Detections, path: Path) -> None:
    """Write an encoded image with its detections drawn in; the suffix of ``path`` is the format.

    Raises:
        OutputUnwritable: the image cannot be decoded here, or the file cannot be written.
        OpenCVMissing: there is no OpenCV.
    """
    cv2 = load_opencv("drawing boxes")
    # Like the server, imdecode applies the EXIF rotation. Unlike it, OpenCV 4.11 reads no JPEG
    # without an end.
    for end in (b"", _JPEG_END):
        pixels = cv2.imdecode(np.frombuffer(image + end, np.uint8), cv2.IMREAD_COLOR)
        if pixels is not None:
            break
    else:
        raise OutputUnwritable(f"cannot write {path}: OpenCV cannot decode the image")
    try:
        encoded, buffer = cv2.imencode(path.suffix, annotate(pixels, detections))
    except cv2.error:
        encoded = False
    except ValueError as error:
        raise OutputUnwritable(f"cannot write {path}: {error}") from error
    if not encoded:
        raise OutputUnwritable(f"cannot write {path}: OpenCV does not write {path.suffix!r} files")
    try:
        path.write_bytes(bytes(buffer))
    except OSError as error:
        raise OutputUnwritable(f"cannot write {path}: {error.strerror}") from None


def color_bgr(number: int) -> tuple[int, int, int]:
    """Return the colour of a class or a track, 0 to 255 each; neighbours differ clearly."""
    # Steps of the golden ratio never come close to an earlier hue for long.
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1.0, 0.85, 0.95)
    return (round(blue * 255), round(green * 255), round(red * 255))


def _draw(cv2: Any, picture: npt.NDArray[np.uint8], detection: Detection, thickness: int) -> None:
    track_id = detection.track_id
    color = color_bgr(detection.class_index if track_id is None else track_id)
    left, top, right, bottom = (round(edge) for edge in detection.box_xyxy)
    cv2.rectangle(picture, (left, top), (right, bottom), color, thickness)
    number = "" if track_id is None else f"#{track_id} "
    text = f"{number}{detection.label} {detection.score:.2f}"
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.35 + 0.15 * thickness
    (text_width, text_height), descent = cv2.getTextSize(text, font, scale, thickness)
    # Above the box, or inside it when there is no room above.
    base = top - descent if top > text_height + descent else top + text_height + descent
    # A label that would stick out on the right starts further left.
    start = max(0, min(left, picture.shape[1] - text_width))
    corner = (start + text_width, base - text_height - descent)
    cv2.rectangle(picture, (start, base + descent), corner, color, cv2.FILLED)
    brightness = color[0] * 0.114 + color[1] * 0.587 + color[2] * 0.299
    ink = (0, 0, 0) if brightness > 128 else (255, 255, 255)
    cv2.putText(picture, text, (start, base), font, scale, ink, thickness, cv2.LINE_AA)
