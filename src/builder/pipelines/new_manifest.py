"""The manifest of a version that is being built.

Apart from reading manifests, which whoever serves them does without what builds need.
"""

from __future__ import annotations

from pathlib import Path

from builder import __version__
from builder.detectors.onnx_file import sha256_of
from builder.network_graph import candidate_rows
from builder.pipelines.manifest import Manifest
from builder.pipelines.pipeline_spec import PipelineSpec
from builder.settings import Track


def manifest_of(spec: PipelineSpec, source: Path) -> Manifest:
    """Return the manifest of what is being built from the file ``source``."""
    settings, detector = spec.settings.with_defaults(spec.detector.defaults), spec.detector
    return Manifest(
        name=settings.name,
        version=spec.version,
        builder_version=__version__,
        source=source.name,
        source_sha256=sha256_of(source) if source.is_file() else detector.sha256,
        head=detector.head.value,
        width=detector.width,
        height=detector.height,
        candidates=candidate_rows(detector, settings),
        max_batch=spec.max_batch,
        precision=settings.precision,
        runtime=settings.runtime,
        nms=settings.nms,
        conf=float(settings.conf or 0),
        iou=float(settings.iou or 0),
        max_det=spec.max_det,
        class_agnostic=bool(settings.class_agnostic),
        multi_label=bool(settings.multi_label),
        num_classes=len(detector.labels),
        decoder=settings.decoder,
        damaged=settings.damaged,
        instances=settings.instances,
        decode_threads=settings.decode_threads,
        stream=settings.stream,
        fixed_batch=detector.fixed_batch,
        load_wait_s=spec.load_wait_s,
        shape=spec.shape,
        track=settings.track if settings.stream else Track.OFF,
    )
