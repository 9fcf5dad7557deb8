"""A served pipeline and its reference, shown the same images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from builder.errors import VerificationError
from builder.pipelines.manifest import Manifest
from builder.verification.evaluation import (
    LOWEST_SCORE,
    MOST_DETECTIONS,
    Precision,
    mean_average_precision,
)
from builder.verification.found import Found, Thresholds, found_by_pipeline
from builder.verification.ground_truth import read_ground_truth
from builder.verification.labelled import GroundTruth, LabelledImage, objects_found
from builder.verification.matching import Agreement, agreement
from builder.verification.reference import Reference, choose
from thin_client import Detector as Client
from thin_client.errors import FramewireError
from thin_client.parameters import RequestParameters

IN_FLIGHT = 4
# A large network on a small processor: an answer may take its time.
TIMEOUT_S = 300.0
ENSEMBLE, BLS = "ensemble", "bls"


@dataclass(frozen=True)
class RouteResult:
    """What one of the two public models of a pipeline came to.

    Attributes:
        route: ``ensemble`` or ``bls``.
        agreement: with the reference, at the pipeline's own thresholds.
        precision: at the thresholds of the evaluation.
    """

    route: str
    agreement: Agreement
    precision: Precision


@dataclass(frozen=True)
class Verification:
    """A pipeline compared with its reference.

    Attributes:
        manifest: of the pipeline.
        images: how many were shown.
        labels: where the labels came from, in words.
        thresholds: those of ``agreement``: the pipeline's own.
        evaluated: those of ``precision``.
        reference: its precision.
        routes: one or both ways through the pipeline.
    """

    manifest: Manifest
    images: int
    labels: str
    thresholds: Thresholds
    evaluated: Thresholds
    reference: Precision
    routes: tuple[RouteResult, ...]

    def map_drop(self, route: RouteResult) -> float:
        """Return what a route loses of mAP50 or mAP50-95, whichever is more; a gain is below 0."""
        mine, best = route.precision, self.reference
        return max(best.map50 - mine.map50, best.map50_95 - mine.map50_95)

    @property
    def worst_drop(self) -> float:
        """What the worse route loses."""
        return max(self.map_drop(route) for route in self.routes)


def verify_pipeline(
    url: str,
    manifest: Manifest,
    reference: Reference,
    images: Sequence[Path],
    *,
    labels: Sequence[str],
    ground_truth: Path | None = None,
    routes: Sequence[str] = (ENSEMBLE,),
) -> Verification:
    """Show every image to the pipeline and to the reference and compare what they find.

    1. At the pipeline's own thresholds, which the requests leave to it: which boxes are the same.
    2. At the thresholds of ultralytics' ``val``, scores from 0.001 and 300 boxes, but with the
       pipeline's own overlap, and one class to a box unless it was built with multi-label NMS:
       mean average precision.

    Args:
        url: gRPC address of the server.
        manifest: of the pipeline it serves.
        reference: of the same detector.
        images: files.
        labels: class names, in class order.
        ground_truth: see :func:`read_ground_truth`; where there is none, what the reference finds
            at the pipeline's thresholds counts as the labels.
        routes: ``ensemble``, ``bls`` or both.

    Raises:
        VerificationError: an image, the labels or the server cannot be used, or it is another
            version of the pipeline that answers.
    """
    own = Thresholds(
        manifest.conf,
        manifest.iou,
        manifest.max_det,
        manifest.class_agnostic,
        manifest.multi_label,
    )
    evaluated = replace(
        own, conf=min(LOWEST_SCORE, own.conf), max_det=min(MOST_DETECTIONS, own.max_det)
    )
    expected = _expected(reference, images, own, evaluated)
    truth = read_ground_truth(ground_truth, expected.images, labels)
    if truth is None:
        truth = GroundTruth(
            f"none given, what the reference finds above {own.conf:g} counts",
            tuple(objects_found(found) for found in expected.plain),
        )

    def precision(found: Sequence[Found]) -> Precision:
        return mean_average_precision(truth.objects, found, len(labels))

    def judge(route: str) -> RouteResult:
        plain = ask(url, manifest, route, images, {})
        agreed = agreement(zip(plain, expected.plain, strict=True))
        parameters: RequestParameters = {"conf": evaluated.conf, "max_det": evaluated.max_det}
        found = list(ask(url, manifest, route, images, parameters))
        return RouteResult(route, agreed, precision(found))

    return Verification(
        manifest=manifest,
        images=len(images),
        labels=truth.source,
        thresholds=own,
        evaluated=evaluated,
        reference=precision(expected.evaluated),
        routes=tuple(judge(route) for route in routes),
    )


@dataclass(frozen=True)
class _Expected:
    """What the reference finds: at the pipeline's own thresholds, and at the evaluation's."""

    images: tuple[LabelledImage, ...]
    plain: tuple[Found, ...]
    evaluated: tuple[Found, ...]


def _expected(
    reference: Reference, images: Sequence[Path], own: Thresholds, evaluated: Thresholds
) -> _Expected:
    rows = []
    for path in images:
        seen = reference.look(_read(path))
        if seen is None:
            raise VerificationError(
                f"{path.name} is no picture that OpenCV reads: leave it out of the images"
            )
        image = LabelledImage(path, seen[1].width, seen[1].height)
        rows.append((image, choose(*seen, own), choose(*seen, evaluated)))
    return _Expected(*zip(*rows, strict=True))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VerificationError(
            f"the image {path} cannot be read ({error.strerror}): check its name"
        ) from error


def ask(
    url: str, manifest: Manifest, route: str, images: Sequence[Path], parameters: RequestParameters
) -> Iterator[Found]:
    """Yield what the pipeline finds in each image; several requests are under way at once.

    Raises:
        VerificationError: it does not answer, or another version of it does.
    """
    try:
        with Client(url, manifest.name, bls=route == BLS, timeout_s=TIMEOUT_S) as client:
            encoded = (_read(path) for path in images)
            for detections in client.detect_stream(encoded, in_flight=IN_FLIGHT, **parameters):
                _check_version(client.connect().version, url, manifest)
                yield found_by_pipeline(detections)
    except FramewireError as error:
        raise VerificationError(f"the pipeline could not be asked: {error}") from error


def _check_version(answered: str, url: str, manifest: Manifest) -> None:
    if answered not in {"", str(manifest.version)}:
        raise VerificationError(
            f"the server at {url} answers with version {answered} of {manifest.name}, and "
            f"version {manifest.version} is the repository's: `framewire load {manifest.name} "
            f"--url {url}`, or name the --repository that it serves"
        )
