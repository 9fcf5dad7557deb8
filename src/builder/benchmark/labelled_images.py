"""What is found in images with labels, where ``--labelled`` names some."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from builder.benchmark.comparison import Setup
from builder.errors import VerificationError
from builder.precision.map_loss import map50_95
from builder.verification.images import image_files
from builder.verification.optional import needed


def labelled_files(setup: Setup) -> tuple[Sequence[Path], str]:
    """Return the images with labels; or none, and why not in words."""
    if not setup.labelled:
        return (), "name images that have labels with --labelled"
    try:
        needed("pycocotools.coco")
        return image_files(setup.labelled), ""
    except VerificationError as reason:
        return (), str(reason)


def lost_map(setup: Setup, match: str, files: Sequence[Path], urls: Sequence[str]) -> float | None:
    """Return what the second of two servers loses of the first one's mAP50-95; None without files.

    Args:
        setup: of the benchmark.
        match: its name, for the line that tells of progress.
        files: images with labels.
        urls: gRPC addresses of both.
    """
    if not files:
        return None
    setup.progress(f"{match}: what is found in {len(files)} labelled images")
    first, second = (map50_95(url, setup.manifest, setup.repository, files) for url in urls)
    return first - second
