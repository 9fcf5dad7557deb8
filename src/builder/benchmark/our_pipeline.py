"""The build of the pipeline that is compared with its peers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from builder.benchmark.comparison import Setup
from builder.benchmark.repositories import link_pipeline
from builder.detectors.onnx_file import sha256_of
from builder.pipelines.manifest import Manifest, read_manifest
from builder.pipelines.repository import build_pipeline
from builder.settings import BuildSettings, Precision, Shape

# The one place to change it.
OUR_SETTINGS: dict[str, Any] = {"precision": Precision.BF16, "shape": Shape.RECT}


@dataclass(frozen=True)
class OurPipeline:
    """What peers are compared with.

    Attributes:
        repository: that holds it and nothing else.
        manifest: of it.
        words: what it is, for a report.
        detector: the file that it was built from; None where it is not at hand.
    """

    repository: Path
    manifest: Manifest
    words: str
    detector: Path | None


def our_pipeline(setup: Setup, folder: Path) -> OurPipeline:
    """Build the pipeline with the settings above; where its detector is not at hand, link it.

    Args:
        setup: of the comparison; the detector is the ONNX file among those for ultralytics that
            the pipeline was built from.
        folder: to make.
    """
    name = setup.manifest.name
    models = setup.ultralytics.models if setup.ultralytics else ()
    for model in models:
        if model.suffix == ".onnx" and sha256_of(model) == setup.manifest.source_sha256:
            build_pipeline(model, folder, BuildSettings(name, **OUR_SETTINGS))
            settings = ", ".join(f"--{key} {value.value}" for key, value in OUR_SETTINGS.items())
            words = f"{model.name}, built with {settings}"
            return OurPipeline(folder, read_manifest(folder, name), words, model)
    link_pipeline(setup.repository, name, folder)
    words = f"{setup.manifest.source}, as it is in {setup.repository}"
    return OurPipeline(folder, setup.manifest, words, None)


def openvino_precision() -> str:
    """Return what OpenVINO calls the precision that the pipeline above computes in."""
    return "bf16" if OUR_SETTINGS["precision"].value == "bf16" else "f32"
