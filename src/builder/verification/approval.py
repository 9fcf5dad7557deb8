"""``framewire build --verify``: publish a pipeline only if it finds what its detector finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from builder.pipelines.manifest import read_manifest
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.verification.comparison import BLS, ENSEMBLE, Verification, verify_pipeline
from builder.verification.ground_truth import check_ground_truth
from builder.verification.images import image_files
from builder.verification.optional import check_installed
from builder.verification.reference import Reference
from builder.verification.report import check_max_map_drop, refuse_loss
from builder.verification.serving import served

DEFAULT_MAX_MAP_DROP = 0.005


def approval(
    model_file: Path,
    images: Sequence[str],
    *,
    ground_truth: Path | None = None,
    max_map_drop: float = DEFAULT_MAX_MAP_DROP,
    tell: Callable[[Verification], None] | None = None,
) -> Callable[[Path, PipelineSpec], None]:
    """Return the check that ``build_pipeline`` makes before it publishes.

    The check serves the staged pipeline with the embedded Triton and sends it the images, through
    the ensemble and through the BLS variant.

    Args:
        model_file: the ONNX file that is built.
        images: files, folders or patterns.
        ground_truth: labels; see :func:`builder.verification.ground_truth.read_ground_truth`.
        max_map_drop: what it may lose of mAP50 and of mAP50-95.
        tell: called with the result, whatever it is.

    Raises:
        VerificationError: at once, when an image is missing; by the check, when it cannot compare.
        AccuracyLostError: by the check, when the pipeline loses more.
    """
    check_installed()
    check_max_map_drop(max_map_drop)
    check_ground_truth(ground_truth)
    files = image_files(images)

    def approve(staged: Path, spec: PipelineSpec) -> None:
        reference = Reference(model_file, spec.detector, spec.shape)
        manifest = read_manifest(staged, spec.settings.name)
        with served(staged, manifest.name, manifest.runtime) as url:
            verification = verify_pipeline(
                url,
                manifest,
                reference,
                files,
                labels=spec.detector.labels,
                ground_truth=ground_truth,
                routes=(ENSEMBLE, BLS),
            )
        if tell is not None:
            tell(verification)
        refuse_loss(verification, max_map_drop)

    return approve
