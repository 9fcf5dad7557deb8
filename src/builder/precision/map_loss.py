"""Mean average precision of a served pipeline, by labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.errors import VerificationError
from builder.pipelines.config_parts import LABELS_FILE
from builder.pipelines.manifest import Manifest
from builder.verification.comparison import ENSEMBLE, ask
from builder.verification.evaluation import LOWEST_SCORE, MOST_DETECTIONS, mean_average_precision
from builder.verification.ground_truth import read_ground_truth
from builder.verification.labelled import LabelledImage
from builder.verification.source_image import decode


def map50_95(url: str, manifest: Manifest, repository: Path, images: Sequence[Path]) -> float:
    """Return mAP50-95 of the ensemble, 0 to 1, at scores from 0.001 and up to 300 boxes an image.

    Args:
        url: gRPC address of the server.
        manifest: of the pipeline that it serves.
        repository: that holds it.
        images: files, whose labels lie where ultralytics finds them.

    Raises:
        VerificationError: there are no labels, an image is none, or the server does not answer.
    """
    file = repository / manifest.name / str(manifest.version) / LABELS_FILE
    names = file.read_text().splitlines()
    truth = read_ground_truth(None, [_sized(path) for path in images], names)
    if truth is None:
        raise VerificationError(
            f"{images[0].name} and the others have no labels in a folder `labels` beside `images`: "
            "name images that have some with --labelled"
        )
    found = ask(
        url,
        manifest,
        ENSEMBLE,
        images,
        {
            "conf": min(LOWEST_SCORE, manifest.conf),
            "max_det": min(MOST_DETECTIONS, manifest.max_det),
        },
    )
    return mean_average_precision(truth.objects, list(found), len(names)).map50_95


def _sized(path: Path) -> LabelledImage:
    picture = decode(path.read_bytes())
    if picture is None:
        raise VerificationError(
            f"{path.name} is no picture that OpenCV reads: leave it out of the images"
        )
    height, width = picture.shape[:2]
    return LabelledImage(path, width, height)
