"""What a codec and its rate cost in accuracy: mean average precision against bytes a frame.

    .venv/bin/python benchmarks/stream/accuracy.py MODEL.onnx scenes/images [--limit 100]

Every picture becomes half a second of a camera that pans and comes to it in its last frame; that
one is looked at, as the encoders of ``framewire-client stream`` made it and PyAV or OpenCV decoded
it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from builder.detectors.detector import read_detector
from builder.detectors.frame_shapes import framing_of
from builder.settings import Shape
from builder.verification.evaluation import mean_average_precision
from builder.verification.found import Thresholds
from builder.verification.ground_truth import read_ground_truth
from builder.verification.images import image_files
from builder.verification.labelled import LabelledImage
from builder.verification.reference import Reference, choose
from builder.verification.source_image import decode, place
from thin_client.contract import Codec
from thin_client.streaming.encoding import Encoder
from thin_client.streaming.plan import Plan

EVALUATE = Thresholds(conf=0.001, iou=0.7, max_det=300)
FPS, FRAMES = 30, 15
STEP_PX = (6, 2)
JPEGS = ((90, 1.0), (80, 1.0), (60, 1.0), (50, 1.0), (30, 1.0), (80, 0.5), (30, 0.5), (60, 1 / 3))
VIDEOS = tuple(
    (codec, mbit, scale)
    for codec, rates in (
        (Codec.H264, ((6, 1.0), (3, 1.0), (1.5, 1.0), (0.75, 1.0), (0.75, 0.5), (0.4, 0.5))),
        (Codec.H265, ((3, 1.0), (1.5, 1.0), (0.75, 1.0))),
    )
    for mbit, scale in rates
)


@dataclass(frozen=True)
class Result:
    """One way to encode."""

    way: str
    kind: str
    bytes_a_frame: float
    map50: float
    map50_95: float
    encode_ms: float
    decode_ms: float


@dataclass
class Cost:
    """What encoding and decoding took, and how many bytes were made."""

    bytes: float = 0
    frames: int = 0
    encode_s: float = 0
    decode_s: float = 0
    decoded: int = 0


def pan(picture: NDArray[np.uint8]) -> Iterator[av.VideoFrame]:
    """Yield frames that end with the picture itself; what is outside of it repeats its edge."""
    height, width = picture.shape[:2]
    across, down = (step * (FRAMES - 1) for step in STEP_PX)
    wide = cv2.copyMakeBorder(picture, 0, down, 0, across, cv2.BORDER_REFLECT_101)
    for left in range(FRAMES - 1, -1, -1):
        x, y = STEP_PX[0] * left, STEP_PX[1] * left
        view = np.ascontiguousarray(wide[y : y + height, x : x + width])
        yield av.VideoFrame.from_ndarray(view, "bgr24")


def as_video(picture: NDArray[np.uint8], plan: Plan, cost: Cost) -> NDArray[np.uint8]:
    """Return the picture as the last frame of an encoded pan."""
    encoder = Encoder(plan)
    decoder = av.CodecContext.create("h264" if plan.codec is Codec.H264 else "hevc", "r")
    decoder.thread_count = 1
    decoded = None
    for number, frame in enumerate(pan(picture)):
        began = time.perf_counter()
        unit = encoder.encode(frame, number, 0.0)
        encoded = time.perf_counter()
        for found in decoder.decode(av.Packet(unit.data)):
            decoded = found
        cost.decode_s += time.perf_counter() - encoded
        if number:  # a key frame comes every ten seconds
            cost.bytes += len(unit.data)
            cost.encode_s += encoded - began
            cost.frames += 1
        cost.decoded += 1
    for found in decoder.decode(None):
        decoded = found
    return decoded.to_ndarray(format="bgr24")


def as_jpeg(picture: NDArray[np.uint8], plan: Plan, cost: Cost) -> NDArray[np.uint8]:
    """Return the picture as a JPEG makes it."""
    began = time.perf_counter()
    data = Encoder(plan).encode(av.VideoFrame.from_ndarray(picture, "bgr24"), 0, 0.0).data
    encoded = time.perf_counter()
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    cost.bytes += len(data)
    cost.encode_s += encoded - began
    cost.decode_s += time.perf_counter() - encoded
    cost.frames += 1
    cost.decoded += 1
    return decoded


def plans(width: int, height: int) -> Iterator[tuple[str, str, Plan]]:
    """Yield name, kind and plan of every way."""
    for quality, scale in JPEGS:
        size = (2 * round(width * scale / 2), 2 * round(height * scale / 2))
        plan = Plan(Codec.MJPEG, False, *size, FPS, 0.0, quality)
        yield f"JPEG, quality {quality}, {size[0]}x{size[1]}", f"JPEG {size[0]}", plan
    for codec, mbit, scale in VIDEOS:
        size = (2 * round(width * scale / 2), 2 * round(height * scale / 2))
        name = "H.264" if codec is Codec.H264 else "H.265"
        plan = Plan(codec, False, *size, FPS, mbit * 1e6)
        yield f"{name}, up to {mbit:g} Mbit/s, {size[0]}x{size[1]}", f"{name} {size[0]}", plan


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--limit", type=int, default=100, help="pictures (default: 100)")
    parser.add_argument("--match", default="", help="only ways with this in their names")
    parser.add_argument("--out", type=Path, help="write the results as JSON, for plot.py")
    arguments = parser.parse_args()

    detector = read_detector(arguments.model)
    reference = Reference(arguments.model, detector)
    files = image_files(arguments.images)[: arguments.limit]
    pictures = [decode(file.read_bytes()) for file in files]
    labelled = [
        LabelledImage(file, picture.shape[1], picture.shape[0])
        for file, picture in zip(files, pictures, strict=True)
    ]
    truth = read_ground_truth(None, labelled, detector.labels)
    if truth is None:
        parser.error("these images have no labels in a folder `labels` beside `images`")
    height, width = pictures[0].shape[:2]

    def looked_at(seen: list[NDArray[np.uint8]]) -> tuple[float, float]:
        found = []
        for picture in seen:
            placed = place(picture, framing_of(detector, Shape.SQUARE))
            shrunk = picture.shape[1] / width
            whole = replace(
                placed,
                width=width,
                height=height,
                gain_x=placed.gain_x * shrunk,
                gain_y=placed.gain_y * shrunk,
            )
            found.append(choose(reference.run(placed.frame), whole, EVALUATE))
        precision = mean_average_precision(truth.objects, found, len(detector.labels))
        return precision.map50, precision.map50_95

    sizes = sum(file.stat().st_size for file in files) / len(files)
    results = [Result("the picture itself", "source", sizes, *looked_at(pictures), 0, 0)]
    for name, kind, plan in plans(width, height):
        if arguments.match not in name:
            continue
        cost = Cost()
        make = as_jpeg if plan.codec is Codec.MJPEG else as_video
        precision = looked_at([make(picture, plan, cost) for picture in pictures])
        results.append(
            Result(
                name,
                kind,
                cost.bytes / cost.frames,
                *precision,
                1e3 * cost.encode_s / cost.frames,
                1e3 * cost.decode_s / cost.decoded,
            )
        )
        print(results[-1], flush=True)
    print(f"{arguments.model.name}, {len(files)} pictures of {width}x{height}\n")
    print("| | KB a frame | mAP50 | mAP50-95 | difference | encode ms | decode ms |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for each in results:
        times = f"{each.encode_ms:.1f} | {each.decode_ms:.1f}" if each.encode_ms else " | "
        print(
            f"| {each.way} | {each.bytes_a_frame / 1e3:.1f} | {each.map50:.4f}"
            f" | {each.map50_95:.4f} | {each.map50_95 - results[0].map50_95:+.4f} | {times} |"
        )
    if arguments.out:
        arguments.out.write_text(json.dumps([asdict(each) for each in results], indent=1))


if __name__ == "__main__":
    main()
