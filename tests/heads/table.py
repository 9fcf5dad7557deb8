"""The table of heads: built, served by the real Triton, equal to the reference, known to TensorRT.

    python -m tests.heads.table        (or: make heads)

prints a row for every pipeline of :data:`tests.heads.sources.BUILDS` and fails when one is not as
it should be. The tests make the same rows.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from builder.detectors.detector import Detector, read_detector
from builder.detectors.heads import Head
from builder.errors import BuilderError
from builder.pipelines.manifest import Manifest, read_manifest
from builder.pipelines.model_configs import NETWORK_FILE
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Precision
from builder.tensorrt.tensorrt_check import compile_network
from builder.verification.found import Found, Thresholds, found_by_pipeline
from builder.verification.matching import Agreement, agreement
from builder.verification.reference import Reference, choose
from tests.heads.mosaics import encoded_mosaics
from tests.heads.sources import (
    BUILDS,
    LAYOUT_SIZE,
    NOT_COMPILED,
    Build,
    labels_of,
    write_sources,
)
from tests.heads.ties import without_ties
from tests.images import encoded
from tests.serving import serving
from tests.tiny_detector import LABELS
from tests.tiny_layouts import LAYOUTS
from thin_client import Detector as Client
from thin_client.contract import model_names

# Each pipeline is four processes; so many at once fit a small machine.
SERVED_TOGETHER = 7
MAX_BATCH = 4
COMPUTE_CAPABILITIES = ("8.6",)
# What OpenVINO and ONNX Runtime may differ in, computing the same in float32 and in float16.
LARGEST_DIFFERENCE = {Precision.FP32: (0.1, 0.001), Precision.FP16: (4.0, 0.05)}
# What one layer rounds, the many layers of an untrained network make more of; of a transformer,
# whose queries are picked by scores that are nearly equal, the contract's bounds.
LARGEST_OF_NOISY = {"yolov9t": (2.0, 0.002), "rtdetr-8.3": (1.0, 0.01)}
COLUMNS = (
    "file",
    "NMS",
    "head",
    "input",
    "network",
    "boxes",
    "worst px",
    "worst score",
    "TensorRT",
    "",
)
WIDTHS = (20, 7, 8, 8, 8, 6, 9, 12, 9, 0)


@dataclass(frozen=True)
class Row:
    """What became of a pipeline.

    Attributes:
        build: what was asked for.
        detector: as its file was read; None where it could not be.
        agreement: with the reference; None where it was not served.
        compiled: whether TensorRT takes its network.
        problem: what is wrong, in words; "" where nothing is.
    """

    build: Build
    detector: Detector | None
    agreement: Agreement | None
    compiled: bool
    problem: str

    def __str__(self) -> str:
        """Return the row of the table."""
        found = self.agreement
        size = "" if self.detector is None else f"{self.detector.width}x{self.detector.height}"
        cells = (
            self.build.source,
            "multi" if self.build.multi_label else self.build.nms.value,
            self.build.head.value,
            size,
            self.build.precision.value,
            "" if found is None else str(found.matched),
            "" if found is None else f"{found.box_px:.4f}",
            "" if found is None else f"{found.score:.6f}",
            "yes" if self.compiled else "no",
            self.problem or "ok",
        )
        return _line(cells)


def make_rows(folder: Path, builds: Sequence[Build] = BUILDS) -> Iterator[Row]:
    """Build, serve and compare; yield a row for each pipeline as soon as it is known.

    Args:
        folder: an empty one for files and repositories.
        builds: the pipelines.
    """
    files = write_sources(folder)
    for start in range(0, len(builds), SERVED_TOGETHER):
        together = builds[start : start + SERVED_TOGETHER]
        yield from _rows_served_together(folder / f"repository-{start}", files, together)


def _rows_served_together(
    repository: Path, files: dict[str, Path], builds: Sequence[Build]
) -> Iterator[Row]:
    detectors: dict[Build, Detector] = {}
    problems: dict[Build, str] = {}
    for build in builds:
        try:
            detectors[build] = _build(repository, files[build.source], build)
        except BuilderError as error:
            problems[build] = str(error)
    with ExitStack() as stack:
        url = stack.enter_context(serving(repository)).url if detectors else ""
        for build in builds:
            if build in problems:
                yield Row(build, None, None, False, problems[build])
            else:
                yield _row(url, repository, files[build.source], build, detectors[build])


def _build(repository: Path, file: Path, build: Build) -> Detector:
    detector = read_detector(file, labels=labels_of(build.source))
    settings = BuildSettings(
        build.name,
        max_batch=MAX_BATCH,
        precision=build.precision,
        nms=build.nms,
        multi_label=build.multi_label,
    )
    build_pipeline(file, repository, settings, detector=detector)
    return detector


def _row(url: str, repository: Path, file: Path, build: Build, detector: Detector) -> Row:
    manifest = read_manifest(repository, build.name)
    noisy = LARGEST_OF_NOISY.get(build.source)
    compared = _compared(url, manifest, Reference(file, detector, manifest.shape), noisy)
    network = repository / model_names(build.name).network / str(manifest.version) / NETWORK_FILE
    report = compile_network(network, COMPUTE_CAPABILITIES, max_batch=MAX_BATCH)
    problems = [*_disagreements(build, detector, compared), *_missed_squares(url, build)]
    if report.accepted is (build.source in NOT_COMPILED):
        problems += map(str, report.problems or ("TensorRT takes it and was not to",))
    return Row(build, detector, compared, report.accepted, "; ".join(problems))


def _compared(
    url: str, manifest: Manifest, reference: Reference, noisy: tuple[float, float] | None
) -> Agreement:
    own = Thresholds(
        manifest.conf,
        manifest.iou,
        manifest.max_det,
        manifest.class_agnostic,
        manifest.multi_label,
    )
    pairs: list[tuple[Found, Found]] = []
    with Client(url, manifest.name) as client:
        for encoded in encoded_mosaics():
            seen = reference.look(encoded)
            assert seen is not None
            served = found_by_pipeline(client.detect(encoded))
            pairs.append(
                (served, choose(*seen, own))
                if noisy is None
                else without_ties(served, *seen, own, *noisy)
            )
    return agreement(pairs)


def _missed_squares(url: str, build: Build) -> Iterator[str]:
    """Ask the tiny layouts what needs no reference: where a square of one colour is."""
    if build.source not in LAYOUTS:
        return
    width, height = LAYOUT_SIZE
    if build.head is not Head.RTDETR:
        height //= 2  # a letterbox then shows where it puts the picture
    with Client(url, build.name) as client:
        for index, colour in enumerate(LABELS):
            picture = np.zeros((height, width, 3), np.uint8)
            picture[8:16, 64:72, 2 - index] = 255
            found = client.detect(encoded(picture, ".png"))
            best = (*found.boxes_xyxy[0], found.scores[0], found.classes[0]) if len(found) else ()
            expected = (64, 8, 72, 16, 1, index)
            if len(best) != len(expected) or not np.allclose(best, expected, atol=0.01):
                yield f"the {colour} square at 64, 8 is found as {best}"


def _disagreements(build: Build, detector: Detector, found: Agreement) -> Iterator[str]:
    if detector.head is not build.head:
        yield f"taken for {detector.head.value}"
    if not found.matched:
        yield "nothing was found"
    is_half = build.precision is Precision.FP16 or "fp16" in build.source
    usual = LARGEST_DIFFERENCE[Precision.FP16 if is_half else Precision.FP32]
    box_px, score = LARGEST_OF_NOISY.get(build.source, usual)
    if found.box_px > box_px or found.score > score:
        yield f"differs by more than {box_px} px or {score}"
    if (found.missing or found.extra) and not is_half:
        yield f"{found.missing} boxes are missing and {found.extra} are not the reference's"


def _line(cells: Sequence[str]) -> str:
    return " ".join(f"{cell:<{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip()


def main() -> int:
    """Print the table; 1 when a row is not as it should be."""
    failed = 0
    print(_line(COLUMNS))
    with tempfile.TemporaryDirectory(prefix="framewire-heads-") as folder:
        for row in make_rows(Path(folder)):
            print(row, flush=True)
            failed += bool(row.problem)
    print(f"{len(BUILDS)} pipelines, {failed or 'none'} of them not as they should be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
