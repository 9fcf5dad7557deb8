"""What each shortcut costs in accuracy: mean average precision and boxes against the reference.

    .venv/bin/python benchmarks/accuracy.py network  MODEL.onnx held_out/images
    .venv/bin/python benchmarks/accuracy.py decoding MODEL.onnx large_scenes/images
    .venv/bin/python benchmarks/accuracy.py shapes   MODEL.onnx wide_scenes/images

The labels lie where ultralytics looks for them, in ``labels`` beside ``images``. ``network``
compares ways to compute on the same frames, ``decoding`` ways to come from a JPEG to a frame,
``shapes`` the smallest rectangles with whole frames, which is target r2. Prints Markdown. Needs the
extra ``verify``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import openvino as ov
import simplejpeg
from numpy.typing import NDArray
from openvino.properties import hint

from builder.detectors.detector import Detector, read_detector
from builder.detectors.frame_shapes import framing_of
from builder.network_graph import network_graph
from builder.precision.calibration import calibration_files, int8_network
from builder.settings import BuildSettings, Runtime, Shape
from builder.settings import Precision as NetworkPrecision
from builder.verification.evaluation import Precision, mean_average_precision
from builder.verification.found import Thresholds
from builder.verification.ground_truth import read_ground_truth
from builder.verification.head_reading import RawBoxes, one_hot
from builder.verification.images import image_files
from builder.verification.labelled import LabelledImage
from builder.verification.matching import agreement
from builder.verification.reference import Reference, choose
from builder.verification.source_image import Placed, decode, place

# What a network says about an encoded image, and where that lies in the frame.
Answer = tuple[RawBoxes, Placed]
Look = Callable[[bytes], Answer]
Run = Callable[[NDArray[np.generic]], RawBoxes]

PREDICT = Thresholds(conf=0.25, iou=0.7, max_det=300)
EVALUATE = replace(PREDICT, conf=0.001)
MOST_CANDIDATES = 3840
# Target r2: mAP50-95.
MOST_LOST = 0.005


def open_vino(
    detector: Detector,
    precision: NetworkPrecision,
    arithmetic: ov.Type,
    calibrate: Sequence[Path] = (),
) -> Run:
    """Return the network step that the builder makes, with as many candidates as it can give."""
    settings = BuildSettings(
        "accuracy", candidates=MOST_CANDIDATES, precision=precision, shape=Shape.SQUARE
    )
    graph = network_graph(detector, settings.with_defaults(detector.defaults))
    if calibrate:
        graph = int8_network(graph, calibrate, framing_of(detector, Shape.SQUARE), Runtime.PYTHON)
    model = ov.Core().compile_model(
        ov.Core().read_model(graph.SerializeToString()),
        "CPU",
        {hint.inference_precision: arithmetic},
    )
    request = model.create_infer_request()

    def run(frame: NDArray[np.generic]) -> RawBoxes:
        request.infer({0: frame[None]})
        rows = request.get_output_tensor(0).data[0]
        table = one_hot(rows[:, 4], rows[:, 5], len(detector.labels))
        return RawBoxes(rows[:, :4].copy(), table, finished=detector.finished)

    return run


def best_rows(run: Run, count: int) -> Run:
    """Return the same with so many candidates; they come sorted by their score."""

    def run_shortened(frame: NDArray[np.generic]) -> RawBoxes:
        raw = run(frame)
        return replace(
            raw, boxes_xyxy=raw.boxes_xyxy[:count], class_scores=raw.class_scores[:count]
        )

    return run_shortened


def whole(detector: Detector, run: Run) -> Look:
    """Decode in full, letterbox in uint8: as ultralytics does and as is served."""

    def look(encoded: bytes) -> Answer:
        placed = place(decode(encoded), framing_of(detector, Shape.SQUARE))
        return run(placed.frame), placed

    return look


def in_floats(detector: Detector, run: Run) -> Look:
    """The same, but the resized picture is not rounded to whole numbers."""

    def look(encoded: bytes) -> Answer:
        picture = decode(encoded)
        placed = place(picture, framing_of(detector, Shape.SQUARE))
        size = round(placed.width * placed.gain_x), round(placed.height * placed.gain_y)
        frame = placed.frame.astype(np.float32)
        frame[placed.top : placed.top + size[1], placed.left : placed.left + size[0]] = cv2.resize(
            picture.astype(np.float32), size, interpolation=cv2.INTER_LINEAR
        )
        return run(frame), placed

    return look


def shrunk(detector: Detector, run: Run, shrink: Callable[[bytes], NDArray[np.uint8]]) -> Look:
    """Letterbox a picture that was decoded smaller; boxes are still in pixels of the whole one."""

    def look(encoded: bytes) -> Answer:
        height, width = decode(encoded).shape[:2]
        small = shrink(encoded)
        placed = place(small, framing_of(detector, Shape.SQUARE))
        return run(placed.frame), replace(
            placed,
            width=width,
            height=height,
            gain_x=placed.gain_x * small.shape[1] / width,
            gain_y=placed.gain_y * small.shape[0] / height,
        )

    return look


def dct_scaled(flag: int) -> Callable[[bytes], NDArray[np.uint8]]:
    """Return a decoder to a half or a quarter, in libjpeg's inverse DCT."""
    return lambda encoded: cv2.imdecode(np.frombuffer(encoded, np.uint8), flag)


def dct_scaled_to(size: int) -> Callable[[bytes], NDArray[np.uint8]]:
    """Return a decoder to the smallest of n eighths that is no smaller than ``size`` pixels."""
    return lambda encoded: simplejpeg.decode_jpeg(
        encoded, colorspace="BGR", min_height=size, min_width=size, min_factor=1
    )


def averaged(size: tuple[int, int]) -> Callable[[bytes], NDArray[np.uint8]]:
    """Return a decoder whose picture is shrunk by the mean of the pixels that fall together."""

    def shrink(encoded: bytes) -> NDArray[np.uint8]:
        picture = decode(encoded)
        ratio = min(size[0] / picture.shape[1], size[1] / picture.shape[0])
        new = round(picture.shape[1] * ratio), round(picture.shape[0] * ratio)
        return cv2.resize(picture, new, interpolation=cv2.INTER_AREA)

    return shrink


def network_variants(detector: Detector, calibrate: Sequence[Path]) -> Iterator[tuple[str, Look]]:
    """Yield ways to compute, by name."""
    run = open_vino(detector, NetworkPrecision.FP32, ov.Type.f32)
    counts = {min(count, detector.boxes or count) for count in (MOST_CANDIDATES, 1000, 300, 100)}
    for count in sorted(counts, reverse=True):
        yield f"float32, {count} candidates", whole(detector, best_rows(run, count))
    yield (
        "bfloat16 arithmetic",
        whole(detector, open_vino(detector, NetworkPrecision.FP32, ov.Type.bf16)),
    )
    yield (
        "`--precision fp16`, float32 arithmetic",
        whole(detector, open_vino(detector, NetworkPrecision.FP16, ov.Type.f32)),
    )
    yield (
        "`--precision fp16`, float16 arithmetic",
        whole(detector, open_vino(detector, NetworkPrecision.FP16, ov.Type.f16)),
    )
    if calibrate:
        run = open_vino(detector, NetworkPrecision.INT8, ov.Type.f32, calibrate)
        yield f"`--precision int8`, {len(calibrate)} images", whole(detector, run)


def decoding_variants(
    detector: Detector, reference: Reference, smallest: int
) -> Iterator[tuple[str, Look]]:
    """Yield ways to decode pictures of at least ``smallest`` pixels a side, by name."""
    size = max(detector.width, detector.height)
    run = reference.run
    yield "letterboxed in floats, not rounded to uint8", in_floats(detector, run)
    for divisor, flag in ((2, cv2.IMREAD_REDUCED_COLOR_2), (4, cv2.IMREAD_REDUCED_COLOR_4)):
        if smallest >= divisor * size:
            yield f"DCT-scaled to 1/{divisor}", shrunk(detector, run, dct_scaled(flag))
    yield "DCT-scaled to n/8, no smaller than the frame", shrunk(detector, run, dct_scaled_to(size))
    yield (
        "decoded in full, shrunk by averaging",
        shrunk(detector, run, averaged((detector.width, detector.height))),
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shortcuts", choices=("network", "decoding", "shapes"))
    parser.add_argument("model", type=Path)
    parser.add_argument("images", nargs="+")
    parser.add_argument("--calibrate", nargs="+", help="images for int8, which is left out else")
    arguments = parser.parse_args()

    detector = read_detector(arguments.model)
    files = image_files(arguments.images)
    encoded = [file.read_bytes() for file in files]
    sizes = [decode(each).shape[:2] for each in encoded]
    labelled = [
        LabelledImage(file, width, height)
        for file, (height, width) in zip(files, sizes, strict=True)
    ]
    truth = read_ground_truth(None, labelled, detector.labels)
    if truth is None:
        parser.error("these images have no labels in a folder `labels` beside `images`")

    reference = Reference(arguments.model, detector)
    look_whole = whole(detector, reference.run)
    seen = [look_whole(each) for each in encoded]
    expected = [choose(*each, PREDICT) for each in seen]
    objects = sum(len(each.classes) for each in truth.objects)
    smallest = min(min(size) for size in sizes)
    print(
        f"{arguments.model.name}, {detector.head.value} head at {detector.width}x"
        f"{detector.height}; {len(files)} images of {smallest} pixels or more, {objects} objects, "
        f"{sum(map(len, expected))} detections at 0.25.\n"
    )
    print(
        "| | mAP50 | mAP50-95 | difference | matched | missing | extra | worst box | worst score |"
    )
    print("|---|---|---|---|---|---|---|---|---|")

    def precision_of(answers: list[Answer], thresholds: Thresholds) -> Precision:
        found = [choose(*each, thresholds) for each in answers]
        return mean_average_precision(truth.objects, found, len(detector.labels))

    best = precision_of(seen, EVALUATE)
    print(f"| reference | {best.map50:.4f} | {best.map50_95:.4f} | | | | | | |", flush=True)

    def print_row(
        name: str, answers: list[Answer], *, own: Thresholds = PREDICT, low: Thresholds = EVALUATE
    ) -> None:
        found = [choose(*each, own) for each in answers]
        agreed = agreement(zip(found, expected, strict=True))
        mine = precision_of(answers, low)
        print(
            f"| {name} | {mine.map50:.4f} | {mine.map50_95:.4f} "
            f"| {mine.map50_95 - best.map50_95:+.4f} | {agreed.matched_share:.2%} "
            f"| {agreed.missing} | {agreed.extra} | {agreed.box_px:.2f} px | {agreed.score:.4f} |",
            flush=True,
        )

    if arguments.shortcuts == "shapes":
        in_rectangles = Reference(arguments.model, detector, Shape.RECT)
        answers = [in_rectangles.look(each) for each in encoded]
        print_row("the smallest rectangles", answers)
        lost = best.map50_95 - precision_of(answers, EVALUATE).map50_95
        print(f"\ntarget r2: {lost:.4f} (goal at most {MOST_LOST}; one run)")
        return
    if arguments.shortcuts == "decoding":
        variants = decoding_variants(detector, reference, smallest)
    else:
        calibrate = calibration_files(arguments.calibrate) if arguments.calibrate else []
        variants = network_variants(detector, calibrate)
        if not detector.finished:
            own, low = (replace(each, multi_label=True) for each in (PREDICT, EVALUATE))
            print_row("reference, multi-label", seen, own=own, low=low)
    for name, look in variants:
        print_row(name, [look(each) for each in encoded])


if __name__ == "__main__":
    main()
