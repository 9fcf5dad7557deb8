"""``framewire build --verify``: publish a pipeline only if it finds what its detector finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from builder.errors import VerificationError
from builder.manifest import read_manifest
from builder.model_configs import PipelineSpec
from builder.settings import Runtime
from builder.verification.comparison import BLS, ENSEMBLE, Verification, verify_pipeline
from builder.verification.images import image_files
from builder.verification.reference import Reference
from builder.verification.report import refuse_loss
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
    """Return the check that :func:`builder.repository.build_pipeline` makes before it publishes.

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
    files = image_files(images)

    def approve(staged: Path, spec: PipelineSpec) -> None:
        if spec.settings.runtime is not Runtime.PYTHON:
            raise VerificationError(
                f"--verify serves the pipeline with the embedded Triton, which cannot run a "
                f"network built with --runtime {spec.settings.runtime.value}: build it without "
                "--verify, serve it where it can run and use `framewire verify --url`"
            )
        reference = Reference(model_file, spec.detector)
        with served(staged) as url:
            verification = verify_pipeline(
                url,
                read_manifest(staged, spec.settings.name),
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
